//! HTTP/2 connections to one place: a few, each carrying many requests at a time.
//!
//! A connection takes part once the other side has said how many requests it takes at a time, which also proves that it
//! speaks HTTP/2 at all: until then nothing of a request has left. Another one is opened when those there are have no
//! room. One on which an answer did not come in time takes no further requests: nobody knows whether the other side is
//! slow or gone.

mod ask;

use std::{
    cell::{Cell, RefCell},
    future::{Future as _, poll_fn},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};
use tokio::{
    sync::{Notify, Semaphore, oneshot},
    task::spawn_local,
};

pub(super) use self::ask::{Incoming, ask, is_unprocessed, translate};
use super::{ConnectError, member::Member};
use crate::{
    proxy::stream::Pulse,
    runtime::{
        dial,
        gather::{Gathering, Outlet},
    },
};

/// The connections to one place.
pub(super) struct Lines {
    open: RefCell<Vec<Rc<Line>>>,
    /// How many there may be.
    most: usize,
    /// One is opened at a time: a burst of requests is no burst of connections.
    opening: Semaphore,
    /// Told when there may be room where there was none.
    freed: Rc<Notify>,
}

/// One connection.
struct Line {
    sender: RefCell<SendRequest<Bytes>>,
    watch: Rc<Watch>,
    retired: Cell<bool>,
    /// In sweeps.
    last_used: Cell<u32>,
}

/// What a connection's task and those who use it tell each other.
struct Watch {
    /// How many requests the other side takes at a time; 0 until it has said so.
    room: Cell<usize>,
    streams: Cell<usize>,
    ended: Cell<bool>,
    changed: Rc<Notify>,
}

/// A connection's place for one request; given back when dropped.
pub(super) struct Stream {
    line: Rc<Line>,
    freed: Rc<Notify>,
    pub(super) reused: bool,
}

impl Lines {
    pub(super) fn new(most: usize) -> Self {
        Self { open: RefCell::default(), most, opening: Semaphore::new(1), freed: Rc::default() }
    }

    pub(super) fn count(&self) -> usize {
        self.open.try_borrow().map_or(0, |lines| lines.len())
    }

    /// A place on a connection, or on a new one. `crowded` says, while this waits, that it waits for others to end.
    pub(super) async fn stream(
        &self,
        member: &Member,
        now: &Cell<u32>,
        crowded: &Cell<bool>,
    ) -> Result<Stream, ConnectError> {
        loop {
            if let Some(stream) = self.free(now) {
                return Ok(stream);
            }
            if self.may_open() {
                let _turn = self.opening.acquire().await.map_err(|_| ConnectError::Crowded)?;
                // Whoever was before may have opened one.
                if let Some(stream) = self.free(now) {
                    return Ok(stream);
                }
                if self.may_open() {
                    crowded.set(false);
                    let line = Rc::new(open(member, &self.freed, now.get()).await?);
                    self.open.borrow_mut().push(Rc::clone(&line));
                    self.freed.notify_waiters();
                    return Ok(Stream::on(&line, &self.freed, false));
                }
            }
            crowded.set(true);
            self.freed.notified().await;
        }
    }

    fn may_open(&self) -> bool {
        let mut lines = self.open.borrow_mut();
        lines.retain(|line| !line.is_over());
        lines.len() < self.most
    }

    /// The first with room: so the others grow old and are closed.
    fn free(&self, now: &Cell<u32>) -> Option<Stream> {
        let lines = self.open.borrow();
        let line = lines.iter().find(|line| line.has_room())?;
        line.last_used.set(now.get());
        Some(Stream::on(line, &self.freed, true))
    }

    /// Drops what is closed or was not used for too long.
    pub(super) fn sweep(&self, now: u32, lifetime: u32) {
        self.open.borrow_mut().retain(|line| {
            let old = now.wrapping_sub(line.last_used.get()) > lifetime;
            !(line.is_over() || line.watch.streams.get() == 0 && old)
        });
    }
}

impl Line {
    fn has_room(&self) -> bool {
        !self.is_over() && self.watch.streams.get() < self.watch.room.get().min(MOST_STREAMS)
    }

    /// Whether it is closed, or only finishes what it carries.
    fn is_over(&self) -> bool {
        self.retired.get() || self.watch.ended.get() || self.is_open().is_err()
    }

    /// Whether the other side takes more on it.
    fn is_open(&self) -> Result<(), h2::Error> {
        match self.sender.borrow_mut().poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Err(error)) => Err(error),
            _ => Ok(()),
        }
    }
}

impl Stream {
    fn on(line: &Rc<Line>, freed: &Rc<Notify>, reused: bool) -> Self {
        line.watch.streams.set(line.watch.streams.get() + 1);
        Self { line: Rc::clone(line), freed: Rc::clone(freed), reused }
    }

    /// To ask with; an error: its connection takes no more requests.
    pub(super) fn sender(&self) -> Result<SendRequest<Bytes>, h2::Error> {
        self.line.is_open()?;
        Ok(self.line.sender.borrow().clone())
    }

    /// Its connection carries no further requests.
    pub(super) fn retire(&self) {
        self.line.retired.set(true);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.line.watch.streams.set(self.line.watch.streams.get().saturating_sub(1));
        self.freed.notify_one();
    }
}

async fn open(member: &Member, freed: &Rc<Notify>, now: u32) -> Result<Line, ConnectError> {
    let stream = member.dial().await.map_err(ConnectError::Failed)?;
    let (stream, outlet) = Gathering::new(stream);
    let watch = Rc::new(Watch {
        room: Cell::new(0),
        streams: Cell::new(0),
        ended: Cell::new(false),
        changed: Rc::clone(freed),
    });
    let handshake = Builder::new()
        .initial_max_send_streams(0)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .max_header_list_size(LONGEST_HEAD)
        .max_send_buffer_size(SEND_BUFFER)
        .enable_push(false)
        .handshake(stream);
    let (sender, connection) = handshake.await.map_err(ConnectError::NoHttp2)?;
    let (told, tells) = oneshot::channel();
    // It is large, and a task is moved about as a whole.
    spawn_local(Box::pin(drive(connection, outlet, Rc::clone(&watch), told)));
    let line =
        Line { sender: RefCell::new(sender), watch, retired: Cell::new(false), last_used: Cell::new(now) };
    match tells.await {
        Ok(()) => Ok(line),
        Err(_) => Err(ConnectError::NotHttp2),
    }
}

/// Runs a connection to its end: when the other side closes it or says that it will, when it breaks, when nobody can ask on it
/// any more. `told` is told when the other side has said how many requests it takes.
async fn drive(
    mut connection: Connection<Gathering<dial::Stream>, Bytes>,
    outlet: Outlet<dial::Stream>,
    watch: Rc<Watch>,
    told: oneshot::Sender<()>,
) {
    let mut pulse = Pulse::new(connection.ping_pong(), LOOK_EVERY, QUIET_LOOKS);
    let mut told = Some(told);
    let turns = poll_fn(|context| {
        let outcome = Pin::new(&mut connection).poll(context).map_err(std::io::Error::other);
        watch.has(connection.max_concurrent_send_streams(), &mut told);
        outlet.poll_turn(outcome, context)
    });
    let outcome = tokio::select! {
        biased;
        outcome = turns => outcome,
        () = pulse.is_lost(|| outlet.heard(), || watch.streams.get() > 0) => Err(std::io::ErrorKind::TimedOut.into()),
    };
    watch.ended.set(true);
    watch.changed.notify_waiters();
    if let Err(error) = outcome {
        tracing::debug!(%error, "upstream connection ended");
    }
}

impl Watch {
    /// The other side takes so many requests at a time.
    fn has(&self, room: usize, told: &mut Option<oneshot::Sender<()>>) {
        if self.room.replace(room) != room {
            if let Some(told) = told.take() {
                let _ = told.send(());
            }
            self.changed.notify_waiters();
        }
    }
}

/// More than this share a connection only to wait for each other.
const MOST_STREAMS: usize = 100;
/// What an answer may be ahead of its client, in bytes.
const STREAM_WINDOW: u32 = 128 * 1024;
/// All that share a connection may be so far ahead, so that no slow client keeps the others from theirs.
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
/// As for HTTP/1.1: see the pool.
const LONGEST_HEAD: u32 = 128 * 1024;
/// Of a request, what waits in memory for an upstream that does not take it.
const SEND_BUFFER: usize = 1 << 20;
/// The least that HTTP/2 allows.
const FRAME: u32 = 16 << 10;
/// A connection that carries requests and is silent for so many looks is asked whether it is there, and has until the next
/// one. Not more often: gRPC servers take more than one ping in five minutes for abuse, and close.
const LOOK_EVERY: Duration = Duration::from_secs(20);
const QUIET_LOOKS: u32 = 16;
