//! A gateway on a directory in memory: everything that a real one has, but no store, no file and no bcrypt to wait for.

use std::{num::NonZeroUsize, path::Path, sync::Arc, time::Duration};

use latchgate::{
    config::{Config, Environment},
    domain::{
        access::{CredentialId, Holder, Method, Networks, Principal, RatePerMinute, Rights},
        boundary::Boundary,
        id::{ChangeId, KeyId, OrgId, ProjectId, TeamId, UserId},
        key::{
            secret::{KeyHash, Mac, MacKey, RootSecret},
            state::Life,
            token::Token,
        },
        permission::PermissionSet,
        time::Clock,
    },
    proxy::{
        authenticate::{jwt::Tokens, key::Keys},
        directory::{
            Answer, Cache, Changes, Directory, Entry, Lookup, Proof, Rules, follow, memory::MemoryDirectory,
        },
        gateway::Gateway,
        handover::{Answered, Handed, Handover},
        headers::Pseudonym,
        snapshot::Snapshot,
        upstream,
        worker::Worker,
    },
    runtime::{
        hashing::{Hashing, HashingLimits},
        jwks::Keeping,
        outbound::Outbound,
        single_flight::SingleFlight,
        tasks::Tasks,
    },
    telemetry::{access_log::AccessLog, metrics::Metrics},
};
use tokio::runtime::{Builder, Handle, Runtime};

/// Keys that are asked for at random; when the benches are only tried, not measured, few of them will do.
pub(crate) const KEYS: usize = if cfg!(debug_assertions) { 100 } else { 10_000 };

/// A path that anybody may ask for.
pub(crate) const OPEN: &str = "/v1/open/scans/42";

/// What gateways are made of, and the keys they know.
pub(crate) struct Ground {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) keys: Vec<Key>,
    pub(crate) mac_key: MacKey,
    directory: Arc<Fixed>,
    hashing: Hashing,
    tasks: Tasks,
    /// Where look-ups run, as beside real workers.
    pub(crate) control: Runtime,
}

/// One key, and a path that it may ask for.
pub(crate) struct Key {
    pub(crate) token: Token,
    pub(crate) path: String,
}

/// A directory in which nothing ever changes: a key that needed bcrypt once needs it again.
struct Fixed(MemoryDirectory);

impl Directory for Fixed {
    fn find<'a>(&'a self, lookup: &'a Lookup, rules: &'a Rules) -> Answer<'a, Option<Entry>> {
        self.0.find(lookup, rules)
    }

    fn latest(&self) -> Answer<'_, ChangeId> {
        self.0.latest()
    }

    fn changes(&self, after: ChangeId) -> Answer<'_, Changes> {
        self.0.changes(after)
    }

    fn news(&self) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.0.news()
    }

    fn heal(&self, _: KeyId, _: Mac) {}
}

impl Ground {
    /// Keys of the `offload` profile, each bound to a team, with three networks and a rate limit of its own; their
    /// upstream is at this address.
    pub(crate) fn new(upstream: &str) -> Self {
        let config = config(upstream);
        let clock = Clock::system();
        let metrics = Metrics::new().unwrap();
        let control = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let hashing = Hashing::start(HashingLimits::default(), clock.clone(), Arc::clone(&metrics)).unwrap();
        let mut ground = Self {
            mac_key: MacKey::derive(&RootSecret::parse(&[7; 32]).unwrap()),
            directory: Arc::new(Fixed(MemoryDirectory::default())),
            tasks: Tasks::new(&metrics),
            keys: Vec::with_capacity(KEYS),
            config,
            clock,
            metrics,
            hashing,
            control,
        };
        // Never asked, where there is a MAC; the same for all, because making one takes its time.
        let unused = KeyHash::bcrypt("unused", 4).unwrap();
        for _ in 0..KEYS {
            let token = ground.token();
            let mac = ground.mac_key.mac(token.reveal());
            let proof = ground.proof(unused.clone(), Some(mac));
            let key = ground.put(token, proof);
            ground.keys.push(key);
        }
        ground
    }

    /// What proves a key whose row has these.
    pub(crate) fn proof(&self, hash: KeyHash, mac: Option<Mac>) -> Proof {
        Proof::new(hash, false, mac, &self.mac_key)
    }

    /// A key that nobody holds.
    pub(crate) fn token(&self) -> Token {
        self.config.profile.keys.shape.generate().unwrap()
    }

    /// A key of which the directory knows this proof, in a team of its own.
    pub(crate) fn put(&self, token: Token, proof: Proof) -> Key {
        let now = self.clock.now();
        let mut projects: Vec<_> = (0..3).map(|_| ProjectId::new(now)).collect();
        projects.sort_unstable();
        self.put_in(token, proof, (OrgId::new(now), TeamId::new(now)), UserId::new(now), &projects)
    }

    /// A key of which the directory knows this proof, of somebody in this team.
    pub(crate) fn put_in(
        &self,
        token: Token,
        proof: Proof,
        (org, team): (OrgId, TeamId),
        user: UserId,
        projects: &[ProjectId],
    ) -> Key {
        let now = self.clock.now();
        let permissions = &self.config.profile.permissions;
        let held = ["scan:read", "scan:trigger", "scan:manage"].map(|name| permissions.get(name).unwrap());
        let id = KeyId::new(now);
        let principal = Principal {
            method: Method::ApiKey,
            credential: token.public().into(),
            life: Life::begin(now, Some(now.after(Duration::from_secs(90 * 86_400)))).into(),
            activity: None,
            rights: Arc::new(Rights {
                boundary: Boundary::Team(org, team),
                team_projects: projects.into(),
                user: Some(user),
                role: Some("developer".into()),
                permissions: held.into_iter().fold(PermissionSet::EMPTY, PermissionSet::with),
                holder: Holder::Present,
                networks: Networks::parse(&["203.0.113.0/24", "2001:db8::/32", "127.0.0.0/8"]).unwrap(),
            }),
        };
        let entry = Entry {
            id: CredentialId::Key(id),
            family: CredentialId::Key(id),
            principal,
            rate: Some(RatePerMinute::new(RatePerMinute::MAX).unwrap()),
            proof: Some(proof),
            signer: None,
            rotated_at: None,
            seen_at: None,
        };
        self.directory.0.put(Lookup::Public(token.public().into()), entry, now);
        Key { path: format!("/v1/teams/{team}/scans/42"), token }
    }

    /// A gateway that remembers nothing yet, and does not know how long to pace failures.
    pub(crate) async fn gateway(&self, log: AccessLog) -> Gateway {
        self.gateway_on(self.control.handle(), log).await
    }

    /// The same; look-ups run on this runtime.
    pub(crate) async fn gateway_on(&self, runtime: &Handle, log: AccessLog) -> Gateway {
        let directory: Arc<dyn Directory> = Arc::clone(&self.directory) as _;
        let cache = Cache::new(
            Arc::clone(&directory),
            &self.config.auth,
            self.tasks.clone(),
            self.clock.clone(),
            &self.metrics,
            runtime,
        );
        follow::begin(&cache).await.unwrap();
        let keys = Keys::new(
            cache.clone(),
            directory,
            self.mac_key.clone(),
            self.hashing.clone(),
            SingleFlight::new("bcrypt proof", self.tasks.clone(), runtime.clone()),
            &self.config,
            self.clock.clone(),
        );
        let keeping = Keeping {
            outbound: Outbound::new(None).unwrap(),
            clock: self.clock.clone(),
            tasks: self.tasks.clone(),
            runtime: runtime.clone(),
        };
        let tokens = Arc::new(Tokens::new(&[], None, &cache, keys.failures(), &keeping));
        let fleets = upstream::Fleets::new(&self.config, None).unwrap();
        let snapshot = Snapshot::new(&self.config, 1, Pseudonym::new(7), tokens, fleets, &self.metrics);
        let nonces = Arc::new(MemoryDirectory::default());
        Gateway::new(snapshot, keys, cache, nonces, self.clock.clone(), Arc::clone(&self.metrics), log)
    }

    /// Keeps a gateway's memory fresh for as long as the ground is there.
    pub(crate) fn follow(&self, gateway: &Gateway) {
        self.tasks.spawn_on(
            self.control.handle(),
            "change feed follower",
            follow::follow(gateway.cache.clone()),
        );
    }
}

/// The only worker of a gateway. Call it inside a `LocalSet`.
pub(crate) fn worker(gateway: &Arc<Gateway>) -> Worker {
    let (usage, mut uses) = tokio::sync::mpsc::unbounded_channel();
    // Taken and forgotten, where a real gateway writes them down.
    tokio::task::spawn_local(async move { while uses.recv().await.is_some() {} });
    let place = upstream::Worker { index: 0, of: NonZeroUsize::MIN };
    Worker::new(Arc::clone(gateway), place, usage, Arc::new(NoControlPlane), Arc::default(), 7)
}

/// No route here leads to it.
struct NoControlPlane;

impl Handover for NoControlPlane {
    fn begin(&self, _: Handed) -> Option<tokio::sync::oneshot::Receiver<Answered>> {
        None
    }
}

fn config(upstream: &str) -> Config {
    let text = format!(
        r#"
        profile = "offload"
        [store]
        url = "sqlite://unused.db"
        secret_file = "unused.key"
        [[upstream]]
        name = "scanner"
        targets = ["http://{upstream}"]
        [[route]]
        name = "scans"
        path = "/v1/teams/{{team_id}}/scans/{{*rest}}"
        upstream = "scanner"
        team = "{{team_id}}"
        require = {{ GET = "scan:read", POST = "scan:trigger" }}
        [[route]]
        name = "findings"
        path = "/v1/findings/{{*rest}}"
        upstream = "scanner"
        require = "scan:manage"
        [[route]]
        name = "open"
        path = "{OPEN}"
        upstream = "scanner"
        credentials = ["none"]
        "#
    );
    Config::from_toml(&text, Path::new("bench.toml"), &Environment::empty()).unwrap().config
}

/// Numbers below a bound in an order that no cache foresees (SplitMix64), the same in every run.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new() -> Self {
        Self(7)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap()
    }
}
