//! The whole path: a client's connection, the gateway as it runs, an upstream's connection, all on this machine.
//!
//! Authentication is switched on with everything that belongs to it: 10,000 keys at random, each bound to a team
//! that the path must name, three networks, a rate limit, the access log (into nothing), metrics, uses.

#![expect(clippy::unwrap_used, reason = "a bench that cannot be set up has nothing to measure")]
#![expect(clippy::print_stdout, reason = "what divan cannot tell is told behind its table")]

mod support;
#[path = "support/talk.rs"]
mod talk;

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    rc::Rc,
    sync::{LazyLock, Mutex, mpsc},
    thread,
};

use divan::{Bencher, counter::ItemsCount};
use support::{Ground, KEYS};
use talk::{ANSWER, Asked, Each, OneThread, is_whole, listen, requests, runtime, serve, upstream, with_log};
use tokio::task::LocalSet;

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
/// two versions, and whose instructions and allocations can be counted.
#[divan::bench(sample_count = 100, sample_size = 1000)]
fn d_all_on_one_thread(bencher: Bencher<'_, '_>) {
    on_one_thread(bencher, Asked::WithKey);
}

/// The same without a gateway.
#[divan::bench(sample_count = 100, sample_size = 1000)]
fn e_all_on_one_thread_without_a_gateway(bencher: Bencher<'_, '_>) {
    on_one_thread(bencher, Asked::Directly);
}

/// The same through the gateway on a public route: what is missing to `d` is what authentication costs.
#[divan::bench(sample_count = 100, sample_size = 1000)]
fn f_all_on_one_thread_on_a_public_route(bencher: Bencher<'_, '_>) {
    on_one_thread(bencher, Asked::WithoutKey);
}

fn on_one_thread(bencher: Bencher<'_, '_>, asked: Asked) {
    let mut all = OneThread::new(asked);
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| all.turn());
}

/// Takes the answer of one connection and sends the next request on it, connection by connection.
fn turns(address: SocketAddr, connections: usize) -> impl FnMut() {
    let requests = requests(&GROUND, true);
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

async fn gateway(socket: std::net::TcpListener, ground: &Ground) {
    let worker = Rc::new(support::worker(&with_log(ground).await));
    serve(socket, worker).await;
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
