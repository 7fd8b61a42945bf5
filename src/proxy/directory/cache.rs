//! What this node remembers of the directory.
//!
//! Two memories with different lives. That a secret is the secret of a key (`proofs`) is true for ever, because
//! a key's hash never changes; it is remembered where only bcrypt could tell. What a key or a session may do (`keys`,
//! `sessions`) is true until the change feed names it. Neither has a time to live: freshness belongs to the node, which
//! knows when it last heard the feed (`feed.rs`).
//!
//! A record that was being read while the feed moved is used for the request that asked, and not remembered:
//! remembering it could bring a revoked key back.

use std::{sync::Arc, time::Duration};

use tokio::{
    runtime::Handle,
    sync::{Semaphore, watch},
};

use super::{
    Changes, Directory, Entry, Lookup, Record, Rules, Unavailable,
    activity::Activities,
    alike::Alike,
    feed::{Feed, Freshness},
    registry::Registry,
    shelf::Shelf,
};
use crate::{
    config,
    domain::{
        access::CredentialId,
        id::{ChangeId, SessionId},
        key::token::Digest,
        session::Activity,
        time::{Clock, Moment, Timestamp},
    },
    proxy::throttle::Limiters,
    runtime::{single_flight::SingleFlight, tasks::Tasks},
    telemetry::metrics::{CacheMetrics, Metrics},
};

/// Names that nobody holds are remembered in a space of their own, so that guessing evicts no key.
const UNKNOWN_CAPACITY: u64 = 10_000;
/// Look-ups that may be under way at once; more wait.
const CONCURRENT_LOADS: usize = 64;
/// How long the store may take to answer, the wait for a turn included; then it counts as out of reach.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a look-up is repeated because the feed moved meanwhile.
const LOAD_ATTEMPTS: usize = 3;

/// The result of a look-up, shared by everybody who asked for it meanwhile.
type Loaded = Result<Option<Arc<Record>>, Unavailable>;

/// The memory of one node. Cheap to clone; clones share it.
#[derive(Clone)]
pub struct Cache(Arc<Shared>);

struct Shared {
    directory: Arc<dyn Directory>,
    clock: Clock,
    keys: Shelf,
    unknown: moka::sync::Cache<Lookup, ChangeId>,
    sessions: Shelf,
    proofs: moka::sync::Cache<Digest, CredentialId>,
    alike: Alike,
    activities: Activities,
    registry: Registry,
    limiters: Limiters,
    feed: Feed,
    loads: SingleFlight<(Lookup, u64), Loaded>,
    asks: SingleFlight<(), Result<(), Unavailable>>,
    /// One reader of the feed at a time: who confirms a position must have applied all before it.
    following: tokio::sync::Mutex<()>,
    slots: Semaphore,
    key_metrics: Arc<CacheMetrics>,
    session_metrics: Arc<CacheMetrics>,
    proof_metrics: Arc<CacheMetrics>,
    metrics: Arc<Metrics>,
}

impl Cache {
    /// An empty memory of `capacity` keys and as many sessions.
    pub fn new(
        directory: Arc<dyn Directory>,
        settings: &config::Auth,
        tasks: Tasks,
        clock: Clock,
        metrics: &Arc<Metrics>,
        runtime: &Handle,
    ) -> Self {
        let capacity = settings.cache_capacity.get();
        Self(Arc::new(Shared {
            directory,
            keys: Shelf::new(capacity),
            unknown: moka::sync::Cache::new(UNKNOWN_CAPACITY),
            sessions: Shelf::new(capacity),
            proofs: moka::sync::Cache::new(capacity),
            alike: Alike::default(),
            activities: Activities::default(),
            registry: Registry::default(),
            limiters: Limiters::new(clock.clone()),
            feed: Feed::new(settings),
            loads: SingleFlight::new("key look-up", tasks.clone(), runtime.clone()),
            asks: SingleFlight::new("change feed", tasks, runtime.clone()),
            following: tokio::sync::Mutex::default(),
            slots: Semaphore::new(CONCURRENT_LOADS),
            clock,
            key_metrics: metrics.cache("keys"),
            session_metrics: metrics.cache("sessions"),
            proof_metrics: metrics.cache("proofs"),
            metrics: Arc::clone(metrics),
        }))
    }

    /// The record of a credential, from memory or from the directory.
    pub async fn find(&self, lookup: &Lookup, rules: &Arc<Rules>) -> Loaded {
        self.freshen().await?;
        let (memory, metrics) = self.memory(lookup);
        if let Some(record) = memory.find(lookup)
            && record.is_live(rules.generation)
        {
            metrics.hit.inc();
            return Ok(Some(record));
        }
        if self.0.unknown.get(lookup) == Some(self.0.feed.position()) {
            metrics.negative_hit.inc();
            return Ok(None);
        }
        metrics.miss.inc();
        self.load(lookup, rules).await
    }

    /// The same from the directory whatever is remembered: another node may know of a later use of a session.
    pub async fn find_anew(&self, lookup: &Lookup, rules: &Arc<Rules>) -> Loaded {
        self.load(lookup, rules).await
    }

    /// The sessions whose last use is at least `grain` later than what was written down.
    pub fn unwritten_activity(&self, grain: Duration) -> Vec<(SessionId, Timestamp)> {
        self.0.activities.unwritten(grain)
    }

    /// These uses of sessions are written down.
    pub fn activity_written(&self, batch: &[(SessionId, Timestamp)]) {
        self.0.activities.written(batch);
    }

    /// Whether this credential was proved to be this key's before, where proving it takes long.
    pub fn is_proved(&self, credential: &Digest, key: CredentialId) -> bool {
        let proved = self.0.proofs.get(credential) == Some(key);
        if proved { &self.0.proof_metrics.hit } else { &self.0.proof_metrics.miss }.inc();
        proved
    }

    /// A worker found this by heart: a hit all the same.
    #[inline]
    pub fn count_hit(&self, record: &Record) {
        match record.id {
            CredentialId::Session(_) | CredentialId::Person(_) => self.0.session_metrics.hit.inc(),
            CredentialId::Key(_) | CredentialId::Webhook(_) => self.0.key_metrics.hit.inc(),
        }
    }

    /// Remembers that this credential is this key's: for what only bcrypt can tell.
    pub fn proved(&self, credential: Digest, key: CredentialId) {
        self.0.proof_metrics.insert.inc();
        self.0.proofs.insert(credential, key);
    }

    /// Remembers a foreign key, once it is proved: its name is chosen by whoever sends it.
    pub fn keep(&self, record: &Arc<Record>) {
        if matches!(record.lookup, Lookup::Foreign(_)) {
            self.remember(record);
        }
    }

    /// Makes sure that the node heard the feed lately enough to answer from memory.
    ///
    /// Normally one comparison. When the feed has been silent for longer than `revocation_bound` it is read here
    /// and now; when the store is down, memory serves up to `max_staleness`.
    pub async fn freshen(&self) -> Result<(), Unavailable> {
        match self.0.feed.freshness(self.0.clock.uptime()) {
            Freshness::Fresh => Ok(()),
            Freshness::Silent => self.ask_feed().await,
            Freshness::Lost => {
                Err(Unavailable("nothing was heard from it for longer than max_staleness".into()))
            }
        }
    }

    /// Whether memory may be used without asking anybody.
    #[inline]
    pub fn is_fresh(&self, uptime: Duration) -> bool {
        self.0.feed.freshness(uptime) == Freshness::Fresh
    }

    /// Whether known keys can be served.
    pub fn may_serve(&self) -> bool {
        self.0.feed.freshness(self.0.clock.uptime()) != Freshness::Lost
    }

    /// The feed's position on this node, to wait for.
    pub fn applied(&self) -> watch::Receiver<ChangeId> {
        self.0.feed.applied()
    }

    /// How long ago the feed was last heard.
    pub fn staleness(&self) -> Duration {
        self.0.feed.age(self.0.clock.uptime())
    }

    /// Whether the store answered when it was last asked.
    pub fn store_is_up(&self) -> bool {
        self.0.feed.is_up()
    }

    /// Number of keys, of sessions and of proofs in memory.
    pub fn len(&self) -> [u64; 3] {
        let Shared { keys, sessions, proofs, .. } = &*self.0;
        // What was put in or taken out last is counted late unless somebody asks for it.
        proofs.run_pending_tasks();
        [keys.len(), sessions.len(), proofs.entry_count()]
    }

    /// Ends all that speaks for people by somebody else's word: a key that vouched for some of it is gone.
    pub fn end_vouched(&self) {
        for record in self.0.registry.end_vouched() {
            let (memory, metrics) = self.memory(&record.lookup);
            memory.remove(&record.lookup);
            metrics.evict.inc();
        }
    }

    /// Another number whenever records have ended.
    pub fn endings(&self) -> u64 {
        self.0.registry.endings()
    }

    /// Drops limiters that nobody needs.
    pub fn tidy(&self) {
        self.0.limiters.tidy();
    }

    /// Reads the feed once and applies what it says.
    pub(super) async fn follow(&self) -> Result<(), Unavailable> {
        let _turn = self.0.following.lock().await;
        self.read_on().await
    }

    /// Waits for news from the directory.
    pub(super) async fn news(&self) {
        self.0.directory.news().await;
    }

    async fn read_on(&self) -> Result<(), Unavailable> {
        let shared = &self.0;
        let asked = shared.clock.read();
        let reading = async {
            match shared.feed.begun() {
                Some(after) => shared.directory.changes(after).await,
                None => shared.directory.latest().await.map(|upto| Changes::Everything { upto }),
            }
        };
        let changes = in_time(reading).await.inspect_err(|_| shared.feed.failed())?;
        self.apply(changes, asked);
        Ok(())
    }

    fn apply(&self, changes: Changes, asked: Moment) {
        let shared = &self.0;
        let upto = match &changes {
            Changes::These { upto, .. } | Changes::Everything { upto } => *upto,
        };
        // The position moves first: a look-up that began before it sees that it moved and is not remembered,
        // one that begins after it reads the new state.
        shared.feed.reach(upto);
        match changes {
            Changes::These { changed, .. } => {
                for change in changed {
                    for record in shared.registry.end(change.subject) {
                        let (memory, metrics) = self.memory(&record.lookup);
                        memory.remove(&record.lookup);
                        metrics.evict.inc();
                    }
                    shared.metrics.store.revocation_lag.observe(shared.clock.now().since(change.at));
                }
            }
            Changes::Everything { .. } => self.forget_everything(),
        }
        shared.feed.confirm(asked.uptime, upto);
    }

    /// Reads the feed on the control runtime, whoever asks, so that a worker only waits.
    async fn ask_feed(&self) -> Result<(), Unavailable> {
        let cache = self.clone();
        let asked = self.0.asks.run((), move || async move {
            let _turn = cache.0.following.lock().await;
            // Whoever had the turn before may have confirmed already.
            if cache.0.feed.freshness(cache.0.clock.uptime()) == Freshness::Silent {
                cache.read_on().await?;
            }
            Ok(())
        });
        match asked.await {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) if self.0.feed.freshness(self.0.clock.uptime()) == Freshness::Fresh => Ok(()),
            Some(Err(error)) => Err(error),
            None => Err(stopping()),
        }
    }

    /// One look-up at a time for each name.
    async fn load(&self, lookup: &Lookup, rules: &Arc<Rules>) -> Loaded {
        let loading = self.0.loads.run((lookup.clone(), rules.generation), || {
            let (cache, lookup, rules) = (self.clone(), lookup.clone(), Arc::clone(rules));
            async move { in_time(cache.read(&lookup, &rules)).await }
        });
        loading.await.unwrap_or_else(|| Err(stopping()))
    }

    async fn read(&self, lookup: &Lookup, rules: &Rules) -> Loaded {
        let shared = &self.0;
        let Ok(_slot) = shared.slots.acquire().await else {
            return Err(stopping());
        };
        let mut read = None;
        for _ in 0..LOAD_ATTEMPTS {
            let seen = shared.feed.position();
            let Some(entry) = shared.directory.find(lookup, rules).await? else {
                // That there is a new organization is no news of the feed.
                if shared.feed.position() == seen && !matches!(lookup, Lookup::Webhook(_)) {
                    shared.unknown.insert(lookup.clone(), seen);
                }
                return Ok(None);
            };
            let record = Arc::new(self.record(entry, lookup, rules));
            // Registered before the feed is looked at again: a change from here on ends the record itself.
            shared.registry.add(&record);
            if shared.feed.position() == seen {
                if !matches!(lookup, Lookup::Foreign(_)) {
                    self.remember(&record);
                }
                return Ok(Some(record));
            }
            shared.registry.end_this(&record);
            read = Some(record);
        }
        // The feed never stood still. What was read is newer than the request, good for it, and for it alone.
        Ok(read)
    }

    fn record(&self, mut entry: Entry, lookup: &Lookup, rules: &Rules) -> Record {
        let limiter = entry.rate.map(|rate| self.0.limiters.of(entry.family, rate));
        if let (CredentialId::Session(session), Some(stored)) = (entry.id, entry.seen_at) {
            let last = self.0.activities.of(session, stored);
            entry.principal.activity = Some(Box::new(Activity { last, idle: rules.sessions.idle }));
        }
        let words = self.0.alike.join(&mut entry.principal, rules);
        Record::new(entry, lookup.clone(), limiter, words, rules)
    }

    fn remember(&self, record: &Arc<Record>) {
        let (memory, metrics) = self.memory(&record.lookup);
        metrics.insert.inc();
        memory.put(record);
    }

    /// What people bring has a space of its own, so that neither kind evicts the other.
    fn memory(&self, lookup: &Lookup) -> (&Shelf, &CacheMetrics) {
        match lookup {
            Lookup::Session(_) | Lookup::Vouched(_) => (&self.0.sessions, &self.0.session_metrics),
            Lookup::Public(_) | Lookup::Foreign(_) | Lookup::Webhook(_) => {
                (&self.0.keys, &self.0.key_metrics)
            }
        }
    }

    fn forget_everything(&self) {
        self.0.registry.end_everything();
        self.0.keys.clear();
        self.0.sessions.clear();
        self.0.unknown.invalidate_all();
    }
}

async fn in_time<T>(asking: impl Future<Output = Result<T, Unavailable>>) -> Result<T, Unavailable> {
    tokio::time::timeout(STORE_TIMEOUT, asking)
        .await
        .unwrap_or_else(|_| Err(Unavailable("it did not answer within 2 s".into())))
}

fn stopping() -> Unavailable {
    Unavailable("the gateway is stopping".into())
}
