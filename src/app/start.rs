//! From a configuration to a running gateway, and back.

use std::{
    io::{self, Write},
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{
    runtime::Handle,
    sync::{Notify, mpsc},
};

pub use super::start_error::StartError;
use super::{
    admin::{self, Admin},
    alerts,
    backends::Backends,
    background,
    directory::{StoreDirectory, write_macs},
    ext_authz::ExtAuthz,
    federation::Federation,
    handover::ControlPlane,
    inherited::Inherited,
    logs,
    node::ControlNode,
    nonces,
    ops::{self, Readiness},
    redirect,
    sockets::Sockets,
    start_error::machine,
    store,
    succession::{self, Succession},
    supervisor,
    tls::Doors,
    usage,
    workers::Workers,
};
use crate::{
    config::Config,
    control::{
        self,
        service::{Applied, Control, Parts, Settings},
    },
    domain::{
        id::KeyId,
        key::secret::{Mac, MacKey, RootSecret},
        seal::SealKey,
        time::Clock,
    },
    proxy::{
        authenticate::key::Keys,
        directory::{Cache, Directory, follow},
        gateway::Gateway,
        headers::Pseudonym,
        misses::Misses,
        snapshot::Snapshot,
        usage::{Deliver, Uses},
    },
    runtime::{hashing::Hashing, single_flight::SingleFlight, tasks::Tasks},
    store::Store,
    telemetry::metrics::Metrics,
};

/// MACs that may wait to be stored.
const HEALING: usize = 10_000;
/// How long the log may take to be written out at the end.
const LOG_PATIENCE: Duration = Duration::from_secs(2);
/// How long background work may take to end.
const TASK_PATIENCE: Duration = Duration::from_secs(5);

/// A running gateway.
pub struct App {
    config: Mutex<Arc<Config>>,
    generation: AtomicU64,
    pseudonym: Pseudonym,
    gateway: Arc<Gateway>,
    parts: Parts,
    doors: Doors,
    federation: Federation,
    backends: Backends,
    /// Under the configuration in force.
    control: Arc<ArcSwap<Control>>,
    /// Told when keys for assertions may be needed that were not.
    assertion_keys: Arc<Notify>,
    /// Where alerts go under it.
    alerts: alerts::Receiver,
    workers: Workers,
    succession: Succession,
    admin_address: SocketAddr,
    ops_address: SocketAddr,
    ext_authz: Option<ExtAuthz>,
    readiness: Arc<Readiness>,
    hashing: Hashing,
    /// The admin port: ends as the gateway port does, requests under way first.
    admin_tasks: Tasks,
    /// Ends with the data plane.
    tasks: Tasks,
    /// Ends after it, so that the last uses are written and the last scrape is answered.
    last_tasks: Tasks,
    /// Dropping it ends the writing of uses.
    usage: Deliver,
}

/// What is not in the configuration.
pub struct AppOptions {
    /// What time it is.
    pub clock: Clock,
    /// Where the access log goes; none: standard output.
    pub access_log: Option<Box<dyn Write + Send>>,
    /// Listening sockets that somebody else has opened.
    pub inherited: Inherited,
}

impl Default for AppOptions {
    fn default() -> Self {
        Self { clock: Clock::system(), access_log: None, inherited: Inherited::default() }
    }
}

impl App {
    /// Starts everything; when this returns, requests are answered. Background work runs on the caller's runtime.
    pub async fn start(config: Config, options: AppOptions) -> Result<Self, StartError> {
        let AppOptions { clock, access_log, inherited } = options;
        let Sockets { gateway: sockets, admin, ops, ext_authz, redirect, succession } =
            Sockets::bind(&config, inherited)?;
        let ((admin_socket, admin_address), (ops_socket, ops_address)) = (admin, ops);
        let gateway_address = address_of(&sockets, config.listen.gateway);

        let (mac_key, seal_key) = derived_keys(&config)?;
        let metrics = Metrics::new().map_err(machine("metrics"))?;
        let (admin_tasks, tasks, last_tasks) =
            (Tasks::new(&metrics), Tasks::new(&metrics), Tasks::new(&metrics));
        let doors = Doors::open(&config, &metrics, &tasks, &clock)?;
        let federation = Federation::new(&config, &clock, &tasks)?;
        let store = store::open(&config, &clock, &tasks).await?;

        let (heal, healing) = mpsc::channel(HEALING);
        let secrets = (mac_key.clone(), seal_key.clone());
        let directory = StoreDirectory::new(store.clone(), heal, secrets, Arc::clone(&metrics), &tasks);
        let directory: Arc<dyn Directory> = Arc::new(directory);
        let runtime = &Handle::current();
        let (shared, time) = (Arc::clone(&directory), clock.clone());
        let cache = Cache::new(shared, &config.auth, tasks.clone(), time, &metrics, runtime);
        store::begin_following(&cache, &tasks).await?;
        let hashing = store::hashing(&clock, &metrics, &tasks).await?;
        let proofs = SingleFlight::new("bcrypt proof", tasks.clone(), runtime.clone());
        let (secret, hashes, time) = (mac_key.clone(), hashing.clone(), clock.clone());
        let keys = Keys::new(cache.clone(), directory, secret, hashes, proofs, &config, time);
        let (tell, told) = mpsc::channel(alerts::WAITING);
        let keys = keys.watched(Misses::new(clock.clone(), tell, Arc::clone(&metrics.alerts.dropped)));
        keys.calibrate(config.keys.bcrypt_cost).await.map_err(machine("bcrypt"))?;

        let log = logs::start(&config, access_log, &store, &clock, &metrics, &last_tasks)
            .await
            .map_err(machine("access log"))?;
        let pseudonym = Pseudonym::new(getrandom::u64().map_err(machine("randomness"))?);
        let tokens = federation.tokens(&config, None, &cache, &keys);
        let (backends, fleets) = Backends::begin(&config, &clock, &tasks)?;
        let snapshot = Snapshot::new(&config, 1, pseudonym.clone(), tokens, fleets, &metrics);
        let gateway = Gateway::new(
            snapshot,
            keys,
            cache.clone(),
            nonces::start(&tasks, &store, &clock),
            clock.clone(),
            Arc::clone(&metrics),
            log,
        );
        let gateway = Backends::shown(gateway);

        let (deliver, uses) = mpsc::unbounded_channel();
        background::start(&tasks, "change feed follower", follow::follow(cache.clone()));
        background::begin(&tasks, &store, &cache, &clock, &metrics);
        let receiver = alerts::start(&config, told, federation.outbound(), &metrics, &tasks);

        metrics.config.loaded(clock.now());
        let readiness = ops::begin(ops_socket, &cache, &metrics, &last_tasks);

        let applied = Applied::here(cache.applied());
        let parts = parts(&config, store, clock, (mac_key, seal_key), gateway_address, applied);
        let control = shared_control(&parts, &metrics);
        background::begin_mails(&tasks, &control, &metrics);
        let assertion_keys = background::begin_assertions(&tasks, &control, &gateway).await;
        start_writing(&last_tasks, &parts.store, &gateway, healing, (Arc::clone(&control), uses));
        federation.sign_in(&config, &parts.settings, &parts.seal_key);
        let router = router(&control, &federation, &gateway, &deliver);
        let handover = ControlPlane::shared(router.clone(), &tasks);
        let workers = Workers::start(sockets, &gateway, &deliver, &handover, doors.gateway(), &config.limits)
            .map_err(machine("worker threads"))?;
        if let Some(watchdog) = supervisor::watchdog(workers.pulses(), workers.phase()) {
            background::start(&last_tasks, "watchdog", watchdog);
        }
        let deciding = (&gateway, &deliver, &handover);
        let ext_authz =
            ext_authz.map(|socket| ExtAuthz::begin(socket, deciding, &admin_tasks)).transpose()?;
        let (limits, door) = (config.limits.clone(), doors.admin().cloned());
        let served = Admin { router, gateway: Arc::clone(&gateway), limits, door };
        admin::serve(admin_socket, served, &metrics, &admin_tasks);
        redirect::begin(redirect, &gateway, &doors.challenges(), &admin_tasks);
        Ok(Self {
            config: Mutex::new(Arc::new(config)),
            generation: AtomicU64::new(1),
            pseudonym,
            gateway,
            parts,
            doors,
            federation,
            backends,
            control,
            assertion_keys,
            alerts: receiver,
            workers,
            succession,
            admin_address,
            ops_address,
            ext_authz,
            readiness,
            hashing,
            admin_tasks,
            tasks,
            last_tasks,
            usage: deliver,
        })
    }

    /// Where the gateway listens.
    pub const fn gateway_addr(&self) -> SocketAddr {
        self.workers.address()
    }

    /// Where the admin port listens.
    pub const fn admin_addr(&self) -> SocketAddr {
        self.admin_address
    }

    /// Where the ops port listens.
    pub const fn ops_addr(&self) -> SocketAddr {
        self.ops_address
    }

    /// Where proxies ask over gRPC.
    pub fn ext_authz_addr(&self) -> Option<SocketAddr> {
        self.ext_authz.as_ref().map(|port| port.address)
    }

    /// The use cases on this gateway's store; a change is answered when this node has applied it.
    pub fn control(&self) -> Control {
        (**self.control.load()).clone()
    }

    /// Puts another configuration in force: routes, limits, profile, identity headers. Returns the keys whose
    /// change needs a restart; they keep their old values. An error, and nothing has changed: a file that it names
    /// cannot be used.
    pub fn reload(&self, config: Config) -> Result<Vec<&'static str>, StartError> {
        let mut current = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        let fleets = self.backends.of(&config, Some(&self.gateway.snapshot().fleets))?;
        let needing_restart = current.differences_needing_restart(&config);
        let generation = self.generation.fetch_add(1, Ordering::SeqCst) + 1;
        let metrics = &self.gateway.metrics;
        let Gateway { cache, keys, .. } = &*self.gateway;
        let tokens = self.federation.tokens(&config, Some(&self.gateway.snapshot().tokens), cache, keys);
        let pseudonym = self.pseudonym.clone();
        self.gateway.reload(Snapshot::new(&config, generation, pseudonym, tokens, fleets, metrics));
        let settings = Settings::of(&config, self.workers.address());
        self.federation.sign_in(&config, &settings, &self.parts.seal_key);
        let control = self.control.load().under(Arc::clone(&config.profile), settings);
        self.control.store(Arc::new(control));
        self.doors.reload(&config);
        self.assertion_keys.notify_one();
        self.alerts.store(config.audit.alert_webhook.clone().map(Arc::new));
        metrics.config.loaded(self.gateway.clock.now());
        *current = Arc::new(config);
        Ok(needing_restart)
    }

    /// A new configuration was read and cannot be used; the old one stays.
    pub fn reload_refused(&self) {
        self.gateway.metrics.config.refused();
    }

    /// Starts another process with our listening sockets, in which this program, as it stands on the disk by now, takes
    /// our place. It tells us to end when it serves.
    pub fn succeed(&self) -> io::Result<succession::Ended> {
        self.succession.begin()
    }

    /// Background tasks that panicked. A healthy gateway has none.
    pub fn failures(&self) -> u64 {
        self.admin_tasks.failures()
            + self.tasks.failures()
            + self.last_tasks.failures()
            + u64::from(!self.workers.are_alive())
            + u64::from(self.ext_authz.as_ref().is_some_and(|port| !port.is_alive()))
    }

    /// Not ready, no new connections, requests finish, counts are written. False: some requests were cut.
    pub async fn shutdown(self) -> bool {
        let patience = self.config().limits.drain_timeout;
        self.readiness.drain();
        // A socket that stays open with nobody behind it lets clients wait for nothing.
        drop(self.succession);
        let (finished, admin) = tokio::join!(self.workers.drain(patience), self.admin_tasks.end(patience));
        drop((self.usage, self.ext_authz));
        self.tasks.stop();
        self.tasks.end(TASK_PATIENCE).await;
        // Waits for a thread, briefly: what it hands over is kept by a task of the last group.
        self.gateway.log.close(LOG_PATIENCE);
        self.last_tasks.stop();
        self.last_tasks.end(TASK_PATIENCE).await;
        self.hashing.stop();
        self.parts.store.close().await;
        finished && admin.aborted == 0
    }

    fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Starts what writes down uses; it goes on until the last of them is written.
fn start_writing(
    tasks: &Tasks,
    store: &Store,
    gateway: &Arc<Gateway>,
    healing: mpsc::Receiver<(KeyId, Mac)>,
    (control, uses): (Arc<ArcSwap<Control>>, mpsc::UnboundedReceiver<Uses>),
) {
    tasks.spawn("look-up MACs", write_macs(store.clone(), healing, tasks.stopped()));
    tasks.spawn("usage writing", usage::write(control, uses, Arc::clone(&gateway.metrics)));
    let sessions = background::write_activity(store.clone(), Arc::clone(gateway), tasks.stopped());
    tasks.spawn("session activity writing", sessions);
}

/// What the use cases are made of; `gateway` is where the gateway listens.
fn parts(
    config: &Config,
    store: Store,
    clock: Clock,
    (mac_key, seal_key): (MacKey, SealKey),
    gateway: SocketAddr,
    applied: Applied,
) -> Parts {
    let (profile, settings) = (Arc::clone(&config.profile), Settings::of(config, gateway));
    Parts { store, profile, clock, mac_key, seal_key, settings, applied }
}

/// The control plane, as both ports reach it.
fn router(
    control: &Arc<ArcSwap<Control>>,
    federation: &Federation,
    gateway: &Arc<Gateway>,
    usage: &Deliver,
) -> axum::Router {
    control::router(Arc::new(ControlNode {
        control: Arc::clone(control),
        oidc: federation.oidc(),
        gateway: Arc::clone(gateway),
        usage: usage.clone(),
    }))
}

/// The use cases, to be replaced when the configuration is.
fn shared_control(parts: &Parts, metrics: &Arc<Metrics>) -> Arc<ArcSwap<Control>> {
    Arc::new(ArcSwap::from_pointee(Control::new(parts.clone()).counting(Arc::clone(metrics))))
}

/// Where the first of these listens: the kernel may have chosen the port.
fn address_of(sockets: &[std::net::TcpListener], wanted: SocketAddr) -> SocketAddr {
    sockets.first().and_then(|socket| socket.local_addr().ok()).unwrap_or(wanted)
}

/// The working keys. The secret that they come from is forgotten.
fn derived_keys(config: &Config) -> Result<(MacKey, SealKey), StartError> {
    let root = root_secret(config)?;
    Ok((MacKey::derive(&root), SealKey::derive(&root).map_err(machine("cipher"))?))
}

fn root_secret(config: &Config) -> Result<RootSecret, StartError> {
    let (origin, path) = (&config.origin, &config.store.secret_file);
    let bytes = std::fs::read(path).map(zeroize::Zeroizing::new).map_err(|error| StartError::SecretFile {
        origin: origin.clone(),
        path: path.clone(),
        error,
    })?;
    RootSecret::parse(&bytes).map_err(|error| StartError::Secret {
        origin: origin.clone(),
        path: path.clone(),
        error,
    })
}
