//! What stands behind the doors: files, read at the start and again whenever they have changed.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use rustls::crypto::CryptoProvider;

use super::{
    certificate::{BadCertificate, Certificate, Certificates},
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
    provider: Arc<CryptoProvider>,
    metrics: Arc<TlsMetrics>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    config: Tls,
    terms: Terms,
    resumption: [Resumption; 2],
    /// What the files looked like when they were last read, with or without success.
    read: Vec<Option<Look>>,
    /// What they looked like a moment ago, if that was different: whoever writes them may not have finished.
    changing: Option<Vec<Option<Look>>>,
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
        let (certificates, terms) = (certificates(config, &provider)?, terms(config)?);
        let resumption = [Resumption::new()?, Resumption::new()?];
        let door = |protocols, resumption| Door::new(protocols, &certificates, &terms, resumption, &provider);
        let gateway = Arc::new(door(protocols, &resumption[0])?);
        let admin = Arc::new(door(&[b"http/1.1"], &resumption[1])?);
        tell(&metrics, &certificates);
        let state = State { config: config.clone(), terms, resumption, read, changing: None };
        Ok(Self { gateway, admin, provider, metrics, state: Mutex::new(state) })
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
        let (certificates, terms) = (certificates(config, &self.provider)?, terms(config)?);
        let resumption = if terms.are(&state.terms) {
            state.resumption.clone()
        } else {
            [Resumption::new()?, Resumption::new()?]
        };
        self.gateway.replace(&certificates, &terms, &resumption[0], &self.provider)?;
        self.admin.replace(&certificates, &terms, &resumption[1], &self.provider)?;
        tell(&self.metrics, &certificates);
        (state.config, state.terms, state.resumption) = (config.clone(), terms, resumption);
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
    let certificates = certificates(config, &provider)?;
    Door::new(&[], &certificates, &terms(config)?, &Resumption::new()?, &provider)?;
    let shown = certificates.iter().zip(&config.certificates).map(|(certificate, files)| Shown {
        file: files.cert.clone(),
        names: certificate.names.clone(),
        begins: certificate.begins,
        ends: certificate.ends,
        key_is_open: fs::metadata(&files.key).is_ok_and(|file| file.mode() & 0o004 != 0),
    });
    Ok(shown.collect())
}

fn certificates(config: &Tls, provider: &CryptoProvider) -> Result<Arc<Certificates>, TlsSetup> {
    let load = |(index, files)| {
        Certificate::load(files, provider).map_err(|error| TlsSetup::Certificate { index, error })
    };
    let all = config.certificates.iter().enumerate().map(load).collect::<Result<_, _>>()?;
    Ok(Arc::new(Certificates::new(all)))
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
        };
        let before = looks(&config);
        assert_eq!(before, looks(&config));
        // The clock of a file system goes in steps.
        std::thread::sleep(std::time::Duration::from_millis(50));
        fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
        assert_ne!(before, looks(&config));
    }
}
