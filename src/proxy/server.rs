//! One worker: an accept loop and its connections, all on one thread.
//!
//! Nothing is shared with other workers but what is immutable, atomic, or a cache; so a request crosses no
//! thread unless it must ask the store or bcrypt.

use std::{future::poll_fn, net::SocketAddr, pin::pin, rc::Rc, sync::Arc, task::Poll, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::{JoinError, JoinSet},
};

use super::{
    converse::{LAST_REQUEST, Spoken, converse, draining},
    lasting,
    peer::Peer,
    wire::Stream,
    worker::Worker,
};
use crate::{
    runtime::{
        crowd::Member,
        patience::{Pace, Patient},
        proxy_protocol::{Announced, announced},
        tls::{Door, Encrypted, NotMet},
    },
    telemetry::metrics::{self, Level},
};

/// What is spoken inside TLS, in the order of our liking (RFC 7301).
pub const PROTOCOLS: &[&[u8]] = &[HTTP2, b"http/1.1"];
const HTTP2: &[u8] = b"h2";

/// How long to wait when no connection can be accepted, for want of file descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
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

/// Serves connections until told to stop. Must run where tasks may stay on their thread.
pub async fn serve(
    listener: TcpListener,
    worker: Rc<Worker>,
    door: Option<Arc<Door>>,
    slots: Arc<Semaphore>,
    phase: watch::Receiver<Phase>,
) {
    let open = worker.gateway.metrics.connections("gateway");
    let mut house = House { worker, door, open, phase, connections: JoinSet::new() };
    house.receive(&listener, &slots).await;
    house.worker.turns.all().iter().for_each(|turn| turn.finish_up());
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
    /// Where TLS is spoken.
    door: Option<Arc<Door>>,
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
                    lasting::look(&self.worker);
                    continue;
                }
                Some(ended) = self.connections.join_next() => {
                    self.note(&ended);
                    continue;
                }
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
        let mut held = Held { _level: self.open.hold(), _slot: slot, member: None };
        let (worker, phase) = (Rc::clone(&self.worker), self.phase.clone());
        if worker.serving().snapshot.proxy_protocol {
            let serving = behind_balancer(stream, peer, self.door.clone(), worker, held, phase);
            self.connections.spawn_local(serving);
            return;
        }
        let peer = Peer::new(peer);
        if held.join(&worker, &peer).is_err() {
            return;
        }
        let stream = patient(stream, &worker);
        match self.door.clone() {
            None => self.connections.spawn_local(plain(stream, peer, worker, held, phase)),
            Some(door) => self.connections.spawn_local(encrypted(stream, peer, door, worker, held, phase)),
        };
    }

    /// A panic takes its own connection with it, and nobody else; it is logged where it happens.
    fn note(&self, ended: &Result<(), JoinError>) {
        if ended.as_ref().is_err_and(JoinError::is_panic) {
            self.worker.gateway.metrics.panics.inc();
        }
    }

    /// Lets the connections finish, as long as the phase allows.
    async fn empty(mut self) {
        let mut tick = tokio::time::interval(FLUSH_EVERY);
        while !self.connections.is_empty() && *self.phase.borrow_and_update() == Phase::Draining {
            tokio::select! {
                Some(ended) = self.connections.join_next() => self.note(&ended),
                _ = tick.tick() => lasting::look(&self.worker),
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
    member: Option<Member>,
}

/// An address has as many connections as it may.
struct TooMany;

impl Held {
    /// Counts the connection as one of its address. Trusted proxies stand for many.
    fn join(&mut self, worker: &Worker, peer: &Peer) -> Result<(), TooMany> {
        let serving = worker.serving();
        let snapshot = &serving.snapshot;
        let Some(most) = snapshot.limits.connections_per_ip else { return Ok(()) };
        if !snapshot.trusted_proxies.contains(peer.ip) {
            self.member = Some(worker.gateway.crowd.join(peer.ip, most).ok_or(TooMany)?);
        }
        Ok(())
    }
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

impl Stream for Patient {
    fn end_in_reset(&self) {
        Self::end_in_reset(self);
    }
}

/// Inside TLS an end without `close_notify` is no end.
impl Stream for Encrypted<Patient> {}

/// What is said on it is taken in by a client that keeps pace, or cut off.
fn patient(stream: TcpStream, worker: &Worker) -> Patient {
    let limits = &worker.serving().snapshot.limits;
    let pace = Pace { within: limits.send_timeout, rate: limits.min_rate.0 };
    Patient::new(stream, pace, worker.gateway.clock.clone())
}

/// What is said on a connection, to its end.
async fn connection(
    stream: Box<dyn Stream>,
    peer: Peer,
    worker: Rc<Worker>,
    held: Held,
    phase: watch::Receiver<Phase>,
    spoken: Spoken,
) {
    let (ip, peer) = (peer.ip, Rc::new(peer));
    // A client that hangs up, or sends what is no HTTP, is its own affair.
    if let Err(error) = converse(stream, peer, worker, phase, spoken).await {
        tracing::debug!(%error, client = %ip, "connection ended early");
    }
    drop(held);
}

async fn plain(stream: Patient, peer: Peer, worker: Rc<Worker>, held: Held, phase: watch::Receiver<Phase>) {
    connection(Box::new(stream), peer, worker, held, phase, Spoken::Unknown).await;
}

async fn encrypted(
    stream: Patient,
    peer: Peer,
    door: Arc<Door>,
    worker: Rc<Worker>,
    held: Held,
    mut phase: watch::Receiver<Phase>,
) {
    // In memory of its own, which nobody holds who has come in.
    let meeting = Box::pin(meet(stream, peer, door, &worker, &mut phase));
    if let Some((stream, peer, spoken)) = meeting.await {
        connection(stream, peer, worker, held, phase, spoken).await;
    }
}

/// Makes the handshake; none: nobody came in.
async fn meet(
    stream: Patient,
    peer: Peer,
    door: Arc<Door>,
    worker: &Worker,
    phase: &mut watch::Receiver<Phase>,
) -> Option<(Box<dyn Stream>, Peer, Spoken)> {
    let patience = worker.serving().snapshot.limits.header_timeout;
    let counts = &worker.gateway.metrics.tls;
    let mut meeting = pin!(door.meet(stream, patience));
    let met = tokio::select! {
        met = &mut meeting => met,
        // As for a first request: it may be on its way.
        () = draining(phase) => {
            tokio::time::timeout(LAST_REQUEST, meeting).await.unwrap_or(Err(NotMet::TimedOut))
        }
    };
    match met {
        Ok((stream, met)) => {
            counts.met.inc();
            // Whoever did not ask for HTTP/2 in the handshake does not get it (RFC 9113 section 3.2).
            let is_http2 = met.protocol.as_deref() == Some(HTTP2);
            let spoken = if is_http2 { Spoken::Http2 } else { Spoken::Http1 };
            return Some((Box::new(stream), peer.over_tls(met), spoken));
        }
        // Whoever knocks and does not come in is no news: the internet is full of them.
        Err(NotMet::Challenge) => tracing::debug!(client = %peer.ip, "an authority's challenge was answered"),
        Err(error) => {
            let count = if matches!(error, NotMet::TimedOut) { &counts.timed_out } else { &counts.failed };
            count.inc();
            tracing::debug!(%error, client = %peer.ip, "no TLS connection came about");
        }
    }
    None
}

/// A connection on which a load balancer first says whose it is.
async fn behind_balancer(
    mut stream: TcpStream,
    balancer: SocketAddr,
    door: Option<Arc<Door>>,
    worker: Rc<Worker>,
    mut held: Held,
    mut phase: watch::Receiver<Phase>,
) {
    let serving = worker.serving();
    if !serving.snapshot.trusted_proxies.contains(balancer.ip()) {
        tracing::debug!(client = %balancer, "closed: only trusted proxies connect where a PROXY header is required");
        return;
    }
    let patience = serving.snapshot.limits.header_timeout;
    // Not held while waiting: it keeps connections to upstreams.
    drop(serving);
    let heard = {
        let mut hearing = pin!(tokio::time::timeout(patience, announced(&mut stream)));
        tokio::select! {
            heard = &mut hearing => heard,
            // As for a handshake: it may be on its way.
            () = draining(&mut phase) => {
                tokio::time::timeout(LAST_REQUEST, hearing).await.and_then(|heard| heard)
            }
        }
    };
    let peer = match heard {
        Ok(Ok(Announced::Client(ip))) => Peer::new((ip, 0).into()),
        Ok(Ok(Announced::Itself)) => Peer::new(balancer),
        Ok(Ok(Announced::Nobody)) => Peer::new(balancer).nameless(),
        Ok(Err(error)) => return tracing::debug!(%error, client = %balancer, "connection closed"),
        Err(_) => {
            return tracing::debug!(client = %balancer, "connection closed: the PROXY header took too long");
        }
    };
    if held.join(&worker, &peer).is_err() {
        return;
    }
    let stream = patient(stream, &worker);
    match door {
        None => Box::pin(plain(stream, peer, worker, held, phase)).await,
        Some(door) => Box::pin(encrypted(stream, peer, door, worker, held, phase)).await,
    }
}
