//! The whole path: a client's connection, the gateway as it runs, an upstream's connection, all on this machine.
//!
//! Authentication is switched on with everything that belongs to it: 10,000 keys at random, each bound to a team
//! that the path must name, three networks, a rate limit, the access log (into nothing), metrics, uses.

#![expect(clippy::unwrap_used, reason = "a bench that cannot be set up has nothing to measure")]
#![expect(clippy::print_stdout, reason = "what divan cannot tell is told behind its table")]

mod support;

use std::{
    fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    rc::Rc,
    sync::{Arc, LazyLock, Mutex, mpsc},
    thread,
};

use divan::{Bencher, counter::ItemsCount};
use latchgate::{
    proxy::{
        gateway::Gateway,
        server::{self, Phase},
        worker::Worker,
    },
    telemetry::{LineFormat, access_log::AccessLog, redact::Redactor},
};
use support::{Ground, KEYS, Random};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    runtime::{Builder, Runtime},
    sync::{Semaphore, watch},
    task::{LocalSet, spawn_local},
};

/// That of the program, counting.
#[global_allocator]
static ALLOCATOR: divan::AllocProfiler<mimalloc::MiMalloc> = divan::AllocProfiler::new(mimalloc::MiMalloc);

fn main() {
    divan::main();
    for line in COSTS.lock().unwrap().iter() {
        println!("{line}");
    }
}

/// Connections that keep one worker busy all the time.
const CONNECTIONS: usize = 64;
const BODY: usize = 1024;

/// Processor time by thread, told when divan is done.
static COSTS: Mutex<Vec<String>> = Mutex::new(Vec::new());
static UPSTREAM: LazyLock<Thread> = LazyLock::new(|| Thread::start(upstream));
static GROUND: LazyLock<Ground> = LazyLock::new(|| Ground::new(&UPSTREAM.address.to_string()));
static GATEWAY: LazyLock<Thread> = LazyLock::new(|| Thread::start(|socket| gateway(socket, &GROUND)));

/// One request after the other on one connection: mostly the waking of three threads.
#[divan::bench(sample_count = 50, sample_size = 500)]
fn a_one_at_a_time(bencher: Bencher<'_, '_>) {
    bencher.counter(ItemsCount::new(1_u32)).bench_local(turns(GATEWAY.address, 1));
}

/// The same without a gateway.
#[divan::bench(sample_count = 50, sample_size = 500)]
fn b_one_at_a_time_without_a_gateway(bencher: Bencher<'_, '_>) {
    bencher.counter(ItemsCount::new(1_u32)).bench_local(turns(UPSTREAM.address, 1));
}

/// One worker with always something to do.
#[divan::bench(sample_count = 100, sample_size = 2000)]
fn c_one_busy_worker(bencher: Bencher<'_, '_>) {
    let mut turn = turns(GATEWAY.address, CONNECTIONS);
    let (before, mut count) = (GATEWAY.cpu(), 0_u64);
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        count += 1;
        turn();
    });
    // One request is a trial of the bench, not a measurement.
    if let Some((before, after)) = before.zip(GATEWAY.cpu()).filter(|_| count > 1) {
        let line = format!(
            "processor time of the worker: {} ns for each of {count} requests",
            (after - before) / count
        );
        COSTS.lock().unwrap().push(line);
    }
}

/// Client, gateway and upstream taking turns on one thread, without waking anybody: what can be compared between
/// two versions, and whose allocations can be counted. Client and upstream make none.
#[divan::bench(sample_count = 100, sample_size = 1000)]
fn d_all_on_one_thread(bencher: Bencher<'_, '_>) {
    on_one_thread(bencher, true);
}

/// The same without a gateway.
#[divan::bench(sample_count = 100, sample_size = 1000)]
fn e_all_on_one_thread_without_a_gateway(bencher: Bencher<'_, '_>) {
    on_one_thread(bencher, false);
}

fn on_one_thread(bencher: Bencher<'_, '_>, through_the_gateway: bool) {
    let (behind, before) = (listen(), listen());
    let address = behind.local_addr().unwrap();
    let ground = Ground::new(&address.to_string());
    let address = if through_the_gateway { before.local_addr().unwrap() } else { address };
    let requests = requests(&ground);
    let (runtime, tasks) = (runtime(), LocalSet::new());
    tasks.block_on(&runtime, async {
        spawn_local(upstream(behind));
        if through_the_gateway {
            let worker = Rc::new(support::worker(&with_log(&ground).await));
            spawn_local(serve(before, worker));
        }
    });
    let mut client = tasks.block_on(&runtime, tokio::net::TcpStream::connect(address)).unwrap();
    let mut which = Each::then_random();
    let mut answer = vec![0; ANSWER];
    let mut turn = || {
        let request = &requests[which.next()];
        tasks.block_on(&runtime, async {
            client.write_all(request).await.unwrap();
            let mut length = 0;
            while !is_whole(&answer[..length]) {
                length += client.read(&mut answer[length..]).await.unwrap();
            }
        });
    };
    (0..KEYS).for_each(|_| turn());
    bencher.counter(ItemsCount::new(1_u32)).bench_local(turn);
}

/// Takes the answer of one connection and sends the next request on it, connection by connection.
fn turns(address: SocketAddr, connections: usize) -> impl FnMut() {
    let requests = requests(&GROUND);
    let mut which = Each::then_random();
    let mut streams: Vec<_> = (0..connections)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.write_all(&requests[which.next()]).unwrap();
            stream
        })
        .collect();
    let (mut next, mut answer) = (0, vec![0; ANSWER]);
    let mut turn = move || {
        let stream = &mut streams[next];
        next = (next + 1) % connections;
        let mut length = 0;
        while !is_whole(&answer[..length]) {
            let read = stream.read(&mut answer[length..]).unwrap();
            assert!(read > 0, "the connection was closed");
            length += read;
        }
        stream.write_all(&requests[which.next()]).unwrap();
    };
    // Every key becomes known, every buffer as large as it will be.
    (0..KEYS).for_each(|_| turn());
    turn
}

/// First each key once, so that all are known, then any.
struct Each {
    asked: usize,
    random: Random,
}

impl Each {
    const fn then_random() -> Self {
        Self { asked: 0, random: Random::new() }
    }

    fn next(&mut self) -> usize {
        let next = if self.asked < KEYS { self.asked } else { self.random.below(KEYS) };
        self.asked += 1;
        next
    }
}

/// Room for an answer's head and body.
const ANSWER: usize = 8 * 1024;

/// Whether this is an answer with all of its body; one that is no success has nothing to be measured.
fn is_whole(answer: &[u8]) -> bool {
    let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(answer));
    answer.len() >= head + 4 + BODY
}

fn requests(ground: &Ground) -> Vec<Vec<u8>> {
    let request = |key: &support::Key| {
        let (path, token) = (&key.path, key.token.reveal());
        format!(
            "GET {path} HTTP/1.1\r\n\
             Host: gateway.example:8080\r\n\
             User-Agent: python-requests/2.32.3\r\n\
             Accept-Encoding: gzip, deflate\r\n\
             Accept: application/json\r\n\
             X-API-Key: {token}\r\n\
             Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\
             Cookie: lang=en; theme=dark\r\n\
             Cache-Control: no-cache\r\n\r\n"
        )
        .into_bytes()
    };
    ground.keys.iter().map(request).collect()
}

/// The same answer to every request.
async fn upstream(socket: std::net::TcpListener) {
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

async fn gateway(socket: std::net::TcpListener, ground: &Ground) {
    let worker = Rc::new(support::worker(&with_log(ground).await));
    serve(socket, worker).await;
}

async fn serve(socket: std::net::TcpListener, worker: Rc<Worker>) {
    // Held for as long as the worker serves: what it says is "go on".
    let (_go_on, phase) = watch::channel(Phase::Running);
    let listener = TcpListener::from_std(socket).unwrap();
    server::serve(listener, worker, None, Arc::new(Semaphore::new(1000)), phase).await;
}

/// A gateway that writes its access log into nothing.
async fn with_log(ground: &Ground) -> Arc<Gateway> {
    let redactor = Redactor::new(&ground.config.profile.keys.shape);
    let log = AccessLog::start(io::sink(), LineFormat::Json, redactor, &ground.metrics).unwrap();
    let gateway = Arc::new(ground.gateway(log).await);
    ground.follow(&gateway);
    gateway
}

fn listen() -> std::net::TcpListener {
    let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// A thread that serves a socket until the program ends.
struct Thread {
    address: SocketAddr,
    /// Where the kernel tells how long it ran.
    schedstat: PathBuf,
}

impl Thread {
    fn start<F: Future<Output = ()>>(
        serve: impl FnOnce(std::net::TcpListener) -> F + Send + 'static,
    ) -> Self {
        let socket = listen();
        let address = socket.local_addr().unwrap();
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            let this = fs::read_link("/proc/thread-self").unwrap_or_default();
            tell.send(PathBuf::from("/proc").join(this).join("schedstat")).unwrap();
            LocalSet::new().block_on(&runtime(), serve(socket));
        });
        Self { address, schedstat: told.recv().unwrap() }
    }

    /// How long it ran, in nanoseconds; none where the kernel does not tell.
    fn cpu(&self) -> Option<u64> {
        fs::read_to_string(&self.schedstat).ok()?.split(' ').next()?.parse().ok()
    }
}
