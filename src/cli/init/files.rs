//! The files of a new installation: all of them or none.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use crate::cli::error::Failure;

/// Where the files will be; none of them exists.
#[derive(Debug)]
pub(crate) struct Files {
    dir: PathBuf,
    /// Where the store will be.
    state: PathBuf,
}

/// Files of which some exist. Dropped before [`finish`](Self::finish) they are removed again: a half-made
/// installation would stand in the way of the next attempt.
#[derive(Debug)]
pub(crate) struct Unfinished {
    files: Files,
    made: Vec<PathBuf>,
    finished: bool,
}

const CONFIG: &str = "latchgate.toml";
const SECRET: &str = "secret.key";
const STORE: [&str; 3] = ["latchgate.db", "latchgate.db-wal", "latchgate.db-shm"];
const SECRET_BYTES: usize = 32;

impl Files {
    /// All of them in one folder.
    pub(crate) fn in_dir(dir: &Path) -> Result<Self, Failure> {
        Self::in_dirs(dir, dir)
    }

    /// Configuration and secret in `dir`, the store in `state`.
    pub(crate) fn in_dirs(dir: &Path, state: &Path) -> Result<Self, Failure> {
        let files = Self { dir: dir.to_owned(), state: state.to_owned() };
        // Also what leads nowhere: writing through a link could reach a file elsewhere.
        let taken = files.all().find(|path| path.symlink_metadata().is_ok());
        match taken {
            None => Ok(files),
            Some(path) => Err(Failure::failed(
                format_args!("{} exists, and nothing is overwritten", path.display()),
                "choose another folder with --dir, or move the file away",
            )),
        }
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.dir.join(CONFIG)
    }

    pub(crate) fn create(self) -> Result<Unfinished, Failure> {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        let mut unfinished = Unfinished { files: self, made: Vec::new(), finished: false };
        for dir in [unfinished.files.dir.clone(), unfinished.files.state.clone()] {
            if !dir.exists() {
                builder.create(&dir).map_err(|error| cannot_write(&dir, &error))?;
                unfinished.made.push(dir);
            }
        }

        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        getrandom::fill(&mut *secret).map_err(|error| {
            Failure::failed(
                format_args!("the system gives no random bytes: {error}"),
                "see that /dev/urandom or getrandom(2) is available here",
            )
        })?;
        let path = unfinished.files.dir.join(SECRET);
        write_new(&path, &*secret).map_err(|error| cannot_write(&path, &error))?;
        Ok(unfinished)
    }

    fn all(&self) -> impl Iterator<Item = PathBuf> {
        let own = [CONFIG, SECRET].into_iter().map(|name| self.dir.join(name));
        own.chain(STORE.into_iter().map(|name| self.state.join(name)))
    }
}

impl Unfinished {
    /// Writes the configuration, last of all: where it stands, everything stands.
    pub(crate) fn finish(mut self, config: &str) -> Result<PathBuf, Failure> {
        let path = self.files.dir.join(CONFIG);
        write_new(&path, config.as_bytes()).map_err(|error| cannot_write(&path, &error))?;
        self.finished = true;
        Ok(path)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        // None of them was there before, so none of them is anybody else's.
        for path in self.files.all() {
            let _ = fs::remove_file(path);
        }
        for dir in self.made.iter().rev() {
            let _ = fs::remove_dir(dir);
        }
    }
}

/// A file that only its owner can read; an error when it is there already.
fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::failed(
        format_args!("cannot write {}: {error}", path.display()),
        "choose a folder that you may write to: --dir DIR",
    )
}
