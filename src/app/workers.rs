//! The data plane's threads: one runtime on one thread for each worker, with a listening socket of its own.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    num::NonZeroUsize,
    sync::{Arc, atomic::AtomicU64},
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{
    runtime::{self, LocalOptions},
    sync::{Semaphore, mpsc, watch},
};

use crate::{
    config::{Config, Limits},
    proxy::{
        gateway::Gateway,
        handover::Handover,
        server::{self, Phase},
        upstream,
        usage::Deliver,
        worker::Worker,
    },
    runtime::{listener, tls::Door},
};

/// How long the threads may take to end once they were told that their time is over.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

/// The threads that serve the gateway port.
pub struct Workers {
    address: SocketAddr,
    phase: watch::Sender<Phase>,
    pulses: Vec<Arc<AtomicU64>>,
    threads: Vec<JoinHandle<()>>,
    /// Closed by the last thread to end.
    ended: mpsc::Receiver<()>,
}

impl Workers {
    /// The listening sockets, bound before anything else is made, so that a taken port costs nothing.
    ///
    /// Of sockets that were handed over, none may go unserved, so there are at least as many workers; where there are
    /// fewer, workers share them.
    pub fn bind(config: &Config, handed: Vec<TcpListener>) -> io::Result<Vec<TcpListener>> {
        let count = match config.listen.workers {
            0 => thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        if handed.is_empty() {
            return listener::bind(config.listen.gateway, count);
        }
        let shared = handed.iter().cycle().take(count.saturating_sub(handed.len()));
        let shared: Vec<TcpListener> = shared.map(TcpListener::try_clone).collect::<io::Result<_>>()?;
        Ok(handed.into_iter().chain(shared).collect())
    }

    /// Starts a thread for each socket.
    pub fn start(
        sockets: Vec<TcpListener>,
        gateway: &Arc<Gateway>,
        usage: &Deliver,
        handover: &Arc<dyn Handover>,
        door: Option<&Arc<Door>>,
        limits: &Limits,
    ) -> io::Result<Self> {
        let address =
            sockets.first().map_or_else(|| Err(io::Error::other("no socket")), TcpListener::local_addr)?;
        let of = NonZeroUsize::new(sockets.len()).unwrap_or(NonZeroUsize::MIN);
        let slots =
            Arc::new(Semaphore::new(usize::try_from(limits.max_connections.get()).unwrap_or(usize::MAX)));
        let (phase, _) = watch::channel(Phase::Running);
        let (running, ended) = mpsc::channel(1);
        let mut threads = Vec::with_capacity(sockets.len());
        let pulses: Vec<Arc<AtomicU64>> = sockets.iter().map(|_| Arc::default()).collect();
        for ((index, socket), pulse) in sockets.into_iter().enumerate().zip(&pulses) {
            let worker = Thread {
                socket,
                gateway: Arc::clone(gateway),
                place: upstream::Worker { index, of },
                usage: usage.clone(),
                handover: Arc::clone(handover),
                door: door.cloned(),
                slots: Arc::clone(&slots),
                phase: phase.subscribe(),
                pulse: Arc::clone(pulse),
                seed: getrandom::u64().map_err(io::Error::other)?,
            };
            let running = running.clone();
            let thread = thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
                let outcome = worker.run();
                if let Err(error) = outcome {
                    tracing::error!(%error, "a worker could not start");
                }
                drop(running);
            })?;
            threads.push(thread);
        }
        Ok(Self { address, phase, pulses, threads, ended })
    }

    /// The address that is served.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What each worker counts up once a second while it serves.
    pub fn pulses(&self) -> Vec<Arc<AtomicU64>> {
        self.pulses.clone()
    }

    /// Where the workers stand on the way out.
    pub fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Whether every thread still runs: one that does not has panicked.
    pub fn are_alive(&self) -> bool {
        self.threads.iter().all(|thread| !thread.is_finished())
    }

    /// Takes no more connections, lets requests finish for as long as `patience`, cuts what is left. False: some
    /// were cut.
    pub async fn drain(mut self, patience: Duration) -> bool {
        self.phase.send_replace(Phase::Draining);
        let finished = tokio::time::timeout(patience, self.ended.recv()).await.is_ok();
        if !finished {
            self.phase.send_replace(Phase::Stopped);
            let _ = tokio::time::timeout(LAST_PATIENCE, self.ended.recv()).await;
        }
        finished
    }
}

/// What a thread takes with it.
struct Thread {
    socket: TcpListener,
    gateway: Arc<Gateway>,
    place: upstream::Worker,
    usage: Deliver,
    handover: Arc<dyn Handover>,
    door: Option<Arc<Door>>,
    slots: Arc<Semaphore>,
    phase: watch::Receiver<Phase>,
    pulse: Arc<AtomicU64>,
    seed: u64,
}

impl Thread {
    fn run(self) -> io::Result<()> {
        let mut runtime = runtime::Builder::new_current_thread();
        // Whose tasks may stay on this thread: a `LocalSet` would be a second scheduler inside the first.
        let runtime = runtime.enable_all().build_local(LocalOptions::default())?;
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(self.socket)?;
            let worker =
                Worker::new(self.gateway, self.place, self.usage, self.handover, self.pulse, self.seed);
            server::serve(listener, worker.into(), self.door, self.slots, self.phase).await;
            Ok(())
        })
    }
}
