//! What the request path costs in memory, counted on the worker that serves.
//!
//! The figures are those of the code as it is, and are kept by hand beside it: whoever makes a request dearer has to
//! write that down here, and whoever makes it cheaper may. They are allocations, not times, so that they are the same on every
//! machine; times and instructions are what `benches/` is for.

#![expect(clippy::unwrap_used, reason = "a path that cannot be set up cannot be counted")]

#[path = "../benches/support/mod.rs"]
mod support;
#[path = "../benches/support/talk.rs"]
mod talk;

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    rc::Rc,
    sync::Arc,
    thread,
};

use allocation_counter::{AllocationInfo, measure};
use latchgate::{
    domain::{
        id::{OrgId, TeamId, UserId},
        key::{secret::KeyHash, token::Digest},
    },
    proxy::known::Known,
    telemetry::access_log::AccessLog,
};
use support::{Ground, Key};
use talk::{ANSWER, Asked, OneThread, is_whole, listen, requests, runtime, serve, upstream};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::oneshot,
    task::{LocalSet, spawn_local},
};

/// A GET with eight headers and its answer of 1 KiB: allocations, and their bytes. Adjust them here.
const WITH_KEY: (f64, f64) = (6.0, 2_888.0);
/// The same on a public route: what is missing is what authentication costs.
const WITHOUT_KEY: (f64, f64) = (6.0, 2_888.0);
/// A connection that has had an answer and waits: bytes that are kept for it, its socket's in the kernel aside.
const IDLE: f64 = 3_173.0;
/// A connection whose answer has begun and lasts, while others are served: bytes that are kept for it and its upstream's.
const LASTING: f64 = 6_400.0;

/// One of many keys of a team that are known by heart: bytes that are kept for it.
const KNOWN: f64 = 587.0;

/// How much dearer it may become, or how much cheaper, before somebody has to say so.
const TOLERANCE: f64 = 0.05;
const REQUESTS: u32 = 500;
const CONNECTIONS: u32 = 200;
const LASTING_ANSWERS: u32 = 50;
/// Says that an answer is to last.
const LASTS: &str = "x-lasts";
const KEYS_KNOWN: usize = 10_000;

#[test]
fn a_request_with_a_key_costs_what_is_written_here() {
    costs(Asked::WithKey, WITH_KEY);
}

#[test]
fn a_public_request_costs_what_is_written_here() {
    costs(Asked::WithoutKey, WITHOUT_KEY);
}

fn costs(asked: Asked, (allocations, bytes): (f64, f64)) {
    let mut path = OneThread::new(asked);
    let AllocationInfo { count_total, bytes_total, .. } = measure(|| (0..REQUESTS).for_each(|_| path.turn()));
    let each = |total: u64| total as f64 / f64::from(REQUESTS);
    let found = (each(count_total), each(bytes_total));
    let near = |found: f64, written: f64| (found / written - 1.0).abs() <= TOLERANCE;
    assert!(
        near(found.0, allocations) && near(found.1, bytes),
        "a request makes {:.2} allocations of {:.0} bytes in all; written are {allocations} of {bytes}: \
         write down what it costs now, if that is meant",
        found.0,
        found.1,
    );
}

#[test]
fn an_idle_connection_holds_what_is_written_here() {
    let held = held(|behind| LocalSet::new().block_on(&runtime(), upstream(behind)), true, idle_connections);
    assert!(
        (held / IDLE - 1.0).abs() <= TOLERANCE,
        "an idle connection holds {held:.0} bytes; written are {IDLE}: write down what it holds now, if that is meant",
    );
}

/// What a request was read into is room that all share: a few bytes of it would keep all of that.
#[test]
fn an_answer_that_lasts_holds_what_is_written_here() {
    let answering = |behind| LocalSet::new().block_on(&runtime(), lasting_upstream(behind));
    let held = held(answering, false, lasting_answers);
    assert!(
        (held / LASTING - 1.0).abs() <= TOLERANCE,
        "an answer that lasts holds {held:.0} bytes; written are {LASTING}: write down what it holds now, if that is meant",
    );
}

/// Bytes that are kept for each of the connections that `connect` opens, to a gateway before an upstream that answers so.
fn held(answering: fn(TcpListener), with_key: bool, connect: fn(SocketAddr, &[u8]) -> Vec<TcpStream>) -> f64 {
    let (behind, before) = (listen(), listen());
    let address = before.local_addr().unwrap();
    let ground = Ground::new(&behind.local_addr().unwrap().to_string());
    let request = requests(&ground, with_key).swap_remove(0);
    thread::spawn(move || answering(behind));
    let (runtime, tasks) = (runtime(), LocalSet::new());
    tasks.block_on(&runtime, async {
        // What the log holds is not the connection's.
        let gateway = Arc::new(ground.gateway(AccessLog::off()).await);
        ground.follow(&gateway);
        spawn_local(serve(before, Rc::new(support::worker(&gateway))));
    });
    let connections = || {
        let request = request.clone();
        let (tell, told) = oneshot::channel();
        thread::spawn(move || tell.send(connect(address, &request)));
        tasks.block_on(&runtime, told).unwrap()
    };
    // What grows with the first of them.
    let first = connections();
    let mut second = Vec::new();
    let kept = measure(|| second = connections()).bytes_current;
    let each = kept as f64 / second.len() as f64;
    drop((first, second));
    each
}

#[test]
fn a_known_key_holds_what_is_written_here() {
    let (ground, runtime) = (Ground::new("127.0.0.1:9"), runtime());
    let now = ground.clock.now();
    let (team, user) = ((OrgId::new(now), TeamId::new(now)), UserId::new(now));
    let hash = KeyHash::bcrypt("unused", 4).unwrap();
    let keys = (0..KEYS_KNOWN).map(|_| {
        let token = ground.token();
        let mac = Some(ground.mac_key.mac(token.reveal()));
        let proof = ground.proof(hash.clone(), mac);
        ground.put_in(token, proof, team, user, &[])
    });
    let keys: Vec<_> = keys.collect();
    // All on this thread, where allocations are counted.
    let gateway = runtime.block_on(ground.gateway_on(runtime.handle(), AccessLog::off()));
    let (known, rules) = (Known::default(), Arc::clone(&gateway.snapshot().rules));
    let ask = |key: &Key| {
        let (text, address) = (key.token.reveal(), [127, 0, 0, 1].into());
        let digest = Digest::of(text);
        let proved = runtime.block_on(gateway.keys.prove(text, digest, &rules, address));
        known.remember(digest, &proved.unwrap());
    };
    let held = measure(|| keys.iter().for_each(ask)).bytes_current as f64 / keys.len() as f64;
    assert_eq!(gateway.cache.len()[0], keys.len() as u64);
    assert!(
        (held / KNOWN - 1.0).abs() <= TOLERANCE,
        "a known key holds {held:.0} bytes; written are {KNOWN}: write down what it holds now, if that is meant",
    );
}

/// Connections that have each had an answer.
fn idle_connections(address: SocketAddr, request: &[u8]) -> Vec<TcpStream> {
    let connect = |_| {
        let mut stream = TcpStream::connect(address).unwrap();
        ask(&mut stream, request);
        stream
    };
    (0..CONNECTIONS).map(connect).collect()
}

/// Connections on which an answer lasts, and between the one and the next enough others that each was read somewhere else.
fn lasting_answers(address: SocketAddr, request: &[u8]) -> Vec<TcpStream> {
    let text = std::str::from_utf8(request).unwrap();
    let lasting = text.replace("\r\n\r\n", &format!("\r\n{LASTS}: 1\r\n\r\n"));
    let mut other = TcpStream::connect(address).unwrap();
    let connect = |_| {
        let mut stream = TcpStream::connect(address).unwrap();
        // The first bytes of a connection are read into room of their own.
        ask(&mut stream, request);
        ask(&mut stream, lasting.as_bytes());
        (0..20).for_each(|_| ask(&mut other, request));
        stream
    };
    (0..LASTING_ANSWERS).map(connect).collect()
}

/// Sends a request and reads the first of its answer.
fn ask(stream: &mut TcpStream, request: &[u8]) {
    stream.write_all(request).unwrap();
    let (mut answer, mut length) = (vec![0; ANSWER], 0);
    while !is_whole(&answer[..length]) {
        length += stream.read(&mut answer[length..]).unwrap();
    }
}

/// Begins an answer without end where it is asked to, and gives others whole ones.
async fn lasting_upstream(socket: TcpListener) {
    let listener = tokio::net::TcpListener::from_std(socket).unwrap();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        spawn_local(async move {
            let (mut request, mut length) = (vec![0; ANSWER], 0);
            while let Ok(read @ 1..) = stream.read(&mut request[length..]).await {
                length += read;
                if request[..length].ends_with(b"\r\n\r\n") {
                    let lasts = request[..length].windows(LASTS.len()).any(|part| part == LASTS.as_bytes());
                    let announced = if lasts { 1 << 30 } else { 1024 };
                    let answer =
                        format!("HTTP/1.1 200 OK\r\nContent-Length: {announced}\r\n\r\n{}", "x".repeat(1024));
                    stream.write_all(answer.as_bytes()).await.unwrap();
                    length = 0;
                }
            }
        });
    }
}
