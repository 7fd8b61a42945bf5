//! What is said in HTTP/2: many requests at a time, each a stream of its own, each judged as if it were alone.
//!
//! What one connection may hold in memory, with the default of 100 streams: 1 MiB of bodies that nobody has read yet,
//! and for each stream 32 KiB of headers (`limits.header_bytes`) and 64 KiB of an answer that the client has not taken;
//! 11 MiB in all, of a client that does its worst. An idle connection holds some 20 KiB.

use std::{
    cell::{Cell, OnceCell, RefCell},
    convert::Infallible,
    future::{Future, poll_fn},
    io,
    pin::Pin,
    rc::{Rc, Weak},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{
    HeaderValue,
    header::{COOKIE, HOST},
};
use hyper::{body::Incoming, rt::Executor, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    task::{AbortHandle, spawn_local},
    time::{MissedTickBehavior, interval},
};

use super::{
    super::{
        body::Inbound,
        fields::Fields,
        headers,
        peer::Peer,
        pipeline,
        request::Request,
        server::Phase,
        turn::Turn,
        wire::{Flaw, Frames},
        worker::Worker,
    },
    draining,
    taken::{Offer, Taken},
};
use crate::{
    config::Limits,
    runtime::gather::{Gathering, Outlet},
    telemetry::metrics::Counter,
};

/// Of a request's body, what may be on its way unread: for each stream, and for all of a connection.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// Of an answer, what waits in memory for a client that does not take it.
const SEND_BUFFER: usize = 64 << 10;
/// The least that HTTP/2 allows: a larger frame is only held longer before anybody sees it.
const FRAME: u32 = 16 << 10;
/// Streams that a client has opened and reset before we saw them; more end the connection.
const UNSEEN_RESETS: usize = 20;
/// Streams that we had to reset because of what the client sent on them; more end the connection.
const OUR_RESETS: usize = 100;
/// A connection on which nothing moves is asked whether it is still there.
const ASK_EVERY: Duration = Duration::from_secs(30);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Answers the requests of a connection until it ends; an error says that it ended early.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    peer: Rc<Peer>,
    worker: Rc<Worker>,
    phase: &mut watch::Receiver<Phase>,
) -> io::Result<()> {
    let limits = worker.serving().snapshot.limits.clone();
    let (frames, heard) = Frames::new(stream, limits.header_timeout);
    let (wire, outlet) = Gathering::new(frames);
    let streams = Rc::new(Streams::new(Arc::clone(&worker.gateway.metrics.panics)));
    let most = usize::from(limits.header_count);
    let its_next = Rc::clone(&streams);
    let service = service_fn(move |request: http::Request<Incoming>| {
        let (worker, peer) = (Rc::clone(&worker), Rc::clone(&peer));
        let stream = Rc::new(Stream::default());
        its_next.next.replace(Some(Rc::clone(&stream)));
        let mut request = Request::from(request);
        as_one_reads_it(&mut request, most);
        // It goes through many hands before it is begun, and would be moved by each.
        Box::pin(async move {
            // Nothing that came in HTTP/2 goes on in another protocol.
            let (mut request, mut said) = (request.map(Inbound::of_stream), Fields::new());
            let (mut response, _) =
                pipeline::handle(&worker, &peer, &stream.turn, &mut request, &mut said).await;
            response.fields.extend(said);
            Ok::<_, Infallible>(
                http::Response::from(response).map(|body| Taken::new(body, Rc::clone(&stream.offer))),
            )
        })
    });
    let serving = http(&limits, Rc::downgrade(&streams)).serve_connection(TokioIo::new(wire), service);
    let mut serving = std::pin::pin!(serving);
    let mut looks = interval(limits.header_timeout / 2);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks.tick().await;
    let mut gleaning = interval(limits.send_timeout / 2);
    gleaning.set_missed_tick_behavior(MissedTickBehavior::Delay);
    gleaning.tick().await;
    let (mut last, mut quiet, mut ending) = (heard.count(), 0, false);
    loop {
        tokio::select! {
            outcome = poll_fn(|context| turn(serving.as_mut(), &outlet, context)) => return outcome,
            () = draining(phase), if !ending => {
                serving.as_mut().graceful_shutdown();
                (ending, quiet) = (true, 0);
            }
            _ = gleaning.tick() => streams.give_up_forgotten(),
            _ = looks.tick() => {
                let moved = last != heard.count();
                last = heard.count();
                quiet = if moved || streams.open.get() > 0 { 0 } else { quiet + 1 };
                match quiet {
                    // It was told to go, and does not even say that it heard.
                    1.. if ending => return Ok(()),
                    2.. => {
                        serving.as_mut().graceful_shutdown();
                        (ending, quiet) = (true, 0);
                    }
                    _ => {}
                }
            }
        }
    }
}

/// Lets a connection do all that it can, and sends what that has brought in one piece.
fn turn<S: AsyncWrite + Unpin>(
    serving: Pin<&mut impl Future<Output = hyper::Result<()>>>,
    outlet: &Outlet<S>,
    context: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    let outcome = serving.poll(context).map_err(io::Error::other);
    match outlet.poll_flush(context) {
        Poll::Ready(Err(error)) if outcome.is_pending() => Poll::Ready(Err(error)),
        _ => outcome,
    }
}

fn http(limits: &Limits, streams: Weak<Streams>) -> http2::Builder<Tasks> {
    let mut http = http2::Builder::new(Tasks(streams));
    http.timer(TokioTimer::new())
        .max_concurrent_streams(limits.h2_streams.get())
        .max_header_list_size(u32::try_from(limits.header_bytes.0).unwrap_or(u32::MAX))
        .max_frame_size(FRAME)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(UNSEEN_RESETS)
        .max_local_error_reset_streams(OUR_RESETS)
        .keep_alive_interval(ASK_EVERY)
        .keep_alive_timeout(ANSWER_WITHIN);
    http
}

/// A request as everybody after this reads it, whose words are those of HTTP/1: `Host` says whom it is for, and there
/// is one line of cookies (RFC 9113 sections 8.3.1 and 8.2.3).
fn as_one_reads_it(request: &mut Request<Incoming>, most: usize) {
    // Before they are counted: browsers send each cookie as a field of its own.
    join_cookies(&mut request.fields);
    if request.fields.len() > most {
        request.flaw = Some(Flaw::HeadTooLarge);
    } else if headers::names_two_hosts(request) {
        request.flaw = Some(Flaw::TwoHosts);
    }
    if let Some(authority) = request.target.authority()
        && !request.fields.contains(&HOST)
        && let Ok(host) = HeaderValue::try_from(authority.as_str())
    {
        request.fields.append(HOST, host);
    }
}

fn join_cookies(fields: &mut Fields) {
    let lines: Vec<&[u8]> = fields.get_all(&COOKIE).map(HeaderValue::as_bytes).collect();
    if lines.len() < 2 {
        return;
    }
    if let Ok(joined) = HeaderValue::from_maybe_shared(bytes::Bytes::from(lines.join(&b"; "[..]))) {
        fields.insert(COOKIE, joined);
    }
}

/// The streams of a connection that are being answered; they end with it.
#[derive(Debug)]
struct Streams {
    /// How many there are.
    open: Cell<usize>,
    /// The one whose task is about to be made: hyper asks for the task as soon as it has called the service.
    next: RefCell<Option<Rc<Stream>>>,
    /// Those that are open, and some that were.
    seen: RefCell<Vec<Weak<Stream>>>,
    panics: Arc<Counter>,
}

/// One of them.
#[derive(Debug, Default)]
struct Stream {
    turn: Rc<Turn>,
    offer: Rc<Offer>,
    /// Ends it.
    task: OnceCell<AbortHandle>,
}

/// How many streams are remembered at least, before those that have ended are sorted out.
const SEEN: usize = 16;

impl Streams {
    fn new(panics: Arc<Counter>) -> Self {
        Self { open: Cell::default(), next: RefCell::default(), seen: RefCell::default(), panics }
    }

    fn remember(&self, stream: &Rc<Stream>) {
        let mut seen = self.seen.borrow_mut();
        if seen.len() > SEEN.max(2 * self.open.get()) {
            seen.retain(|stream| stream.strong_count() > 0);
        }
        seen.push(Rc::downgrade(stream));
    }

    /// Ends the streams whose answers nobody takes.
    fn give_up_forgotten(&self) {
        let mut seen = self.seen.borrow_mut();
        seen.retain(|stream| stream.strong_count() > 0);
        for stream in seen.iter().filter_map(Weak::upgrade).filter(|stream| stream.offer.is_forgotten()) {
            stream.turn.give_up("client_left");
        }
    }
}

/// The connection is over.
impl Drop for Streams {
    fn drop(&mut self) {
        for stream in self.seen.take().iter().filter_map(Weak::upgrade) {
            stream.task.get().inspect(|task| task.abort());
        }
    }
}

/// Counts a stream as open, as long as it is there.
struct Open(Weak<Streams>);

impl Open {
    fn new(streams: &Rc<Streams>) -> Self {
        streams.open.set(streams.open.get() + 1);
        Self(Rc::downgrade(streams))
    }
}

/// A panic takes its own stream with it, and no other.
impl Drop for Open {
    fn drop(&mut self) {
        let Some(streams) = self.0.upgrade() else { return };
        streams.open.set(streams.open.get() - 1);
        if std::thread::panicking() {
            streams.panics.inc();
        }
    }
}

/// Runs them, as long as the connection is there. One that is cut off is dropped, which resets the stream.
#[derive(Debug, Clone)]
struct Tasks(Weak<Streams>);

impl<F: Future<Output = ()> + 'static> Executor<F> for Tasks {
    fn execute(&self, stream: F) {
        let Some(streams) = self.0.upgrade() else { return };
        let its = streams.next.take().unwrap_or_default();
        streams.remember(&its);
        let (open, ends) = (Open::new(&streams), Rc::clone(&its));
        // A task is moved about as a whole.
        let mut stream = Box::pin(stream);
        let task = spawn_local(async move {
            let _open = open;
            tokio::select! {
                biased;
                () = ends.turn.is_cut() => {}
                () = &mut stream => {}
            }
        });
        let _ = its.task.set(task.abort_handle());
    }
}
