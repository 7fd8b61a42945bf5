//! Certificates that this gateway orders: which are due, one after another, and what came of it.
//!
//! The old certificate stays until the new one is there, and handshakes go on meanwhile. Several processes may share a
//! storage, such as one that takes the place of another: who has its lock orders, and what another has ordered is taken up
//! from it.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;

use crate::{
    config::Acme,
    domain::time::Clock,
    runtime::{
        acme::{AcmeError, Attempts, Authority, Storage, StorageError, renewal},
        tls::{BadCertificate, Certificate, CryptoProvider, Keeper, Ordered, TlsSetup},
    },
    telemetry::metrics::TlsMetrics,
};

/// What is ordered at present, and how.
pub(super) struct Orders {
    keeper: Arc<Keeper>,
    clock: Clock,
    metrics: Arc<TlsMetrics>,
    in_force: ArcSwapOption<Source>,
    changed: Notify,
}

/// An authority, and what is kept of what it gave.
pub(super) struct Source {
    acme: Acme,
    storage: Storage,
    authority: Authority,
}

impl Source {
    /// Whether anything can be ordered as it is configured; nothing is asked and nothing written.
    pub(super) fn of(acme: &Acme) -> Result<Self, TlsSetup> {
        let setup = |key, why| TlsSetup::Acme { key, why };
        // Without a file there is nothing that could be wrong with it.
        let ca = acme.directory_ca.as_deref().unwrap_or(Path::new("")).display();
        let authority = Authority::of(acme).map_err(|error| setup("directory_ca", format!("{ca}: {error}")));
        let storage = Storage::of(acme).map_err(|error| setup("storage", error.to_string()));
        Ok(Self { authority: authority?, storage: storage?, acme: acme.clone() })
    }

    /// The certificate that is kept for this name.
    pub(super) fn kept(
        &self,
        name: &str,
        provider: &CryptoProvider,
    ) -> Result<Option<(PathBuf, Certificate)>, BadCertificate> {
        let kept = self.storage.certificate(name, provider)?;
        Ok(kept.map(|certificate| (self.storage.certificate_file(name), certificate)))
    }
}

impl Orders {
    pub(super) fn new(keeper: Arc<Keeper>, clock: Clock, metrics: Arc<TlsMetrics>) -> Self {
        Self { keeper, clock, metrics, in_force: ArcSwapOption::empty(), changed: Notify::new() }
    }

    /// What a configuration wants ordered, with a place to keep it.
    pub(super) fn prepare(&self, acme: Option<&Acme>) -> Result<Option<Source>, TlsSetup> {
        let setup = |error: StorageError| TlsSetup::Acme { key: "storage", why: error.to_string() };
        let prepare = |acme| {
            let source = Source::of(acme)?;
            source.storage.prepare().map_err(setup)?;
            Ok(source)
        };
        let source = acme.map(prepare).transpose();
        self.metrics.last_ok.set(i64::from(source.is_ok()));
        source
    }

    /// Puts it in force, and takes up what is kept, so that nobody waits for what is there. What failed before is tried
    /// again.
    pub(super) fn begin(&self, source: Option<Source>) {
        let source = source.map(Arc::new);
        self.in_force.store(source.clone());
        self.changed.notify_one();
        let Some(source) = source else { return };
        for name in &source.acme.domains {
            self.take_up_one(&source, name);
        }
        let waiting: Vec<&str> = source
            .acme
            .domains
            .iter()
            .filter(|name| self.is_due(&source, name))
            .map(String::as_str)
            .collect();
        if !waiting.is_empty() {
            tracing::info!(
                names = waiting.join(" "),
                directory = source.acme.directory,
                "certificates are to be ordered"
            );
        }
    }

    /// What another process has ordered, or this one before it was started again.
    fn take_up_one(&self, source: &Source, name: &str) {
        match source.storage.certificate(name, self.keeper.provider()) {
            Ok(None) => {}
            Ok(Some(certificate)) => {
                let known = self.keeper.ordered(name, &source.storage.certificate_file(name));
                if certificate.is_for(name) && known.is_none_or(|known| known.lot() != certificate.lot()) {
                    self.supply(source, name, certificate);
                }
            }
            Err(error) => {
                tracing::error!(name, %error, "a certificate that was ordered cannot be used; another is ordered");
            }
        }
    }

    fn supply(&self, source: &Source, name: &str, certificate: Certificate) {
        let file = source.storage.certificate_file(name);
        if let Err(error) = self.keeper.supply(name, Ordered { certificate, file }) {
            tracing::error!(name, %error, "a certificate that was ordered cannot be shown");
        }
    }

    /// A name that a file has is the file's.
    fn is_due(&self, source: &Source, name: &str) -> bool {
        let known = self.keeper.ordered(name, &source.storage.certificate_file(name));
        let ends = known.map(|known| renewal(known.begins, known.ends, known.lot()));
        ends.is_none_or(|ends| ends <= self.clock.now()) && !self.keeper.is_in_files(name)
    }

    /// Orders what is due, for as long as it is polled.
    pub(super) async fn keep(self: Arc<Self>) {
        let mut attempts: HashMap<String, Attempts> = HashMap::new();
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = self.changed.notified() => attempts.values_mut().for_each(Attempts::resume),
            }
            match self.in_force.load_full() {
                Some(source) => {
                    attempts.retain(|name, _| source.acme.domains.contains(name));
                    self.order_what_is_due(&source, &mut attempts).await;
                }
                None => attempts.clear(),
            }
            let failing = attempts.values().filter(|attempts| attempts.is_failing()).count();
            self.metrics.acme.failing.set(i64::try_from(failing).unwrap_or(i64::MAX));
        }
    }

    async fn order_what_is_due(&self, source: &Source, attempts: &mut HashMap<String, Attempts>) {
        let may_try = |attempts: &HashMap<String, Attempts>, name: &str| {
            attempts.get(name).copied().unwrap_or_default().may_try(self.clock.uptime())
        };
        let due: Vec<&String> = source
            .acme
            .domains
            .iter()
            .filter(|name| self.is_due(source, name) && may_try(attempts, name))
            .collect();
        if due.is_empty() {
            return;
        }
        let _turn = match source.storage.lock() {
            Ok(Some(turn)) => turn,
            Ok(None) => return tracing::debug!("another process orders certificates into the same storage"),
            Err(error) => {
                let error = AcmeError::from(error);
                return due.into_iter().for_each(|name| self.failed(source, name, &error, attempts));
            }
        };
        for name in due {
            self.take_up_one(source, name);
            // Another process was faster, or the authority has just said that it wants to hear nothing.
            if !self.is_due(source, name) || !may_try(attempts, name) {
                continue;
            }
            let (provider, challenges) = (self.keeper.provider(), &self.keeper.challenges);
            let Source { acme, storage, authority } = source;
            match authority.order(name, acme, storage, challenges, (provider, &self.clock)).await {
                Ok(certificate) => {
                    attempts.remove(name);
                    self.metrics.acme.issued.inc();
                    tracing::info!(name, ends = %certificate.ends, "a certificate was ordered");
                    self.supply(source, name, certificate);
                }
                Err(error) => self.failed(source, name, &error, attempts),
            }
        }
    }

    fn failed(
        &self,
        source: &Source,
        name: &str,
        error: &AcmeError,
        attempts: &mut HashMap<String, Attempts>,
    ) {
        self.metrics.acme.failed.inc();
        let lot = getrandom::u32().unwrap_or_default();
        let bar = source.authority.take_bar();
        let known = attempts.entry(name.to_owned()).or_default();
        let pause = known.failed(self.clock.uptime(), error.is_counted(), bar, lot);
        let again = self.clock.now().after(pause);
        tracing::error!(name, %error, %again, "no certificate could be ordered; what there is stays");
    }
}

/// How often it is asked what is due.
const EVERY: Duration = Duration::from_secs(1);
