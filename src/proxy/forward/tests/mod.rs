//! Forwarding over real sockets, between a client and an upstream that do exactly as the test says.

mod answers;
mod bodies;
mod connections;
mod held_bodies;
mod hostile_requests;

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    num::{NonZeroU32, NonZeroUsize},
    sync::Arc,
};

use bytes::Bytes;
use http_body_util::{Either, Full};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::{LocalSet, spawn_local},
    time::{sleep, timeout},
};

use super::*;
use crate::{
    config::{self, Balance, Timeouts},
    domain::{
        access::{Action, Target, decide},
        time::{Clock, Timestamp},
    },
    proxy::{
        body::{Hold, Places},
        headers::{Hop, Pseudonym, authority},
        identity::Headers,
        upstream::{Fleet, Upstream, Worker},
        wire::{self, Bounds, Head, MOST_FIELDS, Sending, Terms, answer},
    },
    runtime::patience::Pace,
};

const LONG: Duration = Duration::from_secs(20);

/// Runs a test as a worker runs; a test that hangs fails.
fn worker(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tasks = LocalSet::new();
    runtime.block_on(async { timeout(LONG, tasks.run_until(test)).await.expect("the test hangs") });
}

/// One end of a connection, with what was read but not asked for yet.
struct Wire {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Wire {
    async fn connect(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).await.unwrap())
    }

    fn new(stream: TcpStream) -> Self {
        Self { stream, unread: Vec::new() }
    }

    async fn send(&mut self, text: impl AsRef<[u8]>) {
        self.stream.write_all(text.as_ref()).await.unwrap();
    }

    /// Whatever comes until this was read, with it; what came, when the connection ended before.
    async fn until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = self.unread.windows(end.len()).position(|part| part == end.as_bytes()) {
                let rest = self.unread.split_off(at + end.len());
                let read = std::mem::replace(&mut self.unread, rest);
                return String::from_utf8_lossy(&read).into_owned();
            }
            let mut part = [0; 4096];
            match self.stream.read(&mut part).await {
                Ok(0) | Err(_) => {
                    return String::from_utf8_lossy(&std::mem::take(&mut self.unread)).into_owned();
                }
                Ok(length) => self.unread.extend_from_slice(&part[..length]),
            }
        }
    }

    async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await
    }

    /// Everything until the other side closes.
    async fn rest(&mut self) -> String {
        self.until("\u{0}no such text\u{0}").await
    }

    /// Ends the connection with a reset.
    fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// An upstream that runs this script on each connection, given how many came before it.
async fn upstream<S, F>(script: S) -> SocketAddr
where
    S: Fn(usize, Wire) -> F + 'static,
    F: Future<Output = ()> + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    spawn_local(async move {
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            spawn_local(script(number, Wire::new(stream)));
        }
    });
    address
}

/// An upstream that answers every request on every connection with the same text.
async fn answering(answer: &'static str) -> SocketAddr {
    upstream(move |_, mut wire| async move {
        while wire.head().await.ends_with("\r\n\r\n") {
            wire.send(answer).await;
        }
    })
    .await
}

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

struct Gateway {
    address: SocketAddr,
    upstream: Rc<Upstream>,
    ended: Rc<RefCell<Vec<OnEnd>>>,
    failed: Rc<RefCell<Vec<ForwardError>>>,
}

#[derive(Clone, Copy)]
struct Settings {
    most: u64,
    silence: Duration,
    timeouts: Timeouts,
    max_connections: u32,
    retries: u32,
    /// Whether the body is held before it is forwarded.
    hold: bool,
}

const SETTINGS: Settings = Settings {
    most: 0,
    silence: LONG,
    timeouts: Timeouts { connect: LONG, response: LONG, idle: LONG },
    max_connections: 0,
    retries: 1,
    hold: false,
};

const SOON: Duration = Duration::from_millis(60);

async fn gateway(targets: &[SocketAddr], settings: Settings) -> Gateway {
    let target = |address: &SocketAddr| config::Target {
        authority: address.to_string().parse().unwrap(),
        place: config::Place::Address(*address),
        tls: false,
    };
    let config = config::Upstream {
        name: "backend".into(),
        targets: targets.iter().map(target).collect(),
        balance: Balance::RoundRobin,
        max_connections: NonZeroU32::new(settings.max_connections),
        timeouts: settings.timeouts,
        retries: settings.retries,
        protocol: Protocol::Http1,
        tls: config::UpstreamTls::default(),
        health: None,
    };
    let alone = Worker { index: 0, of: NonZeroUsize::MIN };
    let upstream = Upstream::new(&Arc::new(Fleet::new(0, &Arc::new(config)).unwrap()), alone);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = Gateway {
        address: listener.local_addr().unwrap(),
        upstream,
        ended: Rc::default(),
        failed: Rc::default(),
    };
    let rules = Rc::new(HeaderRules::new([&"x-tenant-id".parse().unwrap()], Pseudonym::new(1), "latchgate"));
    let (upstream, ended, failed) =
        (Rc::clone(&gateway.upstream), Rc::clone(&gateway.ended), Rc::clone(&gateway.failed));
    let places = Rc::new(Places::default());
    spawn_local(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (upstream, ended, failed, rules, places) = (
                Rc::clone(&upstream),
                Rc::clone(&ended),
                Rc::clone(&failed),
                Rc::clone(&rules),
                Rc::clone(&places),
            );
            let line = wire::Wire::new(Box::new(stream), Bytes::new());
            spawn_local(async move {
                let bounds = Bounds { bytes: 1 << 20, fields: MOST_FIELDS };
                while let Ok(Some(head)) = line.head(bounds).await {
                    let Ok(Head { request, reading, expects, terms }) = head else {
                        line.lose();
                        let bad = http::Response::builder()
                            .status(400)
                            .body(Full::<Bytes>::default())
                            .unwrap()
                            .into();
                        let _ = say(&line, bad, Terms::default()).await;
                        break;
                    };
                    let content = line.begin(reading, expects);
                    let request = request.map(|()| Inbound::Streaming(content));
                    let served = serve(
                        request,
                        settings,
                        [Rc::clone(&upstream)],
                        Rc::clone(&rules),
                        Rc::clone(&ended),
                        Rc::clone(&failed),
                        Rc::clone(&places),
                    );
                    let mut served = pin!(served);
                    let answering = poll_fn(|context| match served.as_mut().poll(context) {
                        Poll::Ready(response) => Poll::Ready(Some(response)),
                        Poll::Pending => line.poll_gone(context).map(|()| None),
                    });
                    let Some(response) = answering.await else { return };
                    match say(&line, response, terms).await {
                        None => return,
                        Some(false) => break,
                        Some(true) => line.skip(),
                    }
                }
                let _ = line.leave().await;
            });
        }
    });
    gateway
}

impl wire::Stream for TcpStream {}

/// Whether another request may follow; none: the connection is lost.
async fn say<B>(line: &wire::Wire, response: Response<B>, terms: Terms) -> Option<bool>
where
    B: Body<Data = Bytes> + Unpin,
{
    let (text, framing, keeps) =
        answer::write(&response, b"", terms, !line.is_read(), b"Thu, 01 Jan 1970 00:00:00 GMT");
    let mut sending = Sending::new(text, framing, response.body, false);
    let sent = line.send(&mut sending).await;
    drop(sending);
    sent.ok()?;
    line.is_let_be().await;
    Some(keeps)
}

type Answer = Response<Either<Box<ForwardedBody>, Full<Bytes>>>;

async fn serve(
    request: Request<Inbound>,
    settings: Settings,
    [upstream]: [Rc<Upstream>; 1],
    rules: Rc<HeaderRules>,
    ended: Rc<RefCell<Vec<OnEnd>>>,
    failed: Rc<RefCell<Vec<ForwardError>>>,
    places: Rc<Places>,
) -> Answer {
    let refusal = |status: u16, text: String| {
        let body = Either::Right(Full::from(text));
        http::Response::builder().status(status).header("connection", "close").body(body).unwrap().into()
    };
    let mut request = request;
    if let Err(malformed) = authority(&request) {
        return refusal(400, malformed.to_string());
    }
    let public = Action { public: true, permission: None, target: Target::default() };
    let permit = decide(None, &public, None, Timestamp::default()).unwrap();
    let peer = HeaderValue::from_static("192.0.2.1");
    let hop = Hop {
        peer: &peer,
        peer_trusted: false,
        tls: false,
        client_certificate: None,
        request_id: b"id",
        identity: Headers::default(),
        assertion: None,
        protocols: None,
    };
    let mut said = Vec::new();
    if let Err(looping) = rules.prepare(&mut request, &hop, &mut said) {
        return refusal(508, looping.to_string());
    }
    let target = crate::proxy::path::origin_form(&request.target, None).unwrap();
    request.target = target;
    if settings.hold {
        let how = Hold { places: &places, most: NonZeroU64::new(settings.most), patience: settings.silence };
        if let Err(unheld) = request.body.hold(how).await {
            return refusal(500, format!("{unheld:?}"));
        }
    }
    let (most, pace) = (NonZeroU64::new(settings.most), Pace { within: settings.silence, rate: 0 });
    let (clock, turn) = (Clock::system(), Turn::default());
    let sent = clock.uptime();
    let limits = BodyLimits { most, pace, clock };
    let on_end = OnEnd::default();
    ended.borrow_mut().push(Rc::clone(&on_end));
    let asked = Asked { request: &mut request, said, protocols: None, turn: &turn, sent };
    match send(&upstream, permit, asked, limits, &rules, on_end).await {
        Ok(Sent::Answer(response)) => response.map(Either::Left),
        Ok(Sent::Switched(..)) => refusal(500, "Switched".to_owned()),
        Err(error) => {
            let text = format!("{error:?}").split(['(', ' ', '{']).next().unwrap_or_default().to_owned();
            failed.borrow_mut().push(error);
            refusal(500, text)
        }
    }
}

impl Gateway {
    async fn client(&self) -> Wire {
        Wire::connect(self.address).await
    }

    /// Everything that comes for one request on a connection of its own.
    async fn ask(&self, request: &str) -> String {
        let mut client = self.client().await;
        client.send(request).await;
        client.rest().await
    }

    /// How those ended that have, in the order in which they began.
    fn ended(&self) -> Vec<Ended> {
        self.ended.borrow().iter().filter_map(|ended| ended.get()).collect()
    }

    fn how(&self) -> Vec<End> {
        self.ended().iter().map(|ended| ended.how).collect()
    }

    fn failures(&self) -> Vec<String> {
        self.failed
            .borrow()
            .iter()
            .map(|error| format!("{error:?}").split('(').next().unwrap().to_owned())
            .collect()
    }
}

/// What the scripts saw, in order.
#[derive(Clone, Default)]
struct Seen(Rc<RefCell<Vec<String>>>);

impl Seen {
    fn note(&self, what: impl Into<String>) {
        self.0.borrow_mut().push(what.into());
    }

    fn all(&self) -> Vec<String> {
        self.0.borrow().clone()
    }

    /// Waits until this much was seen.
    async fn at_least(&self, count: usize) -> Vec<String> {
        while self.0.borrow().len() < count {
            sleep(Duration::from_millis(1)).await;
        }
        self.all()
    }
}

/// Waits until it is so.
async fn until(so: impl Fn() -> bool) {
    while !so() {
        sleep(Duration::from_millis(1)).await;
    }
}

const GET: &str = "GET /x HTTP/1.1\r\nHost: gw\r\nConnection: close\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
