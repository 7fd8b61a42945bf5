//! HTTP/2 connections to one place: a few, each carrying many requests at a time.
//!
//! A connection takes part once the other side has said how many requests it takes at a time, which also proves that it
//! speaks HTTP/2 at all: until then nothing of a request has left. Another one is opened when those there are have no
//! room. One on which an answer did not come in time takes no further requests: nobody knows whether the other side is
//! slow or gone.

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    task::Waker,
    time::Duration,
};

use http::{
    HeaderName, HeaderValue, Uri, Version,
    header::{CONNECTION, HOST, TRANSFER_ENCODING, UPGRADE},
    uri::{Authority, Scheme},
};
use hyper::{
    client::conn::http2::{Builder, SendRequest},
    rt::Executor,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Notify, Semaphore};

use super::{ConnectError, member::Member};
use crate::{
    proxy::{forward::RequestBody, request::Request},
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
    sender: SendRequest<RequestBody>,
    watch: Rc<Watch>,
    streams: Cell<usize>,
    retired: Cell<bool>,
    /// In sweeps.
    last_used: Cell<u32>,
}

/// What a connection's tasks tell about it.
struct Watch {
    /// How many requests the other side takes at a time; 0 until it has said so.
    room: Cell<usize>,
    ended: Cell<bool>,
    /// The task that knows `room` when it looks.
    looks: RefCell<Option<Waker>>,
    changed: Rc<Notify>,
    /// What is written in one turn goes out at its end.
    outlet: Outlet<dial::Stream>,
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
            !(line.is_over() || line.streams.get() == 0 && old)
        });
    }
}

impl Line {
    fn has_room(&self) -> bool {
        !self.is_over() && self.streams.get() < self.watch.room.get().min(MOST_STREAMS)
    }

    /// Whether it is closed, or only finishes what it carries.
    fn is_over(&self) -> bool {
        self.retired.get() || self.watch.ended.get() || self.sender.is_closed()
    }
}

impl Stream {
    fn on(line: &Rc<Line>, freed: &Rc<Notify>, reused: bool) -> Self {
        line.streams.set(line.streams.get() + 1);
        Self { line: Rc::clone(line), freed: Rc::clone(freed), reused }
    }

    pub(super) fn sender(&self) -> SendRequest<RequestBody> {
        self.line.sender.clone()
    }

    /// Its connection carries no further requests.
    pub(super) fn retire(&self) {
        self.line.retired.set(true);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.line.streams.set(self.line.streams.get().saturating_sub(1));
        self.freed.notify_one();
    }
}

async fn open(member: &Member, freed: &Rc<Notify>, now: u32) -> Result<Line, ConnectError> {
    let stream = member.dial().await.map_err(ConnectError::Failed)?;
    let (stream, outlet) = Gathering::new(stream);
    let watch = Rc::new(Watch {
        room: Cell::new(0),
        ended: Cell::new(false),
        looks: RefCell::default(),
        changed: Rc::clone(freed),
        outlet,
    });
    let handshake = Builder::new(OnThisThread(Rc::clone(&watch)))
        .timer(TokioTimer::new())
        .initial_max_send_streams(0)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(LONGEST_HEAD)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_PATIENCE)
        .handshake(TokioIo::new(stream));
    let (sender, driver) = handshake.await.map_err(ConnectError::NoHttp2)?;
    let (told, tells) = tokio::sync::oneshot::channel();
    let watched = Rc::clone(&watch);
    // Ends with the connection: when the other side closes it or says that it will, when it breaks, when its sender is
    // dropped. Requests that were not sent by then are given back.
    tokio::task::spawn_local(async move {
        let mut driver = pin!(driver);
        let mut told = Some(told);
        let outcome = poll_fn(|context| {
            let outcome = driver.as_mut().poll(context);
            let room = driver.current_max_send_streams();
            if watched.room.replace(room) != room {
                if let Some(told) = told.take() {
                    let _ = told.send(());
                }
                watched.changed.notify_waiters();
            }
            *watched.looks.borrow_mut() = (room == 0).then(|| context.waker().clone());
            outcome
        });
        let outcome = outcome.await;
        watched.ended.set(true);
        watched.changed.notify_waiters();
        if let Err(error) = outcome {
            tracing::debug!(%error, "upstream connection ended");
        }
    });
    let line =
        Line { sender, watch, streams: Cell::new(0), retired: Cell::new(false), last_used: Cell::new(now) };
    match tells.await {
        Ok(()) => Ok(line),
        Err(_) => Err(ConnectError::NotHttp2),
    }
}

/// Runs a connection's tasks on the worker's thread.
#[derive(Clone)]
struct OnThisThread(Rc<Watch>);

impl<F: Future<Output = ()> + 'static> Executor<F> for OnThisThread {
    fn execute(&self, task: F) {
        let watch = Rc::clone(&self.0);
        // hyper's are all as large as the largest, the connection's, and a task is moved about as a whole.
        let mut task = Box::pin(task);
        tokio::task::spawn_local(poll_fn(move |context| {
            let outcome = task.as_mut().poll(context);
            // Of all the tasks it is the one that reads which writes as well.
            if watch.outlet.was_touched() {
                watch.outlet.flush(context);
            }
            // What the other side says is read in here, and nobody is told.
            if watch.room.get() == 0
                && let Some(looks) = watch.looks.take()
            {
                looks.wake();
            }
            outcome
        }));
    }
}

/// Gives a request the form that HTTP/2 has for it (RFC 9113 section 8.2.2 and 8.3.1): what HTTP/1.1 says about the
/// connection is gone, and the host is part of the target.
pub(super) fn translate(request: &mut Request<RequestBody>, member: &Member) {
    let mut host = None;
    request.fields.retain(|name, value| {
        if *name == HOST {
            host.get_or_insert_with(|| std::mem::replace(value, HeaderValue::from_static("")));
            return false;
        }
        !ABOUT_THE_CONNECTION.contains(name)
    });
    request.version = Version::HTTP_2;
    // One that is sent again has its authority already.
    if request.target.authority().is_some() {
        return;
    }
    let host = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let mut parts = std::mem::take(&mut request.target).into_parts();
    parts.scheme = Some(if member.is_secure() { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority = Some(host.unwrap_or_else(|| member.authority().clone()));
    // All of its parts are there, which is all that can be wrong.
    request.target = Uri::from_parts(parts).unwrap_or_default();
}

/// Whether the other side says that it has not looked at the request (RFC 9113 section 8.7).
pub(in crate::proxy) fn is_unprocessed(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<h2::Error>());
    cause.is_some_and(|cause| {
        let refused = cause.is_reset() && cause.reason() == Some(h2::Reason::REFUSED_STREAM);
        cause.is_remote() && (refused || cause.is_go_away())
    })
}

const ABOUT_THE_CONNECTION: [HeaderName; 5] = [
    CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// More than this share a connection only to wait for each other.
const MOST_STREAMS: usize = 100;
/// What an answer may be ahead of its client, in bytes.
const STREAM_WINDOW: u32 = 128 * 1024;
/// All that share a connection may be so far ahead, so that no slow client keeps the others from theirs.
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
/// As for HTTP/1.1: see the pool.
const LONGEST_HEAD: u32 = 128 * 1024;
/// A connection that carries requests and is silent is asked whether it is there. Not more often: gRPC servers take more
/// than one ping in five minutes for abuse, and close.
const PING_EVERY: Duration = Duration::from_secs(310);
const PING_PATIENCE: Duration = Duration::from_secs(20);
