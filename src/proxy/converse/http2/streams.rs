//! The streams of a client's connection of HTTP/2: each a request, judged as if it were alone, and its answer.

use std::{
    cell::{Cell, OnceCell, RefCell},
    future::{Future, poll_fn},
    pin::Pin,
    rc::{Rc, Weak},
    task::Poll,
};

use bytes::Bytes;
use h2::{Reason, RecvStream, server::SendResponse};
use http::{
    HeaderMap, HeaderValue, Method,
    header::{CONTENT_LENGTH, COOKIE, DATE, HOST},
};
use http_body::Body as _;
use tokio::task::{AbortHandle, spawn_local};

use crate::proxy::{
    body::{Body, Inbound},
    fields::Fields,
    headers,
    peer::Peer,
    pipeline,
    record::Recorded,
    request::Request,
    response::Response,
    stream::{Offer, Pipe, Received, is_no_part_of_an_answer},
    turn::Turn,
    wire::{Flaw, answer::HttpDate},
    worker::Worker,
};

/// The streams of a connection that are being answered; they end with it.
pub(super) struct Streams {
    peer: Rc<Peer>,
    worker: Rc<Worker>,
    /// How many fields a request may have.
    most: usize,
    /// How many there are.
    open: Cell<usize>,
    /// Those that are open, and some that were.
    seen: RefCell<Vec<Weak<Stream>>>,
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
    /// None yet, of a client whose requests may have so many fields.
    pub(super) fn new(peer: Rc<Peer>, worker: Rc<Worker>, most: usize) -> Rc<Self> {
        Rc::new(Self { peer, worker, most, open: Cell::default(), seen: RefCell::default() })
    }

    /// Whether any is being answered.
    pub(super) const fn are_open(&self) -> bool {
        self.open.get() > 0
    }

    /// Has a request answered, as long as the connection is there. What is cut off is dropped, which resets the stream.
    pub(super) fn begin(self: &Rc<Self>, request: http::Request<RecvStream>, respond: SendResponse<Bytes>) {
        let stream = Rc::new(Stream::default());
        self.remember(&stream);
        let request = as_one_reads_it(request, self.most);
        // It goes through many hands before it is begun, and would be moved by each.
        let judged =
            Box::pin(judge(Rc::clone(&self.worker), Rc::clone(&self.peer), Rc::clone(&stream.turn), request));
        let (open, ends) = (Open::new(self), Rc::clone(&stream));
        let worker = Rc::clone(&self.worker);
        let task = spawn_local(async move {
            let _open = open;
            tokio::select! {
                biased;
                () = ends.turn.is_cut() => {}
                () = answer(judged, respond, &worker, &ends.offer) => {}
            }
        });
        let _ = stream.task.set(task.abort_handle());
    }

    fn remember(&self, stream: &Rc<Stream>) {
        let mut seen = self.seen.borrow_mut();
        if seen.len() > SEEN.max(2 * self.open.get()) {
            seen.retain(|stream| stream.strong_count() > 0);
        }
        seen.push(Rc::downgrade(stream));
    }

    /// Ends the streams whose answers nobody takes.
    pub(super) fn give_up_forgotten(&self) {
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
            streams.worker.gateway.metrics.panics.inc();
        }
    }
}

/// An answer, and what the gateway says on every answer.
type Answered = (Response<Recorded<Body>>, Fields);

/// A request's way through the gateway. Nothing that came in HTTP/2 goes on in another protocol.
async fn judge(
    worker: Rc<Worker>,
    peer: Rc<Peer>,
    turn: Rc<Turn>,
    mut request: Request<Inbound>,
) -> Answered {
    let mut said = Fields::with_capacity(USUAL_FIELDS);
    let (response, _) = pipeline::handle(&worker, &peer, &turn, &mut request, &mut said).await;
    (response, said)
}

/// Room for nearly everything that the gateway says on an answer.
const USUAL_FIELDS: usize = 12;

/// Sends the answer that a request gets, unless its client gives it up before.
async fn answer(
    mut judged: Pin<Box<impl Future<Output = Answered>>>,
    mut respond: SendResponse<Bytes>,
    worker: &Worker,
    offer: &Rc<Offer>,
) {
    let answered = poll_fn(|context| match judged.as_mut().poll(context) {
        Poll::Ready(answered) => Poll::Ready(Some(answered)),
        Poll::Pending => respond.poll_reset(context).map(|_| None),
    })
    .await;
    // An answer may last; what it took to come by it is not needed for that.
    drop(judged);
    let Some((response, said)) = answered else { return };
    let Response { status, fields, body, .. } = response;
    let is_whole = body.is_end_stream();
    let length = if is_whole { None } else { body.size_hint().exact() };
    let mut head = http::Response::new(());
    *head.status_mut() = status;
    *head.headers_mut() = headers_of(fields, said, length, &worker.date.get());
    match respond.send_response(head, is_whole) {
        Ok(_) if is_whole => {}
        Ok(stream) => {
            let mut pipe = Pipe::new(body, stream, Rc::clone(offer));
            // Where it breaks off, the stream was reset, and the log tells.
            let _ = poll_fn(|context| pipe.poll(context)).await;
        }
        Err(_) => respond.send_reset(Reason::INTERNAL_ERROR),
    }
}

/// The fields of an answer, with its date and its length, which all answers have that know them.
fn headers_of(fields: Fields, said: Fields, length: Option<u64>, date: &HttpDate) -> HeaderMap {
    // Beside them: a date, a length.
    let mut map = HeaderMap::try_with_capacity(fields.len() + said.len() + 2).unwrap_or_default();
    let (mut is_dated, mut is_measured) = (false, length.is_none());
    for (name, value) in fields.into_iter().chain(said) {
        match name {
            DATE => is_dated = true,
            CONTENT_LENGTH => is_measured = true,
            _ if is_no_part_of_an_answer(&name) => continue,
            _ => {}
        }
        map.append(name, value);
    }
    if !is_dated && let Ok(date) = HeaderValue::from_bytes(date) {
        map.append(DATE, date);
    }
    if let Some(length) = length.filter(|_| !is_measured) {
        map.append(CONTENT_LENGTH, length.into());
    }
    map
}

/// A request as everybody after this reads it, whose words are those of HTTP/1: `Host` says whom it is for, and there
/// is one line of cookies (RFC 9113 sections 8.3.1 and 8.2.3).
fn as_one_reads_it(request: http::Request<RecvStream>, most: usize) -> Request<Inbound> {
    let (parts, stream) = request.into_parts();
    let http::request::Parts { method, uri: target, version, headers, .. } = parts;
    let mut request =
        Request { method, target, version, fields: headers.into(), flaw: None, body: Inbound::default() };
    // Before they are counted: browsers send each cookie as a field of its own.
    join_cookies(&mut request.fields);
    if request.fields.len() > most {
        request.flaw = Some(Flaw::HeadTooLarge);
    } else if headers::names_two_hosts(&request) {
        request.flaw = Some(Flaw::TwoHosts);
    }
    // What would come behind a CONNECT is no body.
    if !stream.is_end_stream() && request.method != Method::CONNECT {
        request.body = Inbound::Stream(Received::new(stream, &request.fields));
    }
    if let Some(authority) = request.target.authority()
        && !request.fields.contains(&HOST)
        && let Ok(host) = HeaderValue::try_from(authority.as_str())
    {
        request.fields.append(HOST, host);
    }
    request
}

fn join_cookies(fields: &mut Fields) {
    let lines: Vec<&[u8]> = fields.get_all(&COOKIE).map(HeaderValue::as_bytes).collect();
    if lines.len() < 2 {
        return;
    }
    if let Ok(joined) = HeaderValue::from_maybe_shared(Bytes::from(lines.join(&b"; "[..]))) {
        fields.insert(COOKIE, joined);
    }
}
