//! Clients that believe nothing: whatever they are answered is right to the last byte, visibly broken, or one of the
//! documented errors in the time that the timeouts promise.

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustls::{ClientConnection, StreamOwned};
use serde_json::Value;

use super::target::{content, mix};
use crate::support::{
    http::{Body, Fields, Framing, Reader},
    tls::Dialer,
};

/// What some clients were answered.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// How often, by kind.
    pub(super) answers: BTreeMap<String, usize>,
    /// What must not be.
    pub(super) wrong: Vec<String>,
    /// Requests that the gateway has read.
    pub(super) asked: Vec<u64>,
    /// Requests that it may have read: the client left, or was left, first.
    pub(super) perhaps: Vec<u64>,
    /// Those that have a body.
    pub(super) with_body: Vec<u64>,
    /// The longest wait for a head.
    pub(super) longest: Duration,
}

impl Tally {
    pub(super) fn count(&mut self, kind: impl Into<String>) {
        *self.answers.entry(kind.into()).or_default() += 1;
    }

    pub(super) fn add(&mut self, other: Self) {
        for (kind, count) in other.answers {
            *self.answers.entry(kind).or_default() += count;
        }
        self.wrong.extend(other.wrong);
        self.asked.extend(other.asked);
        self.perhaps.extend(other.perhaps);
        self.with_body.extend(other.with_body);
        self.longest = self.longest.max(other.longest);
    }
}

/// A stream to the gateway.
pub(super) trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

/// Opens one; the socket below it, too, to break it off.
pub(super) type Connect<'a> = dyn Fn() -> (Box<dyn Stream>, TcpStream) + Sync + 'a;

pub(super) fn plain(gateway: SocketAddr) -> (Box<dyn Stream>, TcpStream) {
    let (stream, socket) = sockets(gateway);
    (Box::new(stream), socket)
}

/// The same inside TLS; a stream that ends without `close_notify` ends in an error.
pub(super) fn secure(gateway: SocketAddr, dialer: &Dialer) -> (Box<dyn Stream>, TcpStream) {
    let (stream, socket) = sockets(gateway);
    let config = Arc::new(dialer.0.clone());
    let session = ClientConnection::new(config, "gw".try_into().expect("a name")).expect("a session");
    (Box::new(StreamOwned::new(session, stream)), socket)
}

fn sockets(gateway: SocketAddr) -> (TcpStream, TcpStream) {
    let stream = TcpStream::connect(gateway).expect("connect to the gateway");
    stream.set_nodelay(true).expect("nodelay");
    stream.set_read_timeout(Some(HANG)).expect("a read timeout");
    stream.set_write_timeout(Some(HANG)).expect("a write timeout");
    let socket = stream.try_clone().expect("a handle");
    (stream, socket)
}

/// One client, which asks one thing after the other.
pub(super) struct Client<'a> {
    pub(super) connect: &'a Connect<'a>,
    /// How long the head of an answer may take.
    pub(super) bound: Duration,
    /// Fields of each request.
    pub(super) fields: String,
    /// Whether its requests may go on in another protocol.
    pub(super) tunnels: bool,
    chance: u64,
    kept: Option<(Reader<Box<dyn Stream>>, Instant)>,
    tally: Tally,
}

/// What a request is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Get,
    /// On a connection of its own.
    Fresh,
    /// Of a client that knows no chunks.
    Old,
    /// An answer that takes its time, as events do.
    Events,
    /// It goes on in another protocol.
    Tunnel,
    Post,
    /// Its body comes in pieces, of unknown length.
    Pieces,
    /// It waits to be told to go on.
    Expecting,
    /// Its client leaves: while it sends, or while it is answered; in peace, or not.
    LeavesSending(bool),
    LeavesReading(bool),
}

impl<'a> Client<'a> {
    pub(super) fn new(connect: &'a Connect<'a>, bound: Duration, number: u64) -> Self {
        let chance = mix(number);
        Self {
            connect,
            bound,
            fields: String::new(),
            tunnels: false,
            chance,
            kept: None,
            tally: Tally::default(),
        }
    }

    fn chance(&mut self, most: u64) -> u64 {
        self.chance = mix(self.chance);
        self.chance % most
    }

    /// Asks until it is time, below this path.
    pub(super) fn run(mut self, path: &str, until: Instant) -> Tally {
        while Instant::now() < until {
            let kind = match self.chance(100) {
                0..2 => Kind::Events,
                2..4 if self.tunnels => Kind::Tunnel,
                2..50 => Kind::Get,
                50..58 => Kind::Fresh,
                58..64 => Kind::Old,
                64..82 => Kind::Post,
                82..88 => Kind::Pieces,
                88..92 => Kind::Expecting,
                92..94 => Kind::LeavesSending(false),
                94..96 => Kind::LeavesSending(true),
                96..98 => Kind::LeavesReading(false),
                _ => Kind::LeavesReading(true),
            };
            self.ask(path, kind);
            let pause = self.chance(30);
            thread::sleep(Duration::from_millis(pause));
        }
        self.tally
    }

    fn ask(&mut self, path: &str, kind: Kind) {
        let id = next_id();
        let own = !matches!(kind, Kind::Get | Kind::Post | Kind::Expecting);
        // The gateway closes what is idle for ten seconds.
        let kept = if own { None } else { self.kept.take().filter(|(_, since)| since.elapsed() < STALE) };
        let kept = kept.map(|(reader, _)| reader);
        let reused = kept.is_some();
        let mut socket = None;
        let mut reader = kept.unwrap_or_else(|| {
            let (stream, below) = (self.connect)();
            socket = Some(below);
            Reader::new(stream)
        });
        reader.record.clear();
        let (sent, body) = self.send(&mut reader, path, kind, id);
        match kind {
            Kind::LeavesSending(hard) | Kind::LeavesReading(hard) => {
                self.tally.perhaps.push(id);
                if matches!(kind, Kind::LeavesReading(_)) {
                    let _ = reader.fill();
                }
                if let Some(socket) = socket.filter(|_| hard) {
                    let _ = socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO));
                }
                return self.tally.count("left");
            }
            _ => {}
        }
        let asked = Instant::now();
        match self.judge(&mut reader, id, body.as_deref()) {
            Verdict::Switched => {
                self.tally.asked.push(id);
                match converse(&mut reader, id) {
                    Ok(kind) => self.tally.count(kind),
                    Err(why) => self.tally.wrong.push(format!("{id} in a tunnel: {why}")),
                }
            }
            Verdict::Right(kind, goes_on) => {
                self.tally.asked.push(id);
                self.tally.count(kind);
                if goes_on && sent && !own {
                    self.kept = Some((reader, Instant::now()));
                }
            }
            Verdict::Broken(kind) => {
                self.tally.asked.push(id);
                self.tally.count(kind);
            }
            Verdict::Nothing(error) => {
                self.tally
                    .wrong
                    .push(format!("{id} {kind:?}, kept {reused}: no answer at all, sent: {sent}, {error}"));
            }
            Verdict::Wrong(why) => {
                let record = String::from_utf8_lossy(&reader.record);
                let start: String = record.chars().take(300).collect();
                let after = asked.elapsed();
                self.tally.wrong.push(format!("{id} {kind:?} after {after:?}: {why}; {start:?}"));
            }
        }
    }

    /// Whether all was sent, and the body if there is one.
    fn send(
        &mut self,
        reader: &mut Reader<Box<dyn Stream>>,
        path: &str,
        kind: Kind,
        id: u64,
    ) -> (bool, Option<Vec<u8>>) {
        let with_body = matches!(kind, Kind::Post | Kind::Pieces | Kind::Expecting | Kind::LeavesSending(_));
        let method = if with_body { "POST" } else { "GET" };
        let version = if kind == Kind::Old { "1.0" } else { "1.1" };
        let place = if kind == Kind::Events { "/events" } else { "" };
        let mut head = format!("{method} {path}{place}/{id} HTTP/{version}\r\nHost: gw\r\n{}", self.fields);
        if kind == Kind::Tunnel {
            head.push_str("Connection: upgrade\r\nUpgrade: echo\r\n");
        }
        if kind == Kind::Fresh {
            head.push_str("Connection: close\r\n");
        }
        if !with_body {
            head.push_str("\r\n");
            return (reader.stream.write_all(head.as_bytes()).is_ok(), None);
        }
        self.tally.with_body.push(id);
        let body = content(!id);
        let sent = upload(reader, head, kind, &body);
        (sent.is_ok(), Some(body))
    }

    fn judge(&mut self, reader: &mut Reader<Box<dyn Stream>>, id: u64, body: Option<&[u8]>) -> Verdict {
        let asked = Instant::now();
        let (status, fields) = loop {
            let head = match reader.head() {
                Ok(Some(head)) => head,
                Ok(None) => return Verdict::Nothing("the end".to_owned()),
                Err(error) if hangs(&error) => return Verdict::Wrong("hangs without a head".to_owned()),
                Err(error) if reader.record.is_empty() => return Verdict::Nothing(error.to_string()),
                Err(error) => return Verdict::Wrong(format!("no head: {error}")),
            };
            let status = head.first.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok());
            match status {
                Some(101) => return Verdict::Switched,
                Some(100..200) => {}
                Some(status) => break (status, head.fields),
                None => return Verdict::Wrong("no status".to_owned()),
            }
        };
        let waited = asked.elapsed();
        self.tally.longest = self.tally.longest.max(waited);
        if waited > self.bound {
            return Verdict::Wrong(format!("{status} came after {waited:?}"));
        }
        let mut answer = Body::default();
        let read = match Framing::of(&fields, Framing::ToTheEnd) {
            Ok(framing) => reader.body(framing, &mut answer),
            Err(error) => return Verdict::Wrong(error.to_string()),
        };
        match read {
            Err(error) if hangs(&error) => return Verdict::Wrong("hangs in the body".to_owned()),
            Err(error) if error.kind() == ErrorKind::InvalidData => return Verdict::Wrong(error.to_string()),
            Err(_) if status == 200 && tag(&fields) == Some(id) => {
                return Verdict::Broken("200, broken off".to_owned());
            }
            Err(error) => return Verdict::Wrong(format!("{status}, its body {error}")),
            Ok(_) => {}
        }
        let lasts = fields.one("content-length").is_some() || fields.one("transfer-encoding").is_some();
        let goes_on = lasts && !fields.one("connection").is_some_and(|value| value.contains("close"));
        if status != 200 {
            return match problem(status, &fields, &answer.kept) {
                Ok(kind) => Verdict::Right(kind, goes_on),
                Err(why) => Verdict::Wrong(why),
            };
        }
        if tag(&fields) != Some(id) {
            return Verdict::Wrong(format!("the answer of {:?}", fields.one("x-tag")));
        }
        let mark = fields.one("x-mark").unwrap_or_default();
        let expected = match (mark, body) {
            ("early", _) => b"early".to_vec(),
            (_, Some(body)) => format!("{} {}", body.len(), crc32fast::hash(body)).into_bytes(),
            (_, None) => content(id),
        };
        let expected = if mark == "half" { &expected[..expected.len() / 2] } else { &expected[..] };
        if (answer.length, answer.sum.finalize()) != (expected.len() as u64, crc32fast::hash(expected)) {
            return Verdict::Wrong(format!("{} bytes that look right and are not", answer.length));
        }
        Verdict::Right(format!("200 {mark}"), goes_on)
    }
}

fn upload(reader: &mut Reader<Box<dyn Stream>>, mut head: String, kind: Kind, body: &[u8]) -> io::Result<()> {
    if kind == Kind::Pieces {
        head.push_str("Transfer-Encoding: chunked\r\n\r\n");
        reader.stream.write_all(head.as_bytes())?;
        for piece in body.chunks(body.len() / 5 + 1) {
            let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
            reader.stream.write_all(&chunk)?;
            thread::sleep(Duration::from_millis(10));
        }
        return reader.stream.write_all(b"0\r\n\r\n");
    }
    let leaves = matches!(kind, Kind::LeavesSending(_));
    head.push_str(&format!("Content-Length: {}\r\n", body.len() + usize::from(leaves)));
    if kind == Kind::Expecting && !body.is_empty() {
        head.push_str("Expect: 100-continue\r\n\r\n");
        reader.stream.write_all(head.as_bytes())?;
        // A moment at most, as RFC 9110 section 10.1.1 would have it.
        thread::sleep(Duration::from_millis(20));
        return reader.stream.write_all(body);
    }
    head.push_str("\r\n");
    reader.stream.write_all(&[head.as_bytes(), body].concat())
}

/// Says some words, one after the other, and hears each of them again, until a side has had enough.
fn converse(reader: &mut Reader<Box<dyn Stream>>, id: u64) -> Result<&'static str, String> {
    for word in content(!id).chunks(64).take(10) {
        if reader.stream.write_all(word).is_err() {
            return Ok("101, broken off");
        }
        let mut heard = Body::default();
        match reader.body(Framing::Length(word.len() as u64), &mut heard) {
            Ok(_) if heard.kept == word => {}
            Ok(_) => return Err("another word came back".to_owned()),
            Err(error) if hangs(&error) => return Err("it hangs".to_owned()),
            Err(_) if word.starts_with(&heard.kept) => return Ok("101, broken off"),
            Err(error) => return Err(format!("another half of a word came back, {error}")),
        }
        thread::sleep(Duration::from_millis(40));
    }
    Ok("101 whole")
}

enum Verdict {
    /// A tunnel is open.
    Switched,
    /// Of this kind; whether the connection goes on.
    Right(String, bool),
    Broken(String),
    /// The connection ended first.
    Nothing(String),
    Wrong(String),
}

fn tag(fields: &Fields) -> Option<u64> {
    fields.one("x-tag").and_then(|tag| tag.parse().ok())
}

fn hangs(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// A number that no other request has.
pub(super) fn next_id() -> u64 {
    static ID: AtomicU64 = AtomicU64::new(1);
    ID.fetch_add(1, Ordering::Relaxed)
}

/// One of the documented errors, whole.
pub(super) fn problem(status: u16, fields: &Fields, body: &[u8]) -> Result<String, String> {
    let text = String::from_utf8_lossy(body);
    let problem: Value =
        serde_json::from_slice(body).map_err(|error| format!("{status}, {error}: {text:?}"))?;
    let code = problem["code"].as_str().unwrap_or_default();
    let whole = fields.one("content-type") == Some("application/problem+json")
        && problem["status"] == status
        && problem["request_id"].is_string()
        && problem["request_id"].as_str() == fields.one("x-request-id");
    let documented = matches!(
        (status, code),
        (502, "upstream_unreachable" | "upstream_protocol") | (503, "overloaded") | (504, "upstream_timeout")
    );
    if whole && documented { Ok(format!("{status} {code}")) } else { Err(format!("{status}: {text}")) }
}

/// How long a connection is kept without use.
const STALE: Duration = Duration::from_secs(5);
/// How long nothing may come before it counts as never.
pub(super) const HANG: Duration = Duration::from_secs(25);
