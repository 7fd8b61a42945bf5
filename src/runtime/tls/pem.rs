//! Certificates and keys out of PEM files, with errors for whoever has to mend them.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use rustls::{
    RootCertStore,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};
use zeroize::Zeroizing;

/// Why a PEM file cannot be used, in words that follow its name. No error holds anything of a key.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It is none: a folder, or a pipe, whose end nobody could wait for.
    #[error("is no file")]
    NoFile,
    /// It is far longer than any bundle of certificates.
    #[error("has more than {LONGEST_FILE} bytes")]
    TooLong,
    /// A section of it is broken.
    #[error("is no well-formed PEM file")]
    NotPem,
    /// It holds no certificate.
    #[error("holds no certificate: it must have a section BEGIN CERTIFICATE")]
    NoCertificate,
    /// It holds no private key.
    #[error("holds no private key: it must have a section BEGIN PRIVATE KEY")]
    NoKey,
    /// Its private key needs a password, and there is nobody to ask.
    #[error("holds a private key under a password: write it without one, `openssl pkey -in FILE -out NEW`")]
    EncryptedKey,
    /// A certificate of it is none.
    #[error("holds a certificate that cannot be used, number {number}: {why}")]
    BadCertificate {
        /// Which, from 1.
        number: usize,
        /// Why.
        why: String,
    },
}

/// The certificates of a file, in its order; at least one.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, PemError> {
    certificates_in(&read(path)?)
}

/// The same of a text.
pub(in crate::runtime) fn certificates_in(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match found {
        Ok(found) if found.is_empty() => Err(PemError::NoCertificate),
        Ok(found) => Ok(found),
        Err(_) => Err(PemError::NotPem),
    }
}

/// The first private key of a file: PKCS #8, PKCS #1 or SEC 1.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, PemError> {
    private_key_in(&read(path)?)
}

/// The same of a text.
pub(in crate::runtime) fn private_key_in(text: &[u8]) -> Result<PrivateKeyDer<'static>, PemError> {
    // OpenSSL's older form is a section as any other, with a line that says what was done to it.
    if contains(text, b"ENCRYPTED PRIVATE KEY") || contains(text, b"Proc-Type: 4,ENCRYPTED") {
        return Err(PemError::EncryptedKey);
    }
    PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        pem::Error::NoItemsFound => PemError::NoKey,
        _ => PemError::NotPem,
    })
}

/// Whom to believe: the authorities of a bundle, every one of which must be usable.
pub fn authorities(path: &Path) -> Result<RootCertStore, PemError> {
    let mut roots = RootCertStore::empty();
    for (index, certificate) in certificates(path)?.into_iter().enumerate() {
        roots
            .add(certificate)
            .map_err(|error| PemError::BadCertificate { number: index + 1, why: error.to_string() })?;
    }
    Ok(roots)
}

/// Wiped when dropped: it may hold a key.
fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, PemError> {
    if !fs::metadata(path)?.is_file() {
        return Err(PemError::NoFile);
    }
    let file = fs::File::open(path)?;
    // Room for all of it at once: a vector that grows leaves copies behind.
    let size = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX).min(LONGEST_FILE);
    let mut text = Zeroizing::new(Vec::with_capacity(size + 1));
    file.take(LONGEST_FILE as u64 + 1).read_to_end(&mut text)?;
    if text.len() > LONGEST_FILE { Err(PemError::TooLong) } else { Ok(text) }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(text, part).is_some()
}

/// In bytes: the platform's own bundle of authorities has a quarter of it.
const LONGEST_FILE: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, text).unwrap();
        file
    }

    fn pair() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec!["a.example".to_owned()]).unwrap().self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    #[test]
    fn what_stands_in_a_file_is_found() {
        let (certificate, key) = pair();
        let both = file(&format!("words before\n{certificate}{key}{certificate}"));
        assert_eq!(certificates(both.path()).unwrap().len(), 2);
        assert!(private_key(both.path()).is_ok());
        assert_eq!(authorities(both.path()).unwrap().len(), 2);
    }

    /// A pipe would be waited for, and with it everybody who asks for certificates.
    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("key.pem");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [pipe.as_path(), folder.path()] {
            assert!(matches!(private_key(path), Err(PemError::NoFile)), "{}", path.display());
        }
    }

    #[test]
    fn what_cannot_be_used_is_said() {
        let (certificate, key) = pair();
        let (only_certificate, only_key) = (file(&certificate), file(&key));
        assert!(matches!(certificates(only_key.path()), Err(PemError::NoCertificate)));
        assert!(matches!(private_key(only_certificate.path()), Err(PemError::NoKey)));
        assert!(matches!(certificates(Path::new("/nowhere")), Err(PemError::Unreadable(_))));
        assert!(matches!(certificates(Path::new("/dev/zero")), Err(PemError::NoFile)));
        let long = file(&" ".repeat(LONGEST_FILE + 1));
        assert!(matches!(certificates(long.path()), Err(PemError::TooLong)));
        let cut = file(certificate.trim_end().trim_end_matches("-----END CERTIFICATE-----"));
        assert!(matches!(certificates(cut.path()), Err(PemError::NotPem)));
        let locked = file(&key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"));
        assert!(matches!(private_key(locked.path()), Err(PemError::EncryptedKey)));
        let nonsense = file("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        assert!(matches!(authorities(nonsense.path()), Err(PemError::BadCertificate { number: 1, .. })));
    }
}
