//! Which file the store is. A connection keeps the file that it opened, also when another one is put in its place,
//! such as a restored backup: it would go on reading what nobody writes any more, and miss every revocation.

use std::{io, path::PathBuf};

/// The file that was opened.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    #[cfg(unix)]
    identity: (u64, u64),
}

/// What is there now is not what was opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum Moved {
    #[error("{0} was replaced by another file: restart the gateway to use that one")]
    Replaced(String),
    #[error("{0} is gone")]
    Gone(String, #[source] io::Error),
}

impl File {
    /// The file at `path` as it is now.
    pub(super) fn at(path: PathBuf) -> io::Result<Self> {
        #[cfg(unix)]
        let identity = identity(&path)?;
        Ok(Self {
            path,
            #[cfg(unix)]
            identity,
        })
    }

    /// Refuses when its path leads to another file by now, or to none. One system call, without waiting for a disk:
    /// the inode of an open file is in memory.
    #[cfg(unix)]
    pub(super) fn in_place(&self) -> Result<(), Moved> {
        let named = || self.path.display().to_string();
        match identity(&self.path) {
            Ok(found) if found == self.identity => Ok(()),
            Ok(_) => Err(Moved::Replaced(named())),
            Err(error) => Err(Moved::Gone(named(), error)),
        }
    }

    /// Elsewhere an open file cannot be replaced.
    #[cfg(not(unix))]
    pub(super) fn in_place(&self) -> Result<(), Moved> {
        Ok(())
    }
}

#[cfg(unix)]
fn identity(path: &std::path::Path) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let found = std::fs::metadata(path)?;
    Ok((found.dev(), found.ino()))
}
