//! TLS of this gateway's ports: put up at the start, kept as its files and its configuration change.

use std::{sync::Arc, time::Duration};

use super::{background, start_error::StartError};
use crate::{
    config::{Config, Warning},
    domain::time::{Clock, Timestamp},
    proxy::server::PROTOCOLS,
    runtime::{
        tasks::Tasks,
        tls::{self, Door, Keeper},
    },
    telemetry::metrics::Metrics,
};

pub use crate::runtime::tls::Shown;

/// The doors of the ports that speak TLS.
pub(super) struct Doors {
    keeper: Option<Arc<Keeper>>,
    to_admins: bool,
}

impl Doors {
    /// Reads the certificates, and from now on looks whether their files change.
    pub(super) fn open(config: &Config, metrics: &Metrics, tasks: &Tasks) -> Result<Self, StartError> {
        let Some(wanted) = &config.tls else { return Ok(Self { keeper: None, to_admins: false }) };
        let keeper = Keeper::new(wanted, PROTOCOLS, Arc::clone(&metrics.tls));
        let keeper = Arc::new(keeper.map_err(|error| StartError::tls(config, error))?);
        background::start(tasks, "certificate files", look(Arc::clone(&keeper)));
        Ok(Self { keeper: Some(keeper), to_admins: wanted.admin })
    }

    /// The gateway port's.
    pub(super) fn gateway(&self) -> Option<&Arc<Door>> {
        self.keeper.as_ref().map(|keeper| &keeper.gateway)
    }

    /// The admin port's.
    pub(super) fn admin(&self) -> Option<&Arc<Door>> {
        self.keeper.as_ref().filter(|_| self.to_admins).map(|keeper| &keeper.admin)
    }

    /// Puts what the configuration says now in force, and what the files hold. Whether a port speaks TLS at all is
    /// settled at the start.
    pub(super) fn reload(&self, config: &Config) {
        if let (Some(keeper), Some(wanted)) = (&self.keeper, &config.tls) {
            match keeper.reload(wanted) {
                Ok(()) => tracing::info!("certificates read again"),
                Err(error) => tracing::error!(%error, "{KEPT}"),
            }
        }
    }
}

async fn look(keeper: Arc<Keeper>) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        match keeper.look() {
            None => {}
            Some(Ok(())) => tracing::info!("certificate files have changed and were read again"),
            Some(Err(error)) => tracing::error!(%error, "{KEPT}"),
        }
    }
}

/// The certificates of a configuration, and what is odd about them.
pub fn examine(config: &Config) -> Result<(Vec<Shown>, Vec<Warning>), StartError> {
    let Some(wanted) = &config.tls else { return Ok((Vec::new(), Vec::new())) };
    let shown = tls::examine(wanted).map_err(|error| StartError::tls(config, error))?;
    let now = Clock::system().now();
    let odd = shown.iter().enumerate().flat_map(|(index, shown)| odd(index, shown, now)).collect();
    Ok((shown, odd))
}

fn odd(index: usize, shown: &Shown, now: Timestamp) -> Vec<Warning> {
    let warning = |key: &str, text: String| Warning { key: format!("tls.certificate[{index}].{key}"), text };
    let (name, ends) = (shown.file.display(), shown.ends);
    let mut odd = Vec::new();
    if ends <= now {
        odd.push(warning("cert", format!("{name} has expired at {ends}: clients will refuse it")));
    } else if ends <= now.after(SOON) {
        odd.push(warning("cert", format!("{name} expires at {ends}")));
    }
    if shown.begins > now {
        odd.push(warning(
            "cert",
            format!("{name} counts only from {} on: clients will refuse it", shown.begins),
        ));
    }
    if shown.key_is_open {
        odd.push(warning("key", "can be read by everybody on this machine: chmod o-r".to_owned()));
    }
    odd
}

const KEPT: &str = "the certificates cannot be used; the old ones stay";
/// What is changed is read when it looked the same twice.
const EVERY: Duration = Duration::from_secs(1);
/// Whoever renews certificates has done so by then.
const SOON: Duration = Duration::from_secs(7 * 24 * 3600);
