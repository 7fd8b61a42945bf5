//! Our own certificates: read, held against their keys, and chosen by the name that a client asks for.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer};

use super::pem::{self, PemError};
use crate::{config::CertificateFiles, domain::time::Timestamp};

/// A certificate with its key. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// What it is for, as it is written there, names before addresses; at least one word.
    pub names: Arc<[String]>,
    /// From when it counts.
    pub begins: Timestamp,
    /// Until when.
    pub ends: Timestamp,
    key: Arc<CertifiedKey>,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadCertificate {
    /// One of its files is at fault.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: PemError,
    },
    /// The certificate is none that can be understood.
    #[error("{}: the first certificate cannot be used: {why}", path.display())]
    Unusable {
        /// Its file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The key is of a kind that is not supported, or too weak.
    #[error("{}: the private key cannot be used: {why}", path.display())]
    Key {
        /// Its file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// They do not belong together.
    #[error("{}: is not the private key of {}", key.display(), cert.display())]
    Strangers {
        /// The key's file.
        key: PathBuf,
        /// The certificate's.
        cert: PathBuf,
    },
}

impl Certificate {
    /// Reads a certificate and its key.
    pub fn load(files: &CertificateFiles, provider: &CryptoProvider) -> Result<Self, BadCertificate> {
        let CertificateFiles { cert, key } = files;
        let chain = pem::certificates(cert).map_err(of(cert))?;
        let private = pem::private_key(key).map_err(of(key))?;
        Self::made(chain, private, files, provider)
    }

    /// The same out of one text that is to become this file: the key, and the certificate with those that lead to its
    /// authority.
    pub(in crate::runtime) fn read(
        text: &[u8],
        path: &Path,
        provider: &CryptoProvider,
    ) -> Result<Self, BadCertificate> {
        let chain = pem::certificates_in(text).map_err(of(path))?;
        let private = pem::private_key_in(text).map_err(of(path))?;
        let files = CertificateFiles { cert: path.to_owned(), key: path.to_owned() };
        Self::made(chain, private, &files, provider)
    }

    fn made(
        chain: Vec<CertificateDer<'static>>,
        private: PrivateKeyDer<'static>,
        CertificateFiles { cert, key }: &CertificateFiles,
        provider: &CryptoProvider,
    ) -> Result<Self, BadCertificate> {
        let leaf = chain.first().map(AsRef::as_ref).unwrap_or_default();
        let unusable = |why: String| BadCertificate::Unusable { path: cert.clone(), why };
        let (_, parsed) = X509Certificate::from_der(leaf).map_err(|error| unusable(error.to_string()))?;
        let names = names(&parsed).into();
        let at = |time: x509_parser::time::ASN1Time| {
            Timestamp::from_micros(time.timestamp().saturating_mul(1_000_000))
        };
        let (begins, ends) = (at(parsed.validity().not_before), at(parsed.validity().not_after));
        let signing = provider.key_provider.load_private_key(private);
        let signing =
            signing.map_err(|error| BadCertificate::Key { path: key.clone(), why: error.to_string() })?;
        let certified = CertifiedKey::new(chain, signing);
        match certified.keys_match() {
            // A key that cannot tell is one that rustls did not make: there is none here.
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => {
                return Err(BadCertificate::Strangers { key: key.clone(), cert: cert.clone() });
            }
            Err(error) => return Err(unusable(error.to_string())),
        }
        Ok(Self { names, begins, ends, key: Arc::new(certified) })
    }

    /// What it is called in metrics and messages.
    pub fn name(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }

    /// A number of its own: the same for the same certificate, and any for another.
    pub fn lot(&self) -> u32 {
        crc32fast::hash(self.key.cert.first().map(AsRef::as_ref).unwrap_or_default())
    }

    /// Whether it is for this name.
    pub fn is_for(&self, name: &str) -> bool {
        let parent = name.split_once('.').map(|(_, parent)| parent);
        self.names.iter().any(|own| {
            own == name
                || own.strip_prefix("*.").is_some_and(|own| parent.is_some_and(|parent| own == parent))
        })
    }
}

fn of(path: &Path) -> impl FnOnce(PemError) -> BadCertificate {
    let path = path.to_owned();
    move |error| BadCertificate::File { path, error }
}

/// In lower case. The common name counts where there is no other, as it did before RFC 6125; without any the
/// certificate is known by a dash.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    let alternatives = alternatives.map(|found| found.value.general_names.as_slice()).unwrap_or_default();
    let (mut names, mut addresses) = (Vec::new(), Vec::new());
    for alternative in alternatives {
        match alternative {
            GeneralName::DNSName(name) => names.push(name.trim_end_matches('.').to_ascii_lowercase()),
            GeneralName::IPAddress(bytes) => addresses.extend(address(bytes)),
            _ => {}
        }
    }
    if names.is_empty() && addresses.is_empty() {
        let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
        names.extend(common.map(str::to_ascii_lowercase));
    }
    names.extend(addresses);
    if names.is_empty() { vec!["-".to_owned()] } else { names }
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|bytes| std::net::Ipv4Addr::from(bytes).to_string());
    let v6 = || <[u8; 16]>::try_from(bytes).map(|bytes| std::net::Ipv6Addr::from(bytes).to_string());
    v4.or_else(|_| v6()).ok()
}

/// All certificates of a configuration, in its order.
#[derive(Debug)]
pub struct Certificates {
    all: Vec<Certificate>,
    exact: HashMap<String, usize>,
    /// By what stands behind `*.`.
    wild: HashMap<String, usize>,
    /// Names whose certificate is ordered and not there yet: nobody is shown another's in their place.
    awaited: HashSet<String>,
}

impl Certificates {
    /// Puts them together. Where two have a name, it is the first one's.
    pub fn new(all: Vec<Certificate>, awaited: HashSet<String>) -> Self {
        let (mut exact, mut wild) = (HashMap::new(), HashMap::new());
        for (place, certificate) in all.iter().enumerate() {
            for name in certificate.names.iter() {
                match name.strip_prefix("*.") {
                    Some(parent) => wild.entry(parent.to_owned()).or_insert(place),
                    None => exact.entry(name.clone()).or_insert(place),
                };
            }
        }
        Self { all, exact, wild, awaited }
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Certificate> {
        self.all.iter()
    }

    /// How many names wait for theirs.
    pub fn awaited(&self) -> usize {
        self.awaited.len()
    }

    /// The place of the one that is shown to whoever asks for this name, which may be written in any case and with a
    /// dot at its end (RFC 6066 section 3, RFC 6125 section 6.4); none when there is none yet.
    pub fn place_of(&self, name: Option<&str>) -> Option<usize> {
        let first = (!self.all.is_empty()).then_some(0);
        let Some(name) = name else { return first };
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return self.place_of(Some(&name.to_ascii_lowercase()));
        }
        let wild = || self.wild.get(name.split_once('.')?.1);
        let found = self.exact.get(name).or_else(wild).copied();
        found.or_else(|| first.filter(|_| !self.awaited.contains(name)))
    }

    /// Whether a client that was shown the certificate at this place may ask for this host: that certificate is for it,
    /// or is the one that would be shown for it. `host` is in lower case, without port and trailing dot.
    pub fn may_ask(&self, place: usize, host: &str) -> bool {
        self.all.len() + self.awaited.len() < 2
            || self.place_of(Some(host)) == Some(place)
            || self.all.get(place).is_some_and(|shown| shown.is_for(host))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.all.get(self.place_of(hello.server_name())?).map(|certificate| Arc::clone(&certificate.key))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::runtime::tls::provider;

    fn made(names: &[&str]) -> Certificate {
        let folder = tempfile::tempdir().unwrap();
        let files = CertificateFiles { cert: folder.path().join("c"), key: folder.path().join("k") };
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        fs::write(&files.cert, certificate.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        Certificate::load(&files, &provider()).unwrap()
    }

    fn several() -> Certificates {
        Certificates::new(
            vec![
                made(&["default.example"]),
                made(&["a.example", "*.shared.example"]),
                made(&["*.example", "b.shared.example", "A.example"]),
            ],
            HashSet::new(),
        )
    }

    #[test]
    fn names_are_found_however_they_are_written() {
        let several = several();
        for (name, place) in [
            ("a.example", 1),
            ("A.EXAMPLE", 1),
            ("a.example.", 1),
            ("A.Example.", 1),
            ("c.example", 2),
            ("C.EXAMPLE.", 2),
            ("x.shared.example", 1),
            ("b.shared.example", 2),
            ("default.example", 0),
            // A wildcard is one label.
            ("y.x.shared.example", 0),
            ("shared.example", 2),
            ("example", 0),
            ("*.example", 2),
            (".example", 2),
            ("", 0),
            (".", 0),
            ("a.example..", 0),
        ] {
            assert_eq!(several.place_of(Some(name)), Some(place), "{name}");
        }
        assert_eq!(several.place_of(None), Some(0));
    }

    #[test]
    fn a_host_of_another_certificate_may_not_be_asked_for() {
        let several = several();
        assert!(several.may_ask(1, "a.example") && several.may_ask(1, "x.shared.example"));
        // It is the first one's, and in the third one's names too.
        assert!(several.may_ask(2, "a.example"));
        for (place, host) in [(0, "a.example"), (1, "c.example"), (2, "x.shared.example"), (1, "nobody")] {
            assert!(!several.may_ask(place, host), "{place} {host}");
        }
        assert!(several.may_ask(0, "nobody") && several.may_ask(0, "127.0.0.1"));
        assert!(
            Certificates::new(vec![made(&["a.example"])], HashSet::new()).may_ask(0, "b.example"),
            "one is for all"
        );
    }

    /// Nobody is shown another's certificate for a name that waits for its own, or asks for it there.
    #[test]
    fn a_name_that_waits_is_nobody_elses() {
        let waiting = || HashSet::from(["b.example".to_owned(), "x.shared.example".to_owned()]);
        let none = Certificates::new(Vec::new(), waiting());
        assert_eq!((none.place_of(None), none.place_of(Some("c.example"))), (None, None));
        let one = Certificates::new(vec![made(&["a.example", "*.shared.example"])], waiting());
        assert_eq!((one.place_of(Some("B.example.")), one.place_of(Some("c.example"))), (None, Some(0)));
        // A wildcard of a file will do meanwhile.
        assert_eq!(one.place_of(Some("x.shared.example")), Some(0));
        assert!(!one.may_ask(0, "b.example") && one.may_ask(0, "c.example"));
    }

    #[test]
    fn a_key_of_another_certificate_is_found_out() {
        let folder = tempfile::tempdir().unwrap();
        let files = CertificateFiles { cert: folder.path().join("c"), key: folder.path().join("k") };
        let (one, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let params = CertificateParams::new(vec!["a.example".to_owned(), "192.0.2.1".to_owned()]).unwrap();
        fs::write(&files.cert, params.self_signed(&one).unwrap().pem()).unwrap();
        fs::write(&files.key, other.serialize_pem()).unwrap();
        let error = Certificate::load(&files, &provider()).unwrap_err();
        assert!(matches!(error, BadCertificate::Strangers { .. }), "{error}");
        fs::write(&files.key, one.serialize_pem()).unwrap();
        assert_eq!(Certificate::load(&files, &provider()).unwrap().names[..], ["a.example", "192.0.2.1"]);
    }
}
