//! What outlasts the process: the account with an authority, and a certificate with its key for each name.
//!
//! Each authority has a folder of its own in the storage, so what one has given is never taken for another's. Nobody else
//! may read any of it. Files are written whole or not at all. An account that cannot be read is an error, never a reason
//! for a new one: its limits, and what it may order, hang on it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use instant_acme::{AccountCredentials, Key};
use rustix::fs::{FlockOperation, flock};
use rustls::crypto::CryptoProvider;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::{
    config::Acme,
    runtime::tls::{BadCertificate, Certificate, PemError},
};

/// The folder of one authority.
#[derive(Debug, Clone)]
pub struct Storage {
    whole: PathBuf,
    folder: PathBuf,
    directory: String,
}

/// Why the storage cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// Something of it cannot be read or written.
    #[error("{}: {error}", path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Others on this machine could read keys.
    #[error("{}: others than its owner may use it: {mend}", path.display())]
    Open {
        /// What.
        path: PathBuf,
        /// The command.
        mend: &'static str,
    },
    /// The account is none.
    #[error(
        "{}: the account cannot be read ({why}): put it back from a backup, or remove it to have a new account made",
        path.display()
    )]
    Account {
        /// The file.
        path: PathBuf,
        /// Why.
        why: &'static str,
    },
}

/// Nobody else orders into this storage while it is kept.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Storage {
    /// The storage of a configuration, as it is. Whether it can be used is checked, and an error says why not.
    pub fn of(acme: &Acme) -> Result<Self, StorageError> {
        let folder = acme.storage.join(folder_of(&acme.directory));
        let storage = Self { whole: acme.storage.clone(), folder, directory: acme.directory.clone() };
        for folder in [&storage.whole, &storage.folder] {
            if let Some(found) = looked_at(folder)? {
                if !found.is_dir() {
                    return Err(io(folder)(io::ErrorKind::NotADirectory.into()));
                }
                refuse_open(folder, &found, "chmod 700")?;
            }
        }
        storage.account()?;
        Ok(storage)
    }

    /// Makes the folders that are missing.
    pub fn prepare(&self) -> Result<(), StorageError> {
        for folder in [&self.whole, &self.folder] {
            match fs::DirBuilder::new().mode(0o700).create(folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(io(folder)(error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// The account, if there is one.
    pub fn account(&self) -> Result<Option<AccountCredentials>, StorageError> {
        #[derive(Deserialize)]
        struct Made<'a> {
            #[serde(borrow)]
            directory: std::borrow::Cow<'a, str>,
        }
        let path = self.folder.join(ACCOUNT);
        let Some(text) = read(&path)? else { return Ok(None) };
        let damaged = |why| StorageError::Account { path: path.clone(), why };
        // Errors of the parser could hold what stands there.
        let made: Made<'_> = serde_json::from_slice(&text).map_err(|_| damaged("it is damaged"))?;
        if made.directory != self.directory {
            return Err(damaged("it is of another authority"));
        }
        let credentials: AccountCredentials =
            serde_json::from_slice(&text).map_err(|_| damaged("it is damaged"))?;
        let key = Key::from_pkcs8_der(credentials.private_key().clone_key());
        key.map_err(|_| damaged("its key is damaged"))?;
        Ok(Some(credentials))
    }

    /// Where the account lies.
    pub fn account_file(&self) -> PathBuf {
        self.folder.join(ACCOUNT)
    }

    /// Keeps a new account.
    pub fn keep_account(&self, credentials: &AccountCredentials) -> Result<(), StorageError> {
        let path = self.account_file();
        let text = serde_json::to_vec(credentials).map_err(|error| io(&path)(error.into()))?;
        self.write(&path, &Zeroizing::new(text))
    }

    /// Where the certificate of this name lies.
    pub fn certificate_file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.pem"))
    }

    /// The certificate of this name, if there is one.
    pub fn certificate(
        &self,
        name: &str,
        provider: &CryptoProvider,
    ) -> Result<Option<Certificate>, BadCertificate> {
        let path = self.certificate_file(name);
        let unreadable = |error: StorageError| BadCertificate::File {
            path: path.clone(),
            error: PemError::Unreadable(io::Error::other(error)),
        };
        let text = read(&path).map_err(unreadable)?;
        text.map(|text| Certificate::read(&text, &path, provider)).transpose()
    }

    /// Keeps a certificate with its key.
    pub fn keep_certificate(&self, name: &str, text: &[u8]) -> Result<(), StorageError> {
        self.write(&self.certificate_file(name), text)
    }

    /// Whether it is our turn to order; none: somebody else orders.
    pub fn lock(&self) -> Result<Option<Lock>, StorageError> {
        let path = self.folder.join(LOCK);
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = file.map_err(io(&path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock { _file: file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(io(&path)(error.into())),
        }
    }

    /// Puts a file in its place, on the disk when this returns.
    fn write(&self, path: &Path, text: &[u8]) -> Result<(), StorageError> {
        let fresh = path.with_added_extension("new");
        let write = || {
            // What an interrupted attempt has left.
            match fs::remove_file(&fresh) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
            file.write_all(text)?;
            file.sync_all()?;
            fs::rename(&fresh, path)?;
            File::open(&self.folder)?.sync_all()
        };
        write().map_err(io(path))
    }
}

/// A name for the folder of an authority that no other has, as far as host and path tell them apart.
fn folder_of(directory: &str) -> String {
    let address = directory.strip_prefix("https://").unwrap_or(directory);
    let readable: String = address
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
        .take(64)
        .collect();
    format!("{readable}-{:08x}", crc32fast::hash(directory.as_bytes()))
}

/// What a file holds; wiped when dropped.
fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, StorageError> {
    let Some(found) = looked_at(path)? else { return Ok(None) };
    if !found.is_file() || found.len() > LONGEST_FILE {
        return Err(io(path)(io::Error::other("is no file of ours")));
    }
    refuse_open(path, &found, "chmod 600")?;
    let length = usize::try_from(found.len()).unwrap_or_default();
    let mut text = Zeroizing::new(Vec::with_capacity(length + 1));
    let file = File::open(path).map_err(io(path))?;
    file.take(LONGEST_FILE).read_to_end(&mut text).map_err(io(path))?;
    Ok(Some(text))
}

fn looked_at(path: &Path) -> Result<Option<fs::Metadata>, StorageError> {
    match fs::metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io(path)(error)),
    }
}

fn refuse_open(path: &Path, found: &fs::Metadata, mend: &'static str) -> Result<(), StorageError> {
    match found.mode() & 0o077 {
        0 => Ok(()),
        _ => Err(StorageError::Open { path: path.to_owned(), mend }),
    }
}

fn io(path: &Path) -> impl FnOnce(io::Error) -> StorageError {
    let path = path.to_owned();
    move |error| StorageError::Io { path, error }
}

const ACCOUNT: &str = "account.json";
const LOCK: &str = "lock";
/// In bytes: a chain of certificates has a tenth of it.
const LONGEST_FILE: u64 = 256 * 1024;
