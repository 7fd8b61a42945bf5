//! Connections to one place, kept open between requests.
//!
//! A connection of HTTP/1.1 carries one request at a time and is used again only when its answer was read to its end,
//! the request written to its end, and nothing followed the answer: surplus bytes, an end of stream or an error
//! while idle close it (RFC 9112 section 6.3), seen when it is about to be taken and at each sweep. The most recently used
//! is taken first, so that the others grow old and are closed.

use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{
    http1,
    http2::{Lines, Stream},
    member::Member,
};
use crate::{config::Protocol, runtime::dial::DialError};

/// The connections to one place.
pub(in crate::proxy) struct Pool {
    member: Arc<Member>,
    /// Of HTTP/2; none: HTTP/1.1 is spoken.
    lines: Option<Lines>,
    idle: RefCell<Vec<Idle>>,
    /// How many may be in use; none: no bound.
    slots: Option<Arc<Semaphore>>,
    in_flight: Cell<usize>,
    waiting: Cell<usize>,
    /// In sweeps, as everything here.
    now: Rc<Cell<u32>>,
    avoided_at: Cell<Option<u32>>,
}

struct Idle {
    line: Box<http1::Line>,
    since: u32,
}

/// Which connection is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::proxy) enum Kind {
    /// One that is idle, or else a new one.
    Any,
    /// The same for a request that cannot be sent twice: an idle one is looked at once more before it is taken.
    Certain,
    /// One that nobody has used.
    New,
}

/// Why there is no connection; no byte of the request has left.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// It was refused, or led to somebody else.
    #[error("{0}")]
    Failed(#[source] DialError),
    /// There is nowhere to connect to: no name has an address, or no target is well.
    #[error("no target is in service")]
    Nowhere,
    /// It was not there within `timeouts.connect`.
    #[error("connecting to the upstream took too long")]
    Slow,
    /// It does not speak HTTP/2.
    #[error("the upstream does not speak HTTP/2: {0}")]
    NoHttp2(#[source] h2::Error),
    /// It broke off, or said something else, when HTTP/2 was to begin.
    #[error("the upstream does not speak HTTP/2")]
    NotHttp2,
    /// All that `max_connections` allows were in use for that long.
    #[error("all connections to the upstream are in use")]
    Crowded,
}

impl ConnectError {
    /// Whether it took its time to find out.
    pub(in crate::proxy) const fn is_slow(&self) -> bool {
        matches!(self, Self::Slow | Self::Crowded)
    }
}

impl Pool {
    pub(super) fn new(
        member: Arc<Member>,
        protocol: Protocol,
        bound: Option<usize>,
        now: Rc<Cell<u32>>,
    ) -> Self {
        let multiplexed = protocol == Protocol::H2;
        Self {
            member,
            lines: multiplexed.then(|| Lines::new(bound.unwrap_or(usize::MAX))),
            idle: RefCell::default(),
            slots: bound
                .filter(|_| !multiplexed)
                .map(|bound| Arc::new(Semaphore::new(bound.min(Semaphore::MAX_PERMITS)))),
            in_flight: Cell::new(0),
            waiting: Cell::new(0),
            now,
            avoided_at: Cell::new(None),
        }
    }

    pub(super) fn member(&self) -> &Arc<Member> {
        &self.member
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.get()
    }

    /// Whether a connection failed since the last sweep but one.
    pub(super) fn is_avoided(&self) -> bool {
        self.avoided_at.get().is_some_and(|at| self.now.get().wrapping_sub(at) <= 1)
    }

    /// Whether that is news.
    pub(super) fn avoid_for_now(&self) -> bool {
        let news = !self.is_avoided();
        self.avoided_at.set(Some(self.now.get()));
        news
    }

    /// One that is there, as long as nobody has to wait for it.
    pub(in crate::proxy) fn idle(self: &Rc<Self>) -> Option<Connection> {
        if self.lines.is_some() || self.slots.is_some() {
            return None;
        }
        self.take_idle().map(|line| Connection::new(self, Line::Alone(line), None, true))
    }

    /// A connection. Each of the waits, for a slot and for the connection, ends after `patience`.
    pub(super) async fn connection(
        self: &Rc<Self>,
        patience: Duration,
        kind: Kind,
    ) -> Result<Connection, ConnectError> {
        if let Some(lines) = &self.lines {
            return self.stream(lines, patience).await;
        }
        let slot = match &self.slots {
            Some(slots) => Some(self.slot(slots, patience).await?),
            None => None,
        };
        if kind == Kind::Certain && self.has_idle() {
            // Lets the runtime look at its sockets: an end that has arrived is seen.
            tokio::task::yield_now().await;
        }
        if kind != Kind::New
            && let Some(line) = self.take_idle()
        {
            return Ok(Connection::new(self, Line::Alone(line), slot, true));
        }
        let stream = match timeout(patience, self.member.dial()).await {
            Ok(opened) => opened.map_err(ConnectError::Failed)?,
            Err(_) => return Err(ConnectError::Slow),
        };
        self.avoided_at.set(None);
        Ok(Connection::new(self, Line::Alone(Box::new(http1::Line::new(stream))), slot, false))
    }

    /// A bounded number waits for a bounded time.
    async fn slot(
        &self,
        slots: &Arc<Semaphore>,
        patience: Duration,
    ) -> Result<OwnedSemaphorePermit, ConnectError> {
        if let Ok(slot) = Arc::clone(slots).try_acquire_owned() {
            return Ok(slot);
        }
        let _waiting = Waiting::enter(&self.waiting)?;
        match timeout(patience, Arc::clone(slots).acquire_owned()).await {
            Ok(Ok(slot)) => Ok(slot),
            Ok(Err(_)) | Err(_) => Err(ConnectError::Crowded),
        }
    }

    /// A place on a connection of HTTP/2, within `patience`.
    async fn stream(self: &Rc<Self>, lines: &Lines, patience: Duration) -> Result<Connection, ConnectError> {
        let _waiting = Waiting::enter(&self.waiting)?;
        let crowded = Cell::new(false);
        let stream = match timeout(patience, lines.stream(&self.member, &self.now, &crowded)).await {
            Ok(stream) => stream?,
            Err(_) if crowded.get() => return Err(ConnectError::Crowded),
            Err(_) => return Err(ConnectError::Slow),
        };
        self.avoided_at.set(None);
        let reused = stream.reused;
        Ok(Connection::new(self, Line::Shared(stream), None, reused))
    }

    fn has_idle(&self) -> bool {
        !self.idle.borrow().is_empty()
    }

    /// The most recently used one that is still there.
    fn take_idle(&self) -> Option<Box<http1::Line>> {
        let mut idle = self.idle.borrow_mut();
        std::iter::from_fn(|| idle.pop()).map(|idle| idle.line).find(|line| line.is_silent())
    }

    fn put_back(&self, mut line: Box<http1::Line>) {
        line.fall_idle();
        self.idle.borrow_mut().push(Idle { line, since: self.now.get() });
    }

    /// Drops what is closed or too old.
    pub(super) fn sweep(&self) {
        let now = self.now.get();
        let fresh = |idle: &Idle| now.wrapping_sub(idle.since) <= LIFETIME && idle.line.is_silent();
        self.idle.borrow_mut().retain(fresh);
        if let Some(lines) = &self.lines {
            lines.sweep(now, LIFETIME);
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let idle = self.idle.try_borrow().map_or(0, |idle| idle.len());
        let idle = idle + self.lines.as_ref().map_or(0, Lines::count);
        write!(f, "{} ({} in flight, {idle} idle)", self.member.name, self.in_flight.get())
    }
}

/// One of those that wait.
struct Waiting<'a>(&'a Cell<usize>);

impl<'a> Waiting<'a> {
    fn enter(waiting: &'a Cell<usize>) -> Result<Self, ConnectError> {
        if waiting.get() >= MOST_WAITING {
            return Err(ConnectError::Crowded);
        }
        waiting.set(waiting.get() + 1);
        Ok(Self(waiting))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// A connection in use for one request. Dropping it closes it, unless it was put back.
pub struct Connection {
    pub(super) pool: Rc<Pool>,
    pub(super) line: Line,
    /// Whether it has carried a request before, so that the other side may be closing it just now.
    reused: bool,
    single_use: bool,
    slot: Option<OwnedSemaphorePermit>,
    in_flight: InFlight,
}

pub(super) enum Line {
    /// HTTP/1.1: nobody else's as long as this lives.
    Alone(Box<http1::Line>),
    /// HTTP/2: a place among others.
    Shared(Stream),
}

struct InFlight(Rc<Pool>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.set(self.0.in_flight.get().saturating_sub(1));
    }
}

impl Connection {
    fn new(pool: &Rc<Pool>, line: Line, slot: Option<OwnedSemaphorePermit>, reused: bool) -> Self {
        pool.in_flight.set(pool.in_flight.get() + 1);
        Self {
            pool: Rc::clone(pool),
            line,
            reused,
            single_use: false,
            slot,
            in_flight: InFlight(Rc::clone(pool)),
        }
    }

    /// The answer did not come in time.
    pub(in crate::proxy) fn is_late(&self) {
        if let Line::Shared(stream) = &self.line {
            stream.retire();
        }
    }

    pub(in crate::proxy) fn is_reused(&self) -> bool {
        self.reused
    }

    pub(in crate::proxy) fn member(&self) -> &Arc<Member> {
        &self.pool.member
    }

    /// Whatever happens, nobody may have it after this request.
    pub(in crate::proxy) fn use_no_more(&mut self) {
        self.single_use = true;
        if let Line::Shared(stream) = &self.line {
            stream.retire();
        }
    }

    /// What it is made of, when it goes on in another protocol.
    pub(in crate::proxy) fn bytes(&mut self) -> Option<&mut http1::Line> {
        match &mut self.line {
            Line::Alone(line) => Some(line),
            Line::Shared(_) => None,
        }
    }

    /// The answer has come to its end: puts the connection back for the next request, if it may carry one.
    pub(in crate::proxy) fn keep(self) {
        let Line::Alone(mut line) = self.line else { return };
        if self.single_use || !line.is_reusable() {
            line.let_go((self.slot, self.in_flight));
        } else {
            self.pool.put_back(line);
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection to {:?}", self.pool)
    }
}

/// How many requests of a worker may wait for one place: more would only wait to be turned away.
const MOST_WAITING: usize = 1024;

/// How many sweeps an idle connection survives.
pub(super) const LIFETIME: u32 = 8;
