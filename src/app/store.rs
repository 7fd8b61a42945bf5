//! What has to be had before anything is served: the open store, what the feed says, the hashing pool.
//!
//! All of it is begun by threads of the control runtime, because what they start inherits their
//! [priority](crate::runtime::priority): the store's connections, which are threads, and those that hash.

use std::sync::Arc;

use super::start_error::{StartError, machine};
use crate::{
    config::Config,
    domain::time::Clock,
    proxy::directory::{Cache, follow},
    runtime::{
        hashing::{Hashing, HashingLimits},
        tasks::Tasks,
    },
    store::{Options, Store},
    telemetry::metrics::Metrics,
};

/// The store that the configuration names, brought up to date.
pub(super) async fn open(config: &Config, clock: &Clock, tasks: &Tasks) -> Result<Store, StartError> {
    let options = Options::sqlite(config.store.url.path()).migrate(true);
    let now = clock.now();
    let opening = tasks.run("opening of the store", async move { Store::open(&options, now).await });
    Ok(opening.await.ok_or("it panicked").map_err(machine("store"))??)
}

/// Reads the feed for the first time.
pub(super) async fn begin_following(cache: &Cache, tasks: &Tasks) -> Result<(), StartError> {
    let cache = cache.clone();
    let reading = tasks.run("first reading of the change feed", async move { follow::begin(&cache).await });
    Ok(reading.await.ok_or("it panicked").map_err(machine("change feed"))??)
}

/// The pool for what is slow on purpose.
pub(super) async fn hashing(
    clock: &Clock,
    metrics: &Arc<Metrics>,
    tasks: &Tasks,
) -> Result<Hashing, StartError> {
    let (clock, metrics) = (clock.clone(), Arc::clone(metrics));
    let starting = async move { Hashing::start(HashingLimits::default(), clock, metrics) };
    let started = tasks.run("start of the hashing pool", starting).await;
    started.ok_or("it panicked").map_err(machine("hashing threads"))?.map_err(machine("hashing threads"))
}
