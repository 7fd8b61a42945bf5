//! An upstream that speaks HTTP/2 and nothing else, frame by frame where it matters: it refuses streams, says goodbye,
//! and counts how many requests are open at once.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use h2::{Reason, RecvStream, server::SendResponse};
use http::{HeaderMap, Request, Response};
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Notify,
};

use super::{
    front::{Terms, on_a_thread},
    wait,
};

/// A request as the upstream saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub connection: usize,
    pub method: String,
    pub uri: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
    pub complete: bool,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// What the upstream does with a request.
#[derive(Clone)]
pub enum Reply {
    /// 200 with the request as JSON, when it is complete.
    Echo,
    /// 200 with this text, and trailers behind it.
    Trailers(&'static str, Vec<(&'static str, &'static str)>),
    /// REFUSED_STREAM: not looked at.
    Refuse,
    /// Is done with the connection after this answer.
    Last,
    /// Resets the stream in the middle of the answer, with this code.
    Cut(&'static str, u32),
    /// Nothing at all.
    Stall,
    /// Echo, once the gate is open.
    Held(Arc<Gate>),
    /// 200 with so many bytes, as fast as they are taken.
    Large(usize),
    /// 200 at once, and no more of the answer while the request goes on.
    Early,
    /// 200 at once and whole, and reads on.
    Whole,
}

#[derive(Default)]
pub struct Gate(std::sync::atomic::AtomicBool, Notify);

impl Gate {
    pub fn open(&self) {
        self.0.store(true, std::sync::atomic::Ordering::SeqCst);
        self.1.notify_waiters();
    }

    async fn pass(&self) {
        while !self.0.load(std::sync::atomic::Ordering::SeqCst) {
            let _ = tokio::time::timeout(Duration::from_millis(20), self.1.notified()).await;
        }
    }
}

type Script = dyn Fn(usize, &Request<RecvStream>) -> Reply + Send + Sync;

/// The upstream; it ends with the process.
pub struct H2Upstream {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    connections: usize,
    /// Open requests of each connection, now and at most.
    open: Vec<(usize, usize)>,
}

impl H2Upstream {
    /// `script` is given how many requests came before. `most`: streams that it takes at a time on a connection.
    pub fn start(
        most: Option<u32>,
        terms: Option<Terms>,
        script: impl Fn(usize, &Request<RecvStream>) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let state = Arc::new(Mutex::new(State::default()));
        let (script, kept): (Arc<Script>, _) = (Arc::new(script), Arc::clone(&state));
        let acceptor = terms.map(Terms::acceptor);
        on_a_thread(async move {
            listener.set_nonblocking(true).expect("an asynchronous socket");
            let listener = TcpListener::from_std(listener).expect("a listener");
            while let Ok((stream, _)) = listener.accept().await {
                let (script, state, acceptor) = (Arc::clone(&script), Arc::clone(&kept), acceptor.clone());
                tokio::task::spawn_local(async move {
                    match acceptor {
                        None => serve(stream, most, script, state).await,
                        Some(acceptor) => {
                            let Ok(stream) = acceptor.accept(stream).await else { return };
                            serve(stream, most, script, state).await;
                        }
                    }
                });
            }
        });
        Self { address, state }
    }

    pub fn echo() -> Self {
        Self::start(None, None, |_, _| Reply::Echo)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.state).seen.clone()
    }

    pub fn last(&self) -> Seen {
        self.seen().pop().expect("a request reached the upstream")
    }

    pub fn wait_for(&self, count: usize) {
        wait::until(&format!("{count} requests at the upstream"), || lock(&self.state).seen.len() >= count);
    }

    pub fn connections(&self) -> usize {
        lock(&self.state).connections
    }

    /// Requests that are open now.
    pub fn open(&self) -> usize {
        lock(&self.state).open.iter().map(|(now, _)| *now).sum()
    }

    /// The most requests that were open at once on any connection.
    pub fn most_at_once(&self) -> usize {
        lock(&self.state).open.iter().map(|(_, most)| *most).max().unwrap_or(0)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    most: Option<u32>,
    script: Arc<Script>,
    state: Arc<Mutex<State>>,
) {
    let mut builder = h2::server::Builder::new();
    if let Some(most) = most {
        builder.max_concurrent_streams(most);
    }
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
    let number = {
        let mut state = lock(&state);
        state.connections += 1;
        state.open.push((0, 0));
        state.open.len() - 1
    };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let index = {
            let mut state = lock(&state);
            state.seen.push(note(number, &request));
            let open = &mut state.open[number];
            *open = (open.0 + 1, open.1.max(open.0 + 1));
            state.seen.len() - 1
        };
        let reply = script(index, &request);
        if matches!(reply, Reply::Last) {
            connection.graceful_shutdown();
        }
        let state = Arc::clone(&state);
        tokio::task::spawn_local(async move {
            answer(request, respond, reply, &state, index).await;
            lock(&state).open[number].0 -= 1;
        });
    }
}

fn note(connection: usize, request: &Request<RecvStream>) -> Seen {
    Seen {
        connection,
        method: request.method().to_string(),
        uri: request.uri().to_string(),
        headers: fields(request.headers()),
        body: Vec::new(),
        trailers: Vec::new(),
        complete: false,
    }
}

fn fields(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect()
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    reply: Reply,
    state: &Mutex<State>,
    index: usize,
) {
    if matches!(reply, Reply::Refuse) {
        respond.send_reset(Reason::REFUSED_STREAM);
        return;
    }
    let early = matches!(reply, Reply::Early | Reply::Whole)
        .then(|| respond.send_response(Response::new(()), matches!(reply, Reply::Whole)));
    let mut body = request.into_body();
    while let Some(Ok(data)) = body.data().await {
        let _ = body.flow_control().release_capacity(data.len());
        lock(state).seen[index].body.extend_from_slice(&data);
    }
    if let Ok(trailers) = body.trailers().await {
        let mut state = lock(state);
        state.seen[index].trailers = trailers.as_ref().map(fields).unwrap_or_default();
        state.seen[index].complete = true;
    }
    if let Reply::Held(gate) = &reply {
        gate.pass().await;
    }
    let head = Response::builder().header("content-type", "application/json");
    match reply {
        Reply::Echo | Reply::Held(_) | Reply::Last => {
            let text = {
                let seen = &lock(state).seen[index];
                json!({ "method": seen.method, "uri": seen.uri, "headers": seen.headers, "length": seen.body.len() })
                    .to_string()
            };
            let Ok(mut out) = respond.send_response(head.body(()).expect("a head"), false) else { return };
            let _ = out.send_data(Bytes::from(text), true);
        }
        Reply::Trailers(text, trailers) => {
            let Ok(mut out) = respond.send_response(head.body(()).expect("a head"), false) else { return };
            let _ = out.send_data(Bytes::from_static(text.as_bytes()), false);
            let trailers = trailers.iter().map(|(name, value)| {
                (name.parse::<http::HeaderName>().expect("a name"), value.parse().expect("a value"))
            });
            let _ = out.send_trailers(trailers.collect());
        }
        Reply::Cut(text, code) => {
            let Ok(mut out) = respond.send_response(head.body(()).expect("a head"), false) else { return };
            let _ = out.send_data(Bytes::from_static(text.as_bytes()), false);
            tokio::time::sleep(Duration::from_millis(20)).await;
            out.send_reset(Reason::from(code));
        }
        Reply::Large(mut left) => {
            let Ok(mut out) = respond.send_response(head.body(()).expect("a head"), false) else { return };
            let block = Bytes::from(vec![b'x'; 16 * 1024]);
            while left > 0 {
                out.reserve_capacity(block.len().min(left));
                let Some(Ok(room)) = std::future::poll_fn(|context| out.poll_capacity(context)).await else {
                    return;
                };
                let part = block.slice(..room.min(left).min(block.len()));
                left -= part.len();
                if out.send_data(part, left == 0).is_err() {
                    return;
                }
            }
        }
        Reply::Stall => std::future::pending().await,
        Reply::Early | Reply::Whole => drop(early),
        Reply::Refuse => {}
    }
}
