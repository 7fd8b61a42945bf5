//! Joins the backends of a configuration to what looks after them.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::start_error::{StartError, machine};
use crate::{
    config::Config,
    domain::time::Clock,
    proxy::{
        gateway::Gateway,
        upstream::{Fleet, Fleets, System, Tending},
    },
    runtime::tasks::Tasks,
};

/// Looks after backends for as long as the gateway runs.
pub(super) struct Backends(Tending);

impl Backends {
    /// Those of the first configuration. They are looked after on the runtime of the caller.
    pub(super) fn begin(config: &Config, clock: &Clock, tasks: &Tasks) -> Result<(Self, Fleets), StartError> {
        let backends = Self(Tending {
            tasks: tasks.clone(),
            runtime: Handle::current(),
            clock: clock.clone(),
            resolver: Arc::new(System),
            seed: getrandom::u64().map_err(machine("randomness"))?,
        });
        let fleets = backends.of(config, None)?;
        Ok((backends, fleets))
    }

    /// Shows which targets are up, of the configuration that is in force.
    pub(super) fn shown(gateway: Gateway) -> Arc<Gateway> {
        let gateway = Arc::new(gateway);
        let shown = Arc::downgrade(&gateway);
        gateway.metrics.on_scrape(move |metrics| {
            let Some(gateway) = shown.upgrade() else { return };
            let snapshot = gateway.snapshot();
            let of = |fleet: &Arc<Fleet>| {
                let name = fleet.config().name.clone();
                fleet.targets().into_iter().map(move |(target, up)| ([name.clone(), target], up))
            };
            metrics.targets(snapshot.fleets.iter().flat_map(of).collect());
        });
        gateway
    }

    /// The backends of a configuration; those that were there `before` and are the same go on.
    pub(super) fn of(&self, config: &Config, before: Option<&Fleets>) -> Result<Fleets, StartError> {
        let fleets = made(config, before)?;
        fleets.tend(before, &self.0);
        Ok(fleets)
    }
}

/// The backends of a configuration, which nobody looks after.
pub(super) fn made(config: &Config, before: Option<&Fleets>) -> Result<Fleets, StartError> {
    let upstream = |error| StartError::Upstream { origin: config.origin.clone(), error };
    Fleets::new(config, before).map_err(upstream)
}
