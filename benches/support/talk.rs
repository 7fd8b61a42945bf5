//! Client, gateway and upstream in one program: what benches time and tests count.

use std::{io, rc::Rc, sync::Arc};

use latchgate::{
    proxy::{
        gateway::Gateway,
        server::{self, Phase},
        worker::Worker,
    },
    telemetry::{LineFormat, access_log::AccessLog, redact::Redactor},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    runtime::{Builder, Runtime},
    sync::{Semaphore, watch},
    task::{LocalSet, spawn_local},
};

use crate::support::{self, Ground, KEYS, Key, OPEN, Random};

/// Bytes of an answer's body.
const BODY: usize = 1024;

/// Client, gateway and upstream taking turns on one thread, without waking anybody. Client and upstream make no
/// allocations.
pub(crate) struct OneThread {
    runtime: Runtime,
    tasks: LocalSet,
    client: tokio::net::TcpStream,
    requests: Vec<Vec<u8>>,
    which: Each,
    answer: Vec<u8>,
    _ground: Ground,
}

/// What a client asks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The gateway, with one of the keys.
    WithKey,
    /// The gateway, on a public route.
    WithoutKey,
    /// The upstream itself.
    Directly,
}

impl OneThread {
    /// Everybody is there, and every key is known.
    pub(crate) fn new(asked: Asked) -> Self {
        let (behind, before) = (listen(), listen());
        let address = behind.local_addr().unwrap();
        let ground = Ground::new(&address.to_string());
        let address = if asked == Asked::Directly { address } else { before.local_addr().unwrap() };
        let (runtime, tasks) = (runtime(), LocalSet::new());
        tasks.block_on(&runtime, async {
            spawn_local(upstream(behind));
            if asked != Asked::Directly {
                let worker = Rc::new(support::worker(&with_log(&ground).await));
                spawn_local(serve(before, worker));
            }
        });
        let client = tasks.block_on(&runtime, tokio::net::TcpStream::connect(address)).unwrap();
        let mut all = Self {
            runtime,
            tasks,
            client,
            requests: requests(&ground, asked != Asked::WithoutKey),
            which: Each::then_random(),
            answer: vec![0; ANSWER],
            _ground: ground,
        };
        (0..KEYS).for_each(|_| all.turn());
        all
    }

    /// One request and its answer.
    pub(crate) fn turn(&mut self) {
        let Self { runtime, tasks, client, requests, which, answer, .. } = self;
        let request = &requests[which.next()];
        tasks.block_on(runtime, async {
            client.write_all(request).await.unwrap();
            let mut length = 0;
            while !is_whole(&answer[..length]) {
                length += client.read(&mut answer[length..]).await.unwrap();
            }
        });
    }
}

/// First each key once, so that all are known, then any.
pub(crate) struct Each {
    asked: usize,
    random: Random,
}

impl Each {
    pub(crate) const fn then_random() -> Self {
        Self { asked: 0, random: Random::new() }
    }

    pub(crate) fn next(&mut self) -> usize {
        let next = if self.asked < KEYS { self.asked } else { self.random.below(KEYS) };
        self.asked += 1;
        next
    }
}

/// Room for an answer's head and body.
pub(crate) const ANSWER: usize = 8 * 1024;

/// Whether this is an answer with all of its body; one that is no success has nothing to be measured.
pub(crate) fn is_whole(answer: &[u8]) -> bool {
    let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(answer));
    answer.len() >= head + 4 + BODY
}

/// What the clients of these keys send, all of them to a route that asks for a key, or none of them.
pub(crate) fn requests(ground: &Ground, with_key: bool) -> Vec<Vec<u8>> {
    let request = |key: &Key| {
        let (path, credential) = if with_key {
            (&*key.path, format!("X-API-Key: {}", key.token.reveal()))
        } else {
            (OPEN, "X-Build: 4711".to_owned())
        };
        format!(
            "GET {path} HTTP/1.1\r\n\
             Host: gateway.example:8080\r\n\
             User-Agent: python-requests/2.32.3\r\n\
             Accept-Encoding: gzip, deflate\r\n\
             Accept: application/json\r\n\
             {credential}\r\n\
             Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\
             Cookie: lang=en; theme=dark\r\n\
             Cache-Control: no-cache\r\n\r\n"
        )
        .into_bytes()
    };
    ground.keys.iter().map(request).collect()
}

/// The same answer to every request.
pub(crate) async fn upstream(socket: std::net::TcpListener) {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {BODY}\r\n\
         Cache-Control: no-store\r\nServer: bench\r\n\r\n"
    );
    let answer: Rc<[u8]> = [head.into_bytes(), vec![b'x'; BODY]].concat().into();
    let listener = TcpListener::from_std(socket).unwrap();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let answer = Rc::clone(&answer);
        spawn_local(async move {
            let mut request = vec![0; 8 * 1024];
            let mut length = 0;
            while let Ok(read @ 1..) = stream.read(&mut request[length..]).await {
                length += read;
                if request[..length].ends_with(b"\r\n\r\n") {
                    length = 0;
                    if stream.write_all(&answer).await.is_err() {
                        break;
                    }
                }
            }
        });
    }
}

pub(crate) async fn serve(socket: std::net::TcpListener, worker: Rc<Worker>) {
    // Held for as long as the worker serves: what it says is "go on".
    let (_go_on, phase) = watch::channel(Phase::Running);
    let listener = TcpListener::from_std(socket).unwrap();
    server::serve(listener, worker, None, Arc::new(Semaphore::new(1000)), phase).await;
}

/// A gateway that writes its access log into nothing.
pub(crate) async fn with_log(ground: &Ground) -> Arc<Gateway> {
    let redactor = Redactor::new(&ground.config.profile.keys.shape);
    let log = AccessLog::start(io::sink(), LineFormat::Json, redactor, &ground.metrics).unwrap();
    let gateway = Arc::new(ground.gateway(log).await);
    ground.follow(&gateway);
    gateway
}

pub(crate) fn listen() -> std::net::TcpListener {
    let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}
