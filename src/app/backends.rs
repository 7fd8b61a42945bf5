//! Joins the backends of a configuration to what looks after them.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::start_error::{StartError, machine};
use crate::{
    config::Config,
    domain::time::Clock,
    proxy::upstream::{Fleets, System, Tending},
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
