//! The bounds of the gateway port: times, connections.

use std::{
    io::Read,
    thread,
    time::{Duration, Instant},
};

use super::http2::plain;
use crate::support::{
    frames::{PREFACE, SETTINGS, Wire},
    program::Site,
    rawc::{Client, End},
    rawup::{Answer, Gate, Upstream},
    setup::Setup,
    wait,
};

/// I239: a body that stops arriving is given up; the upstream never sees it whole, and is free again.
#[test]
fn a_body_that_stops_is_given_up() {
    let upstream = Upstream::echo();
    let program = Site::new(Setup::offload(&upstream).set("limits.request_timeout", "300ms")).serve();
    for body in ["Content-Length: 100\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"] {
        let mut client = program.gateway().connect();
        client.send(format!("POST /public/x HTTP/1.1\r\nHost: gw\r\n{body}"));
        let started = Instant::now();
        if let Ok(Some(answer)) = client.try_receive("POST") {
            assert_eq!(answer.verdict(), "408 request_timeout");
        }
        assert_ne!(client.until_closed().0, End::Open);
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
    assert!(upstream.requests().iter().all(|seen| !seen.complete));
    wait::until("nothing in flight", || program.metric("latchgate_upstream_requests_in_flight", &[]) < 0.5);
}

/// I242: a connection on which nothing is ever said is closed; new clients are served meanwhile.
#[test]
fn a_connection_that_says_nothing_is_closed() {
    let upstream = Upstream::echo();
    let program = Site::new(Setup::offload(&upstream).set("limits.header_timeout", "400ms")).serve();
    let silent: Vec<Client> = (0..64).map(|_| program.gateway().connect()).collect();
    assert_eq!(program.anonymous().get("/public/x").status, 200);
    let started = Instant::now();
    for mut client in silent {
        client.assert_closed();
    }
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    wait::until("the places to be free", || {
        program.metric("latchgate_connections", &[("listener", "gateway")]) < 0.5
    });
}

/// I239: a body that trickles is given up as well, unless it comes fast enough or its answer has begun.
#[test]
fn a_body_that_trickles_is_given_up() {
    let upstream = Upstream::start(|request| match request.target.as_str() {
        "/public/dialogue" => Answer::Early(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello".to_vec()),
        _ => Answer::Echo,
    });
    let setup = Setup::offload(&upstream).set("limits.request_timeout", "600ms");
    let program = Site::new(setup).serve();
    // Sends a body piece by piece; whether all of it was taken.
    let trickle = |target: &str, piece: usize| {
        let mut client = program.gateway().connect();
        let head = format!("POST {target} HTTP/1.1\r\nHost: gw\r\nContent-Length: {}\r\n\r\n", 40 * piece);
        client.send(head);
        if target == "/public/dialogue" {
            assert_eq!(client.receive_bytes(12), b"HTTP/1.1 200");
        }
        let mut answered = Ok(None);
        for _ in 0..40 {
            thread::sleep(Duration::from_millis(50));
            if client.try_send(&vec![b'x'; piece]).is_err() {
                break;
            }
        }
        if target != "/public/dialogue" {
            answered = client.try_receive("POST");
        }
        let status = answered.ok().flatten().map(|answer| answer.verdict());
        let complete = wait::within(Duration::from_secs(10), "the upstream to see the end", || {
            let seen = upstream.requests().into_iter().rfind(|seen| seen.target == target)?;
            let ended = seen.complete || program.metric("latchgate_upstream_requests_in_flight", &[]) < 0.5;
            ended.then_some(seen.complete)
        });
        (status, complete)
    };
    let (status, complete) = trickle("/public/trickle", 1);
    assert!(status.is_none_or(|status| status == "408 request_timeout"), "20 bytes in a second");
    assert!(!complete);
    assert_eq!(trickle("/public/steady", 500), (Some("200".to_owned()), true));
    assert_eq!(trickle("/public/dialogue", 1), (None, true));
}

/// I259: a client that stops reading is cut off, and what was kept busy for it is free again; its half of the answer
/// never looks whole.
#[test]
fn whoever_stops_reading_is_cut_off() {
    let upstream = Upstream::start(|_| Answer::Large(1 << 30));
    let program = Site::new(Setup::offload(&upstream).set("limits.send_timeout", "400ms")).serve();
    let mut clients: Vec<Client> = (0..4).map(|_| program.gateway().connect()).collect();
    for client in &mut clients {
        client.send("GET /public/x HTTP/1.1\r\nHost: gw\r\n\r\n");
        assert_eq!(client.receive_bytes(1 << 10).len(), 1 << 10);
    }
    wait::until("the upstream to be free", || {
        program.metric("latchgate_upstream_requests_in_flight", &[]) < 0.5
    });
    wait::until("the places to be free", || {
        program.metric("latchgate_connections", &[("listener", "gateway")]) < 0.5
    });
    for mut client in clients {
        assert_eq!(client.until_closed().0, End::Reset);
    }
    assert_eq!(program.requests_logged("/public/x", 4)[0]["outcome"], "client_left");
}

/// I259: a client that takes some now and then is cut off too when it is slower than `limits.min_rate`.
#[test]
fn whoever_trickles_its_answer_is_cut_off() {
    let upstream = Upstream::start(|_| Answer::Large(1 << 50));
    for (rate, cut) in [("10GiB", true), ("0", false)] {
        let setup =
            Setup::offload(&upstream).set("limits.send_timeout", "500ms").set("limits.min_rate", rate);
        let program = Site::new(setup).serve();
        let mut client = program.gateway().connect();
        client.send("GET /public/x HTTP/1.1\r\nHost: gw\r\n\r\n");
        let started = Instant::now();
        let stream = client.stream();
        let mut piece = vec![0; 1 << 20];
        let mut ended = false;
        while !ended && started.elapsed() < Duration::from_secs(if cut { 30 } else { 2 }) {
            thread::sleep(Duration::from_millis(5));
            ended = matches!(stream.read(&mut piece), Ok(0) | Err(_));
        }
        assert_eq!(ended, cut, "at least {rate} in a second");
    }
}

/// I251: a stream whose window stays shut is reset, and frees its upstream; the connection and its other streams go on,
/// those too whose upstream is the slow one.
#[test]
fn a_stream_that_nobody_takes_is_reset() {
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::start(move |request| match request.target.as_str() {
        "/public/held" => Answer::Held(held.clone(), Box::new(Answer::ok(""))),
        "/public/large" => Answer::Large(4 << 20),
        _ => Answer::ok("x"),
    });
    let program = Site::new(Setup::offload(&upstream).set("limits.send_timeout", "600ms")).serve();
    let mut wire = Wire::silent(program.gateway().0);
    // Nothing of any body may be sent.
    wire.bytes(PREFACE).frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    wire.get(1, &plain("GET", "/public/held"));
    for (stream, path) in [(3, "/public/large"), (5, "/public/small"), (7, "/public/large")] {
        wire.get(stream, &plain("GET", path));
        assert_eq!(wire.fate(stream).word(), "reset 8", "{path}");
    }
    wait::until("only the held one in flight", || {
        program.metric("latchgate_upstream_requests_in_flight", &[]) < 1.5
    });
    gate.open();
    assert_eq!(wire.fate(1).word(), "200");
    wire.get(9, &plain("HEAD", "/public/small"));
    assert_eq!(wire.fate(9).word(), "200");
}

/// I241: a connection that nobody uses is closed.
#[test]
fn an_idle_connection_is_closed() {
    let upstream = Upstream::echo();
    let program = Site::new(Setup::offload(&upstream).set("limits.header_timeout", "300ms")).serve();
    let mut client = program.gateway().connect();
    assert_eq!(program.anonymous().request("GET", "/public/x").on(&mut client).status, 200);
    assert_ne!(client.until_closed().0, End::Open);
}

/// Connections beyond the bound wait, and are served when there is room; the ops port answers meanwhile.
#[test]
fn connections_beyond_the_bound_wait() {
    let upstream = Upstream::echo();
    let program = Site::new(Setup::offload(&upstream).set("limits.max_connections", 3)).serve();
    let mut held: Vec<Client> = (0..3).map(|_| program.gateway().connect()).collect();
    let request = program.anonymous().request("GET", "/public/x");
    for client in &mut held {
        assert_eq!(request.on(client).status, 200);
    }
    let mut waiting = program.gateway().connect();
    waiting.send(request.bytes());
    assert!(
        waiting.patience(Duration::from_millis(200)).try_receive("GET").is_err(),
        "served beyond the bound"
    );
    assert_eq!(program.ops().anonymous().get("/livez").status, 200);
    held.pop();
    assert_eq!(waiting.patience(wait::PATIENCE).receive().status, 200);
}

/// I253, I267: a head that never ends is refused, and what still comes of it is thrown away, not kept.
#[test]
fn a_head_without_end_fills_no_memory() {
    let upstream = Upstream::echo();
    let program = Site::new(Setup::offload(&upstream)).serve();
    assert_eq!(program.anonymous().get("/public/warm").status, 200);
    let before = program.memory_kib("VmHWM");
    let mut client = program.gateway().connect();
    client.send("GET /public/x HTTP/1.1\r\nHost: gw\r\nX: ");
    let piece = vec![b'a'; 1 << 20];
    for _ in 0..128 {
        // The gateway may close at any time.
        if client.try_send(&piece).is_err() {
            break;
        }
    }
    let grown = program.memory_kib("VmHWM") - before;
    assert!(grown < 16 << 10, "memory grew by {grown} KiB");
    assert_eq!(client.receive().verdict(), "431 headers_too_large");
}
