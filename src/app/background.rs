//! Work beside the requests: writing down uses of sessions, counting keys, delivering mails, tidying.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use crate::{
    control::service::{Control, ServiceError},
    domain::{key::state::Status, time::Clock},
    proxy::{assertion::Ring, directory::Cache, gateway::Gateway},
    runtime::tasks::{Stopped, Tasks},
    store::{Store, StoreError, keys, sessions, usage},
    telemetry::metrics::Metrics,
};

/// How often uses of sessions are written.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// How often the keys are counted for the metrics: a walk through an index, so not often.
const COUNT_EVERY: Duration = Duration::from_secs(30);
/// Where counting takes long, the pause behind it is so many times as long: millions of keys that end are no reason to do
/// little else.
const PAUSE_BEHIND_COUNTING: u32 = 200;
/// How often mails are looked for: a walk along an index, mostly of nothing.
const DELIVER_EVERY: Duration = Duration::from_secs(1);
/// How often keys that end soon are looked for.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(60);
/// How often the keys that sign assertions are read: the longest that a withdrawn one goes on signing.
const KEEP_EVERY: Duration = Duration::from_secs(5);
/// How often idle limiters are dropped.
const TIDY_EVERY: Duration = Duration::from_secs(30);

/// How long the minutes of usage are kept: a quarter of a year and a little.
const USAGE_KEPT: Duration = Duration::from_secs(100 * 24 * 3600);
/// How often, and how many minutes at once, old usage is forgotten: an hour's worth and more, so it keeps up.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
const PRUNE_AT_ONCE: u32 = 240;

/// Writes down when sessions were last used: not each use, only what makes a difference to when they are over. Ends
/// when asked to, after the last uses.
pub async fn write_activity(store: Store, gateway: Arc<Gateway>, mut stopped: Stopped) {
    let mut tick = tokio::time::interval(WRITE_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        let last = tokio::select! {
            _ = tick.tick() => false,
            () = &mut stopped => true,
        };
        let idle = gateway.snapshot().rules.sessions.idle;
        let grain = if last { Duration::ZERO } else { (idle / GRAINS).min(COARSEST_GRAIN) };
        let batch = gateway.cache.unwritten_activity(grain);
        match sessions::seen(&store, &batch).await {
            Ok(()) => {
                gateway.cache.activity_written(&batch);
                failing = false;
            }
            Err(error) if !failing => {
                tracing::warn!(%error, "uses of sessions cannot be written down; they wait in memory");
                failing = true;
            }
            Err(_) => {}
        }
        if last {
            return;
        }
    }
}

/// A session's last use is written once it is so much later than what is written: a twentieth of the time that a
/// session may rest, a minute at most. So much earlier may another node, or this one after a crash, call it idle.
const GRAINS: u32 = 20;
const COARSEST_GRAIN: Duration = Duration::from_secs(60);

/// Forgets sessions that were over long ago.
pub async fn prune_sessions(store: Store, clock: Clock) {
    let mut tick = tokio::time::interval(PRUNE_EVERY);
    loop {
        tick.tick().await;
        if let Err(error) = sessions::prune(&store, clock.now().before(ENDED_KEPT)).await {
            tracing::debug!(%error, "old sessions could not be pruned");
        }
    }
}

/// For so long whoever still holds its token hears that a session has ended, and not that it never was.
const ENDED_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Keeps the gauges of keys by status and by nearness of expiry.
async fn count_keys(store: Store, clock: Clock, metrics: Arc<Metrics>) {
    loop {
        let began = clock.uptime();
        if let Err(error) = count_once(&store, &clock, &metrics).await {
            tracing::debug!(%error, "the keys could not be counted");
        }
        let took = clock.uptime().saturating_sub(began);
        tokio::time::sleep(COUNT_EVERY.max(took * PAUSE_BEHIND_COUNTING)).await;
    }
}

async fn count_once(store: &Store, clock: &Clock, metrics: &Metrics) -> Result<(), StoreError> {
    let census = keys::census(&mut *store.read().await?, clock.now()).await?;
    for (status, count) in Status::ALL.into_iter().zip(census.by_status) {
        metrics.store.set_keys(status.as_str(), count);
    }
    for (within, count) in ["1d", "7d", "30d"].into_iter().zip(census.expiring) {
        metrics.store.set_keys_expiring(within, count);
    }
    Ok(())
}

/// Forgets the minutes of usage that nobody asks for any more.
async fn prune_usage(store: Store, clock: Clock) {
    let mut tick = tokio::time::interval(PRUNE_EVERY);
    loop {
        tick.tick().await;
        let before = clock.now().before(USAGE_KEPT);
        if let Err(error) = usage::prune(&store, before, PRUNE_AT_ONCE).await {
            tracing::debug!(%error, "old usage could not be pruned");
        }
    }
}

/// Drops limiters that nobody needs.
async fn tidy(cache: Cache) {
    let mut tick = tokio::time::interval(TIDY_EVERY);
    loop {
        tick.tick().await;
        cache.tidy();
    }
}

/// Delivers mails: what is due, once a second, under the configuration in force.
async fn deliver_mails(control: Arc<ArcSwap<Control>>, metrics: Arc<Metrics>) {
    let mut tick = tokio::time::interval(DELIVER_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let control = Control::clone(&control.load());
        match control.deliver_mails().await {
            Ok(done) => {
                let mails = &metrics.mails;
                mails.waiting.set(i64::try_from(done.waiting).unwrap_or(i64::MAX));
                mails.count("sent", done.sent);
                mails.count("postponed", done.postponed);
                mails.count("given_up", done.given_up);
            }
            Err(error) => tracing::debug!(%error, "mails could not be delivered"),
        }
    }
}

/// Tells the owners of keys that end soon.
async fn announce_endings(control: Arc<ArcSwap<Control>>) {
    let mut tick = tokio::time::interval(ANNOUNCE_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let control = Control::clone(&control.load());
        if let Err(error) = control.announce_endings().await {
            tracing::debug!(%error, "nobody could be told of keys that end soon");
        }
    }
}

/// Keeps the keys that sign assertions, and gives them to the workers.
pub async fn keep_assertion_keys(control: Arc<ArcSwap<Control>>, gateway: Arc<Gateway>, asked: Arc<Notify>) {
    let mut tick = tokio::time::interval(KEEP_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = asked.notified() => {}
        }
        match renew_ring(&control, &gateway).await {
            Ok(()) => failing = false,
            Err(error) if !failing => {
                tracing::warn!(%error, "the keys for assertions cannot be read; those that are known go on signing");
                failing = true;
            }
            Err(_) => {}
        }
    }
}

/// Reads the keys once, where the configuration in force needs any.
pub async fn renew_ring(control: &ArcSwap<Control>, gateway: &Gateway) -> Result<(), ServiceError> {
    let control = Control::clone(&control.load());
    if control.asserts() {
        let keys = control.keep_assertion_keys().await?;
        let signing = keys.signing.into_iter().map(|key| (key.from, key.pair)).collect();
        gateway.ring.store(Arc::new(Ring::new(signing, &keys.public)));
    }
    Ok(())
}

/// Starts what has mails as its end.
pub fn begin_mails(tasks: &Tasks, control: &Arc<ArcSwap<Control>>, metrics: &Arc<Metrics>) {
    start(tasks, "mail delivery", deliver_mails(Arc::clone(control), Arc::clone(metrics)));
    start(tasks, "notices", announce_endings(Arc::clone(control)));
}

/// Reads the keys that sign assertions, so that the first request finds them, and goes on keeping them. Whoever is told
/// by what comes back makes it look at once.
pub async fn begin_assertions(
    tasks: &Tasks,
    control: &Arc<ArcSwap<Control>>,
    gateway: &Arc<Gateway>,
) -> Arc<Notify> {
    let (its_control, its_gateway) = (Arc::clone(control), Arc::clone(gateway));
    let reading = async move {
        if let Err(error) = renew_ring(&its_control, &its_gateway).await {
            tracing::error!(%error, "the keys for assertions cannot be read; until they can, nothing is forwarded");
        }
    };
    tasks.run("first reading of the keys for assertions", reading).await;
    let asked = Arc::new(Notify::new());
    let keeping = keep_assertion_keys(Arc::clone(control), Arc::clone(gateway), Arc::clone(&asked));
    start(tasks, "assertion keys", keeping);
    asked
}

/// Starts what is done now and then for as long as requests are served.
pub fn begin(tasks: &Tasks, store: &Store, cache: &Cache, clock: &Clock, metrics: &Arc<Metrics>) {
    start(tasks, "limiter tidying", tidy(cache.clone()));
    start(tasks, "key counting", count_keys(store.clone(), clock.clone(), Arc::clone(metrics)));
    start(tasks, "usage pruning", prune_usage(store.clone(), clock.clone()));
    start(tasks, "session pruning", prune_sessions(store.clone(), clock.clone()));
}

/// Starts what runs until the group is asked to end.
pub fn start(tasks: &Tasks, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
    let stopped = tasks.stopped();
    tasks.spawn(name, async move {
        tokio::select! {
            () = work => {}
            () = stopped => {}
        }
    });
}
