//! One worker: an accept loop and its connections, all on one thread.
//!
//! Nothing is shared with other workers but what is immutable, atomic, or a cache; so a request crosses no
//! thread unless it must ask the store or bcrypt.

use std::{
    future::poll_fn,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use http::HeaderValue;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
};

use super::{
    pipeline,
    record::Turn,
    reject::Refusal,
    wire::{Answers, Refusing, Watched, last_words},
    worker::Worker,
};
use crate::{
    config::Limits,
    telemetry::metrics::{self, Level},
};

/// hyper's own default; keeping it keeps the header table off the heap.
const DEFAULT_HEADER_COUNT: usize = 100;
/// The smallest head buffer that hyper takes.
const SMALLEST_BUFFER: usize = 8192;
/// How long to wait when no connection can be accepted, for want of file descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a new connection may take to send its first request when the gateway is about to end.
const FIRST_REQUEST: Duration = Duration::from_millis(500);
/// How often counts are handed over.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// Where a worker stands on the way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Serving.
    Running,
    /// No new connections; those there are finish what they began.
    Draining,
    /// Whatever is left is cut.
    Stopped,
}

/// The other end of a connection.
#[derive(Debug)]
pub struct Peer {
    /// Its address.
    pub ip: IpAddr,
    /// Its address as a header, made once for each connection.
    pub text: HeaderValue,
}

impl Peer {
    /// An IPv4 address stays one, also on a socket that is IPv6 to the program.
    fn new(address: SocketAddr) -> Self {
        let ip = address.ip().to_canonical();
        let text = HeaderValue::try_from(ip.to_string()).unwrap_or(HeaderValue::from_static("unknown"));
        Self { ip, text }
    }
}

/// Serves connections until told to stop. Must run inside a `LocalSet`.
pub async fn serve(
    listener: TcpListener,
    worker: Rc<Worker>,
    slots: Arc<Semaphore>,
    phase: watch::Receiver<Phase>,
) {
    let open = worker.gateway.metrics.connections("gateway");
    let mut house = House { worker, open, phase, connections: JoinSet::new() };
    house.receive(&listener, &slots).await;
    // Whoever has connected is served: closing the socket would reset those whom nobody has accepted yet.
    while let Some((stream, peer)) = waiting(&listener).await
        && let Ok(slot) = Arc::clone(&slots).try_acquire_owned()
    {
        house.admit(stream, peer, slot);
    }
    drop(listener);
    house.empty().await;
}

/// The connections of one worker.
struct House {
    worker: Rc<Worker>,
    open: Arc<Level>,
    phase: watch::Receiver<Phase>,
    connections: JoinSet<()>,
}

impl House {
    /// Takes connections in until the phase changes.
    async fn receive(&mut self, listener: &TcpListener, slots: &Arc<Semaphore>) {
        let mut flush = tokio::time::interval(FLUSH_EVERY);
        let mut failing = false;
        // Kept between the turns of the loop: it may hold a connection that waits for its slot.
        let mut accepting = std::pin::pin!(accept(listener, slots));
        while *self.phase.borrow_and_update() == Phase::Running {
            let accepted = tokio::select! {
                accepted = &mut accepting => accepted,
                _ = flush.tick() => {
                    self.worker.tick();
                    continue;
                }
                Some(_) = self.connections.join_next() => continue,
                _ = self.phase.changed() => continue,
            };
            accepting.set(accept(listener, slots));
            match accepted {
                Ok((stream, peer, slot)) => {
                    failing = false;
                    self.admit(stream, peer, slot);
                }
                Err(error) => {
                    if !failing {
                        tracing::warn!(%error, "no connection can be accepted; trying on");
                    }
                    failing = true;
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn admit(&mut self, stream: TcpStream, peer: SocketAddr, slot: OwnedSemaphorePermit) {
        let held = Held { _level: self.open.hold(), _slot: slot };
        let serving = connection(stream, peer, Rc::clone(&self.worker), held, self.phase.clone());
        self.connections.spawn_local(serving);
    }

    /// Lets the connections finish, as long as the phase allows.
    async fn empty(mut self) {
        while !self.connections.is_empty() && *self.phase.borrow_and_update() == Phase::Draining {
            tokio::select! {
                Some(_) = self.connections.join_next() => {}
                _ = self.phase.changed() => {}
            }
        }
        self.connections.shutdown().await;
        self.worker.tick();
    }
}

/// Released when a connection ends, however it ends.
struct Held {
    _level: metrics::Held,
    _slot: OwnedSemaphorePermit,
}

/// A connection that nobody has accepted yet, if there is one.
async fn waiting(listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
    poll_fn(|context| match listener.poll_accept(context) {
        Poll::Ready(accepted) => Poll::Ready(accepted.ok()),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// A connection beyond `max_connections` waits, the first for each worker here, the others in the kernel's backlog.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let (stream, peer) = listener.accept().await?;
    let slot = Arc::clone(slots).acquire_owned().await.map_err(std::io::Error::other)?;
    // Answers are written whole; waiting to fill a packet would only delay them.
    stream.set_nodelay(true)?;
    Ok((stream, peer, slot))
}

async fn connection(
    stream: TcpStream,
    address: SocketAddr,
    worker: Rc<Worker>,
    held: Held,
    mut phase: watch::Receiver<Phase>,
) {
    let limits = worker.serving().snapshot.limits.clone();
    let peer = Rc::new(Peer::new(address));
    let turn = Rc::new(Turn::default());
    let (wire, watch) = Watched::new(stream, limits.header_bytes.as_usize());
    let unread = Unread { turn: Rc::clone(&turn), worker: Rc::clone(&worker), peer: Rc::clone(&peer) };
    let wire = Refusing::new(wire, unread);
    let its_turn = Rc::clone(&turn);
    let service = service_fn(move |mut request: Request<Incoming>| {
        watch.mark(&mut request);
        let (worker, peer, turn) = (Rc::clone(&worker), Rc::clone(&peer), Rc::clone(&its_turn));
        async move { pipeline::handle(&worker, &peer, &turn, request).await }
    });
    let serving = http(&limits).serve_connection(TokioIo::new(wire), service);
    let mut serving = std::pin::pin!(serving);
    let outcome = tokio::select! {
        outcome = &mut serving => outcome,
        () = draining(&mut phase) => {
            // The request of a connection that is new may be on its way; one that has had answers knows to retry.
            let patience = if turn.is_new() { FIRST_REQUEST } else { Duration::ZERO };
            if let Ok(outcome) = tokio::time::timeout(patience, &mut serving).await {
                outcome
            } else {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        }
    };
    // A client that hangs up, or sends what is no HTTP, is its own affair.
    if let Err(error) = outcome {
        tracing::debug!(%error, client = %address, "connection ended early");
    }
    drop(held);
}

/// What a connection says to what hyper could not read.
struct Unread {
    turn: Rc<Turn>,
    worker: Rc<Worker>,
    peer: Rc<Peer>,
}

impl Answers for Unread {
    fn is_answering(&self) -> bool {
        self.turn.is_taken()
    }

    fn flushed(&self) {
        self.turn.flushed();
    }

    fn refuse(&self, refusal: &Refusal) -> Response<Bytes> {
        let id = self.worker.refused_unread(&self.peer, refusal);
        let mut response = refusal.response(&self.worker.serving().snapshot.rules.profile, &id);
        last_words(response.headers_mut(), id, self.worker.gateway.clock.now());
        response
    }
}

/// Completes when connections are to finish. What the channel lends is given back here: whoever holds on to it
/// would keep the next phase from being announced.
async fn draining(phase: &mut watch::Receiver<Phase>) {
    drop(phase.wait_for(|phase| *phase != Phase::Running).await);
}

fn http(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(limits.header_bytes.as_usize().max(SMALLEST_BUFFER));
    if usize::from(limits.header_count) != DEFAULT_HEADER_COUNT {
        http.max_headers(usize::from(limits.header_count));
    }
    http
}
