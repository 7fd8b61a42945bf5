//! The same in HTTP/2: backends that refuse streams, reset them, say goodbye and break off, and clients beside each
//! other on a few connections.

use std::{
    cell::RefCell,
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, server::SendResponse};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    client::{HANG, Tally, next_id, problem},
    target::{Ledger, content, mix},
};
use crate::support::{front::on_a_thread, http::Fields, tls::Dialer};

/// How a target fares for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    Well,
    /// Whatever connects is cut off.
    Killed,
    /// REFUSED_STREAM for every other request.
    Refusing,
    /// Answers late, or never.
    Slow,
    /// Answers are reset, cut, or shorter than announced.
    Cut,
    /// Is done with each connection after a few requests, in peace or not.
    Leaving,
}

pub(super) const MOODS: [Mood; 6] =
    [Mood::Well, Mood::Killed, Mood::Refusing, Mood::Slow, Mood::Cut, Mood::Leaving];

/// The target; it ends with the process.
pub(super) struct Target {
    pub(super) address: SocketAddr,
    mood: watch::Sender<Mood>,
}

impl Target {
    pub(super) fn start(ledger: &Ledger) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let (mood, felt) = watch::channel(Mood::Well);
        let ledger = ledger.clone();
        on_a_thread(async move {
            listener.set_nonblocking(true).expect("an asynchronous socket");
            let listener = TcpListener::from_std(listener).expect("a listener");
            while let Ok((stream, _)) = listener.accept().await {
                let (mut felt, ledger) = (felt.clone(), ledger.clone());
                tokio::task::spawn_local(async move {
                    let mood = felt.clone();
                    tokio::select! {
                        () = serve(stream, mood, ledger) => {}
                        _ = felt.wait_for(|mood| *mood == Mood::Killed) => {}
                    }
                });
            }
        });
        Self { address, mood }
    }

    pub(super) fn fares(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }
}

async fn serve(stream: TcpStream, mood: watch::Receiver<Mood>, ledger: Ledger) {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(50);
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
    let mut left = false;
    while let Some(Ok((request, respond))) = connection.accept().await {
        let id = request.uri().path().rsplit('/').next().and_then(|id| id.parse().ok()).expect("its number");
        let mood = *mood.borrow();
        if left {
            // Behind the last one that its GOAWAY speaks of: it is not looked at.
            continue;
        }
        match (mood, mix(id) % 8) {
            (Mood::Leaving, 0) => connection.graceful_shutdown(),
            (Mood::Leaving, 1) => {
                connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                left = true;
            }
            (Mood::Cut, 0) => return,
            _ => {}
        }
        let ledger = ledger.clone();
        tokio::task::spawn_local(async move {
            // What becomes of it is what the clients tell.
            let _ = respond_to(request, respond, mood, id, &ledger).await;
        });
    }
}

async fn respond_to(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    mood: Mood,
    id: u64,
    ledger: &Ledger,
) -> Result<(), h2::Error> {
    let chosen = mix(!id) % 4;
    if mood == Mood::Refusing && chosen < 2 {
        respond.send_reset(Reason::REFUSED_STREAM);
        return Ok(());
    }
    ledger.note(id);
    let post = request.method() == "POST";
    let (mut length, mut sum) = (0, crc32fast::Hasher::new());
    let mut body = request.into_body();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        length += data.len();
        sum.update(&data);
    }
    let answer = if post { format!("{length} {}", sum.finalize()).into_bytes() } else { content(id) };
    if mood == Mood::Slow {
        sleep(Duration::from_millis(if chosen == 0 { 2_000 } else { 200 })).await;
    }
    if mood == Mood::Cut && chosen == 0 {
        respond.send_reset(Reason::INTERNAL_ERROR);
        return Ok(());
    }
    let cut = mood == Mood::Cut && chosen < 3;
    let mut head = Response::builder().header("x-tag", id).header("x-mark", "whole");
    if cut || id.is_multiple_of(2) {
        head = head.header("content-length", answer.len() + usize::from(cut));
    }
    let mut out = respond.send_response(head.body(()).expect("a head"), false)?;
    if cut && chosen == 1 {
        send(&mut out, &answer[..answer.len() / 2]).await?;
        // The head goes first, so that what the reset says is too late to be true.
        sleep(Duration::from_millis(20)).await;
        out.send_reset(if id.is_multiple_of(3) { Reason::CANCEL } else { Reason::REFUSED_STREAM });
        return Ok(());
    }
    send(&mut out, &answer).await?;
    out.send_data(Bytes::new(), true)
}

async fn send(out: &mut SendStream<Bytes>, mut bytes: &[u8]) -> Result<(), h2::Error> {
    while !bytes.is_empty() {
        out.reserve_capacity(bytes.len());
        let Some(room) = std::future::poll_fn(|context| out.poll_capacity(context)).await else { break };
        let (now, rest) = bytes.split_at(room?.min(bytes.len()));
        out.send_data(Bytes::copy_from_slice(now), false)?;
        bytes = rest;
    }
    Ok(())
}

/// Clients of HTTP/2 over TLS, so many beside each other on each connection, on this thread, until it is time.
pub(super) fn ask(
    gateway: SocketAddr,
    dialer: &Dialer,
    path: &str,
    seed: u64,
    bound: Duration,
    until: Instant,
) -> Tally {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let door =
            Rc::new(Door { gateway, dialer: dialer.clone().offering(&["h2"]), open: RefCell::default() });
        let clients = (0..BESIDE).map(|number| {
            let client =
                Client { door: Rc::clone(&door), path: path.to_owned(), bound, chance: mix(seed + number) };
            tokio::task::spawn_local(client.run(until))
        });
        let mut all = Tally::default();
        for client in clients.collect::<Vec<_>>() {
            all.add(client.await.expect("a client"));
        }
        all
    })
}

const BESIDE: u64 = 6;

/// The connection that clients share, while it lasts.
struct Door {
    gateway: SocketAddr,
    dialer: Dialer,
    open: RefCell<Option<SendRequest<Full<Bytes>>>>,
}

impl Door {
    async fn sender(&self) -> SendRequest<Full<Bytes>> {
        if let Some(open) = self.open.borrow().as_ref().filter(|open| !open.is_closed()) {
            return open.clone();
        }
        let stream = TcpStream::connect(self.gateway).await.expect("connect to the gateway");
        let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(self.dialer.0.clone()));
        let name = "gw".try_into().expect("a name");
        let stream = connector.connect(name, stream).await.expect("a handshake");
        let (sender, driver) = handshake(Here, TokioIo::new(stream)).await.expect("HTTP/2");
        tokio::task::spawn_local(driver);
        *self.open.borrow_mut() = Some(sender.clone());
        sender
    }
}

#[derive(Clone)]
struct Here;

impl<F: Future + 'static> hyper::rt::Executor<F> for Here {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}

struct Client {
    door: Rc<Door>,
    path: String,
    bound: Duration,
    chance: u64,
}

impl Client {
    fn chance(&mut self, most: u64) -> u64 {
        self.chance = mix(self.chance);
        self.chance % most
    }

    async fn run(mut self, until: Instant) -> Tally {
        let mut tally = Tally::default();
        while Instant::now() < until {
            let (post, leaves) = (self.chance(100) < 30, self.chance(100) < 8);
            let id = next_id();
            let body = if post { content(!id) } else { Vec::new() };
            // Without a body it may be sent again when it was refused.
            tally.with_body.extend(Some(id).filter(|_| !body.is_empty()));
            if leaves {
                let patience = Duration::from_millis(self.chance(20));
                tally.perhaps.push(id);
                tally.count("left");
                let _ = timeout(patience, self.exchange(id, post, &body)).await;
            } else {
                match timeout(HANG, self.exchange(id, post, &body)).await {
                    Ok(Ok((kind, waited))) => {
                        tally.asked.push(id);
                        tally.longest = tally.longest.max(waited);
                        tally.count(kind);
                    }
                    Ok(Err(why)) => tally.wrong.push(format!("{id} post {post} in HTTP/2: {why}")),
                    Err(_) => tally.wrong.push(format!("{id} in HTTP/2 hangs")),
                }
            }
            let pause = self.chance(30);
            sleep(Duration::from_millis(pause)).await;
        }
        tally
    }

    async fn exchange(&self, id: u64, post: bool, body: &[u8]) -> Result<(String, Duration), String> {
        let uri = format!("https://gw{}/{id}", self.path);
        let request = Request::builder().method(if post { "POST" } else { "GET" }).uri(uri);
        let request = request.body(Full::new(Bytes::copy_from_slice(body))).expect("a request");
        let mut sender = self.door.sender().await;
        let asked = Instant::now();
        let response = match sender.send_request(request).await {
            Ok(response) => response,
            Err(error) => return broken("nothing", &error).map(|kind| (kind, asked.elapsed())),
        };
        let waited = asked.elapsed();
        let (head, body_in) = response.into_parts();
        let kind = match body_in.collect().await {
            Err(error) if head.status == 200 => broken("200", &error)?,
            Err(error) => return Err(format!("{}, its body {error}", head.status)),
            Ok(answer) => {
                let answer = answer.to_bytes();
                let fields = head.headers.iter().map(|(name, value)| {
                    (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
                });
                let fields = Fields(fields.collect());
                let expected = if post {
                    format!("{} {}", body.len(), crc32fast::hash(body)).into_bytes()
                } else {
                    content(id)
                };
                if head.status != 200 {
                    problem(head.status.as_u16(), &fields, &answer)?
                } else if fields.one("x-tag") != Some(&id.to_string()) {
                    return Err(format!("the answer of {:?}", fields.one("x-tag")));
                } else if answer != expected {
                    return Err(format!("{} bytes that look right and are not", answer.len()));
                } else {
                    "200 whole".to_owned()
                }
            }
        };
        if waited > self.bound { Err(format!("{kind} came after {waited:?}")) } else { Ok((kind, waited)) }
    }
}

/// A stream that was reset as one that failed; not as one that nobody looked at.
fn broken(after: &str, error: &hyper::Error) -> Result<String, String> {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<h2::Error>());
    match cause.and_then(h2::Error::reason) {
        Some(Reason::INTERNAL_ERROR) => Ok(format!("{after}, reset")),
        _ => Err(format!("{after}, then {error}: {cause:?}")),
    }
}
