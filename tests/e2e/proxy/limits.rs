//! The bounds of the gateway port: times, connections.

use std::time::{Duration, Instant};

use crate::support::{
    program::Site,
    rawc::{Client, End},
    rawup::Upstream,
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
