//! TLS of this gateway's ports: put up at the start, kept as its files and its configuration change.

use std::{sync::Arc, time::Duration};

use super::{
    acme::{Orders, Source},
    background,
    start_error::StartError,
};
use crate::{
    config::{Config, Warning},
    domain::time::{Clock, Timestamp},
    proxy::server::PROTOCOLS,
    runtime::{
        tasks::Tasks,
        tls::{self, Challenges, Door, Keeper},
    },
    telemetry::metrics::Metrics,
};

pub use crate::runtime::tls::Shown;

/// The doors of the ports that speak TLS.
pub(super) struct Doors {
    keeper: Option<Arc<Keeper>>,
    orders: Option<Arc<Orders>>,
    to_admins: bool,
}

impl Doors {
    /// Reads the certificates, and from now on looks whether their files change, and which are to be ordered.
    pub(super) fn open(
        config: &Config,
        metrics: &Metrics,
        tasks: &Tasks,
        clock: &Clock,
    ) -> Result<Self, StartError> {
        let Some(wanted) = &config.tls else {
            return Ok(Self { keeper: None, orders: None, to_admins: false });
        };
        let keeper = Keeper::new(wanted, PROTOCOLS, Arc::clone(&metrics.tls));
        let keeper = Arc::new(keeper.map_err(|error| StartError::tls(config, error))?);
        let orders = Arc::new(Orders::new(Arc::clone(&keeper), clock.clone(), Arc::clone(&metrics.tls)));
        let source = orders.prepare(wanted.acme.as_ref()).map_err(|error| StartError::tls(config, error))?;
        orders.begin(source);
        background::start(tasks, "certificate files", look(Arc::clone(&keeper)));
        background::start(tasks, "certificate orders", Arc::clone(&orders).keep());
        Ok(Self { keeper: Some(keeper), orders: Some(orders), to_admins: wanted.admin })
    }

    /// What authorities may ask for on the port without TLS.
    pub(super) fn challenges(&self) -> Arc<Challenges> {
        self.keeper.as_ref().map(|keeper| Arc::clone(&keeper.challenges)).unwrap_or_default()
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
        if let (Some(keeper), Some(orders), Some(wanted)) = (&self.keeper, &self.orders, &config.tls) {
            let source = orders.prepare(wanted.acme.as_ref());
            match source.and_then(|source| keeper.reload(wanted).map(|()| source)) {
                Ok(source) => {
                    orders.begin(source);
                    tracing::info!("certificates read again");
                }
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
    let mut odd: Vec<_> =
        shown.iter().enumerate().flat_map(|(index, shown)| odd(index, shown, now)).collect();
    let (mut shown, provider) = (shown, tls::provider());
    let source = wanted.acme.as_ref().map(Source::of).transpose();
    let source = source.map_err(|error| StartError::tls(config, error))?;
    for (index, name) in wanted.acme.iter().flat_map(|acme| &acme.domains).enumerate() {
        let key = format!("tls.acme.domains[{index}]");
        if shown.iter().any(|shown| shown.names.contains(name)) {
            odd.push(Warning { key, text: format!("{name} is in a file already: none is ordered for it") });
            continue;
        }
        match source.as_ref().map(|source| source.kept(name, &provider)).transpose() {
            Ok(Some(Some((file, kept)))) => shown.push(Shown {
                file,
                names: kept.names.to_vec(),
                begins: kept.begins,
                ends: kept.ends,
                key_is_open: false,
            }),
            Ok(_) => odd.push(Warning {
                key,
                text: format!("{name} has no certificate yet: one is ordered when the gateway runs"),
            }),
            Err(error) => odd.push(Warning { key, text: format!("{error}: another is ordered") }),
        }
    }
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
