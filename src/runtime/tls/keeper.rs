//! What stands behind the doors: files, read at the start and again whenever they have changed, and certificates that
//! were ordered.

use std::{
    collections::{HashMap, HashSet},
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rustls::crypto::CryptoProvider;

use super::{
    certificate::{BadCertificate, Certificate, Certificates},
    challenge::Challenges,
    door::{Door, Resumption, Terms},
    pem::{self, PemError},
    provider,
};
use crate::{
    config::{ClientCertificates, Tls},
    domain::time::Timestamp,
    telemetry::metrics::TlsMetrics,
};

/// Keeps the doors of a gateway supplied.
#[derive(Debug)]
pub struct Keeper {
    /// The gateway port's.
    pub gateway: Arc<Door>,
    /// The admin port's, whether it is used or not.
    pub admin: Arc<Door>,
    /// What the gateway port owes to authorities.
    pub challenges: Arc<Challenges>,
    provider: Arc<CryptoProvider>,
    metrics: Arc<TlsMetrics>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    config: Tls,
    /// Of the files.
    read_in: Vec<Certificate>,
    /// Those that were ordered, by the names that they were ordered for.
    ordered: HashMap<String, Ordered>,
    terms: Terms,
    resumption: [Resumption; 2],
    /// What the files looked like when they were last read, with or without success.
    read: Vec<Option<Look>>,
    /// What they looked like a moment ago, if that was different: whoever writes them may not have finished.
    changing: Option<Vec<Option<Look>>>,
}

/// A certificate that was ordered.
#[derive(Debug, Clone)]
pub struct Ordered {
    /// It.
    pub certificate: Certificate,
    /// The file that it is kept in.
    pub file: PathBuf,
}

/// What shows that a file has changed, without reading it: where it lies, how long it is, and when it was written or given
/// other rights (one that could not be read may be readable now).
type Look = (u64, u64, u64, i64, i64);

/// Why TLS cannot be spoken as the configuration has it, in words that follow the key.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetup {
    /// A certificate.
    #[error("tls.certificate[{index}]: {error}")]
    Certificate {
        /// Which, from 0.
        index: usize,
        /// Why.
        error: BadCertificate,
    },
    /// The authorities of clients.
    #[error("tls.client_ca: {}: {error}", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why.
        error: PemError,
    },
    /// What is ordered.
    #[error("tls.acme.{key}: {why}")]
    Acme {
        /// Which key is at fault.
        key: &'static str,
        /// Why.
        why: String,
    },
    /// All of it together.
    #[error("tls: {0}")]
    Refused(#[from] rustls::Error),
}

impl Keeper {
    /// Reads all files. `protocols` are what is spoken on the gateway port.
    pub fn new(
        config: &Tls,
        protocols: &'static [&'static [u8]],
        metrics: Arc<TlsMetrics>,
    ) -> Result<Self, TlsSetup> {
        let provider = provider();
        let read = looks(config);
        let (read_in, terms) = (certificates(config, &provider)?, terms(config)?);
        let (ordered, challenges) = (HashMap::new(), Arc::<Challenges>::default());
        let certificates = together(config, &read_in, &ordered);
        let resumption = [Resumption::new()?, Resumption::new()?];
        let door = |protocols, resumption| Door::new(protocols, &certificates, &terms, resumption, &provider);
        let gateway = Arc::new(door(protocols, &resumption[0])?.answering(Arc::clone(&challenges)));
        let admin = Arc::new(door(&[b"http/1.1"], &resumption[1])?);
        tell(&metrics, &certificates);
        let config = config.clone();
        let state = State { config, read_in, ordered, terms, resumption, read, changing: None };
        Ok(Self { gateway, admin, challenges, provider, metrics, state: Mutex::new(state) })
    }

    /// The algorithms.
    pub const fn provider(&self) -> &Arc<CryptoProvider> {
        &self.provider
    }

    /// Shows this certificate, kept in this file, to whoever asks for the name from now on, if the configuration in force
    /// has it ordered.
    pub fn supply(&self, name: &str, ordered: Ordered) -> Result<(), TlsSetup> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = state.ordered.insert(name.to_owned(), ordered);
        let certificates = together(&state.config, &state.read_in, &state.ordered);
        let shown = self.show(&certificates, &state.terms, &state.resumption);
        if shown.is_err() {
            match before {
                Some(before) => state.ordered.insert(name.to_owned(), before),
                None => state.ordered.remove(name),
            };
        }
        shown
    }

    /// The certificate that was ordered for this name and is in force; `file` is where it would be kept.
    pub fn ordered(&self, name: &str, file: &Path) -> Option<Certificate> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let ordered = state.ordered.get(name).filter(|ordered| ordered.file == file);
        ordered.map(|ordered| ordered.certificate.clone())
    }

    /// Whether a certificate of the files has this very name, so that none needs to be ordered.
    pub fn is_in_files(&self, name: &str) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        has(&state.read_in, name)
    }

    /// Puts another configuration in force, or the same with what its files hold now. On an error nothing changes.
    pub fn reload(&self, config: &Tls) -> Result<(), TlsSetup> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = self.read_again(config, &mut state);
        self.metrics.last_ok.set(i64::from(outcome.is_ok()));
        outcome
    }

    /// Looks whether a file has changed, and reads them again once they have settled. Call it now and then.
    pub fn look(&self) -> Option<Result<(), TlsSetup>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = looks(&state.config);
        if now == state.read {
            state.changing = None;
            return None;
        }
        if state.changing.as_ref() != Some(&now) {
            state.changing = Some(now);
            return None;
        }
        let config = state.config.clone();
        let outcome = self.read_again(&config, &mut state);
        self.metrics.last_ok.set(i64::from(outcome.is_ok()));
        Some(outcome)
    }

    fn read_again(&self, config: &Tls, state: &mut State) -> Result<(), TlsSetup> {
        // Before they are read: what is written meanwhile is seen next time.
        (state.read, state.changing) = (looks(config), None);
        let (read_in, terms) = (certificates(config, &self.provider)?, terms(config)?);
        let certificates = together(config, &read_in, &state.ordered);
        let resumption = if terms.are(&state.terms) {
            state.resumption.clone()
        } else {
            [Resumption::new()?, Resumption::new()?]
        };
        self.show(&certificates, &terms, &resumption)?;
        let names: HashSet<&String> = config.acme.iter().flat_map(|acme| &acme.domains).collect();
        state.ordered.retain(|name, _| names.contains(name));
        (state.config, state.read_in) = (config.clone(), read_in);
        (state.terms, state.resumption) = (terms, resumption);
        Ok(())
    }

    fn show(
        &self,
        certificates: &Arc<Certificates>,
        terms: &Terms,
        resumption: &[Resumption; 2],
    ) -> Result<(), TlsSetup> {
        self.gateway.replace(certificates, terms, &resumption[0], &self.provider)?;
        self.admin.replace(certificates, terms, &resumption[1], &self.provider)?;
        tell(&self.metrics, certificates);
        Ok(())
    }
}

/// One certificate of a configuration, for whoever asks what it means.
#[derive(Debug)]
pub struct Shown {
    /// Its file.
    pub file: PathBuf,
    /// What it is for.
    pub names: Vec<String>,
    /// From when it counts.
    pub begins: Timestamp,
    /// Until when.
    pub ends: Timestamp,
    /// Others on this machine can read its private key.
    pub key_is_open: bool,
}

/// Reads everything, and keeps nothing.
pub fn examine(config: &Tls) -> Result<Vec<Shown>, TlsSetup> {
    let provider = provider();
    let read_in = certificates(config, &provider)?;
    let certificates = together(config, &read_in, &HashMap::new());
    Door::new(&[], &certificates, &terms(config)?, &Resumption::new()?, &provider)?;
    let shown = read_in.iter().zip(&config.certificates).map(|(certificate, files)| Shown {
        file: files.cert.clone(),
        names: certificate.names.to_vec(),
        begins: certificate.begins,
        ends: certificate.ends,
        key_is_open: fs::metadata(&files.key).is_ok_and(|file| file.mode() & 0o004 != 0),
    });
    Ok(shown.collect())
}

/// Those of the files, then those that were ordered; a name that a file has is the file's.
fn together(config: &Tls, read_in: &[Certificate], ordered: &HashMap<String, Ordered>) -> Arc<Certificates> {
    let (mut all, mut awaited) = (read_in.to_vec(), HashSet::new());
    for name in config.acme.iter().flat_map(|acme| &acme.domains).filter(|name| !has(read_in, name)) {
        match ordered.get(name) {
            Some(ordered) => all.push(ordered.certificate.clone()),
            None => drop(awaited.insert(name.clone())),
        }
    }
    Arc::new(Certificates::new(all, awaited))
}

fn has(certificates: &[Certificate], name: &str) -> bool {
    certificates.iter().any(|certificate| certificate.names.iter().any(|own| own == name))
}

fn certificates(config: &Tls, provider: &CryptoProvider) -> Result<Vec<Certificate>, TlsSetup> {
    let load = |(index, files)| {
        Certificate::load(files, provider).map_err(|error| TlsSetup::Certificate { index, error })
    };
    config.certificates.iter().enumerate().map(load).collect()
}

fn terms(config: &Tls) -> Result<Terms, TlsSetup> {
    let required = matches!(config.clients, ClientCertificates::Required(_));
    let authorities = match config.clients.authorities() {
        None => None,
        Some(path) => {
            let roots = pem::authorities(path);
            let roots = roots.map_err(|error| TlsSetup::Authorities { path: path.clone(), error })?;
            Some((Arc::new(roots), required))
        }
    };
    Ok(Terms { min_version: config.min_version, authorities })
}

impl Terms {
    /// Whether whoever was let in under the others would be under these.
    fn are(&self, others: &Self) -> bool {
        let roots =
            |terms: &Self| terms.authorities.as_ref().map(|(roots, must)| (roots.roots.clone(), *must));
        self.min_version == others.min_version && roots(self) == roots(others)
    }
}

fn tell(metrics: &TlsMetrics, certificates: &Certificates) {
    metrics.certificates(certificates.iter().map(|certificate| (certificate.name(), certificate.ends)));
    metrics.acme.missing.set(i64::try_from(certificates.awaited()).unwrap_or(i64::MAX));
}

fn looks(config: &Tls) -> Vec<Option<Look>> {
    let files = config.certificates.iter().flat_map(|files| [&files.cert, &files.key]);
    let look = |path: &PathBuf| {
        let file = fs::metadata(path).ok()?;
        Some((file.dev(), file.ino(), file.size(), file.ctime(), file.ctime_nsec()))
    };
    files.chain(config.clients.authorities()).map(look).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::config::{CertificateFiles, TlsVersion};

    /// What could not be read is tried again when it was given other rights, which changes nothing that is in it.
    #[test]
    fn other_rights_are_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        fs::write(&cert, "").unwrap();
        fs::write(&key, "").unwrap();
        let config = Tls {
            certificates: vec![CertificateFiles { cert, key: key.clone() }],
            clients: ClientCertificates::Unasked,
            min_version: TlsVersion::V1_2,
            admin: false,
            acme: None,
        };
        let before = looks(&config);
        assert_eq!(before, looks(&config));
        // The clock of a file system goes in steps.
        std::thread::sleep(std::time::Duration::from_millis(50));
        fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
        assert_ne!(before, looks(&config));
    }
}
