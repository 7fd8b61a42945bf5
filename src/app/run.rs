//! The program: runs a gateway until it is told to end.

use std::{io, path::Path};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{
    inherited::Inherited,
    logs::line_format,
    start::{App, AppOptions, StartError},
    succession, supervisor,
};
use crate::{
    config::{Config, ConfigErrors, Environment, Loaded},
    domain::time::Clock,
    runtime::priority,
    telemetry::{logging, redact::Redactor},
};

/// Threads for what is no request: the store, the change feed, the ops port.
const CONTROL_THREADS: usize = 2;

/// Why the program ended otherwise than by being told.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration is wrong.
    #[error("{0}")]
    Config(#[from] ConfigErrors),
    /// The gateway did not start.
    #[error("{0}")]
    Start(#[from] StartError),
    /// The machine gave no runtime or no signals.
    #[error("cannot run: {0}")]
    Machine(#[from] io::Error),
}

/// Serves the configuration in this file: SIGHUP reloads it, SIGTERM and SIGINT end the program after the requests
/// under way.
pub fn run(path: &Path, environment: &Environment) -> Result<(), RunError> {
    let inherited = Inherited::take(environment);
    let loaded = Config::load(path, environment)?;
    install_logging(&loaded.config);
    for warning in &loaded.warnings {
        tracing::warn!(key = warning.key, "{}", warning.text);
    }
    runtime()?.block_on(async {
        let signals = Signals::listen()?;
        raise_descriptor_limit(&loaded.config);
        let inherited = inherited?;
        let has_sockets = inherited.are_there();
        let options = AppOptions { inherited, ..AppOptions::default() };
        let app = App::start(loaded.config, options).await?;
        announce(&app);
        supervisor::ready();
        if succession::relieve(environment, has_sockets) {
            tracing::info!(
                pid = std::process::id(),
                "this process serves in the place of the one that started it"
            );
        }
        serve(app, signals, || Config::load(path, environment)).await
    })
}

/// Every connection is a descriptor, and one to its upstream is another; shells give programs 1024 unless they ask.
fn raise_descriptor_limit(config: &Config) {
    let limit = getrlimit(Resource::Nofile);
    // Allowed to everybody up to the hard limit; where it fails, the old limit is what there is.
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let allowed = if raised.is_ok() { limit.maximum } else { limit.current };
    let needed = u64::from(config.limits.max_connections.get()) * 2 + SPARE_DESCRIPTORS;
    if let Some(allowed) = allowed.filter(|allowed| *allowed < needed) {
        tracing::warn!(
            allowed,
            needed,
            "limits.max_connections needs more descriptors than this process may open: raise `ulimit -n`, or lower it"
        );
    }
}

/// Descriptors for what is no request: the store, the ops port, logs.
const SPARE_DESCRIPTORS: u64 = 64;

/// The runtime of everything that is no request.
pub fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .on_thread_start(priority::step_back)
        .enable_all()
        .build()
}

/// Logs go to standard error in the configured format.
pub fn install_logging(config: &Config) {
    let redactor = Redactor::new(&config.profile.keys.shape);
    logging::install(line_format(config.log.format), config.log.level, redactor, Clock::system());
    logging::log_panics();
}

/// Says where the gateway listens, with the ports that were really given.
pub fn announce(app: &App) {
    tracing::info!(listener = "gateway", address = %app.gateway_addr(), "listening");
    tracing::info!(listener = "admin", address = %app.admin_addr(), "listening");
    tracing::info!(listener = "ops", address = %app.ops_addr(), "listening");
    if let Some(address) = app.ext_authz_addr() {
        tracing::info!(listener = "ext_authz", %address, "listening");
    }
}

/// Runs a started gateway until a signal ends it.
pub async fn serve(
    app: App,
    mut signals: Signals,
    reread: impl Fn() -> Result<Loaded, ConfigErrors>,
) -> Result<(), RunError> {
    let mut successor: Option<succession::Ended> = None;
    loop {
        let ended = async {
            match &mut successor {
                Some(successor) => successor.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            asked = signals.next() => match asked {
                Asked::Reload => reload(&app, reread()),
                Asked::Successor if successor.is_some() => {
                    tracing::warn!("another process is about to take this one's place already");
                }
                Asked::Successor => successor = succeed(&app),
                Asked::End => break,
            },
            status = ended => {
                let status = status.and_then(Result::ok).map(|status| status.to_string());
                tracing::error!(status, "the process that was to take this one's place has ended; this one goes on");
                successor = None;
            }
        }
    }
    if successor.is_none() {
        supervisor::stopping();
    }
    tracing::info!("draining: no new connections, requests under way finish");
    if !app.shutdown().await {
        tracing::warn!("limits.drain_timeout is over: requests under way were cut");
    }
    tracing::info!("stopped");
    Ok(())
}

fn succeed(app: &App) -> Option<succession::Ended> {
    tracing::info!("starting the process that is to take this one's place");
    match app.succeed() {
        Ok(successor) => Some(successor),
        Err(error) => {
            tracing::error!(%error, "no process can be started in the place of this one; this one goes on");
            None
        }
    }
}

fn reload(app: &App, read: Result<Loaded, ConfigErrors>) {
    supervisor::reloading();
    apply(app, read);
    supervisor::ready();
}

fn apply(app: &App, read: Result<Loaded, ConfigErrors>) {
    match read {
        Ok(Loaded { config, warnings }) => {
            for warning in &warnings {
                tracing::warn!(key = warning.key, "{}", warning.text);
            }
            let needing_restart = match app.reload(config) {
                Ok(keys) => keys,
                Err(error) => {
                    app.reload_refused();
                    tracing::error!(%error, "the new configuration cannot be used; the old one stays");
                    return;
                }
            };
            if !needing_restart.is_empty() {
                tracing::warn!(
                    keys = needing_restart.join(" "),
                    "these keys have changed and need a restart"
                );
            }
            tracing::info!("configuration reloaded");
        }
        Err(errors) => {
            app.reload_refused();
            tracing::error!(%errors, "the new configuration is wrong; the old one stays");
        }
    }
}

/// What the operator asks of a running gateway.
enum Asked {
    Reload,
    /// Another process in our place.
    Successor,
    End,
}

/// The signals that mean something.
pub struct Signals {
    hangup: Signal,
    user: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on they are ours.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            user: signal(SignalKind::user_defined2())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.hangup.recv() => Asked::Reload,
            _ = self.user.recv() => Asked::Successor,
            _ = self.terminate.recv() => Asked::End,
            _ = self.interrupt.recv() => Asked::End,
        }
    }
}
