//! Upstreams that speak HTTP/2.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    front::{Authority, Terms},
    h2up::{Gate, H2Upstream, Reply},
    program::{Program, Site},
    rawc::End,
    rawup::Upstream,
    setup::Setup,
    wait,
};

fn setup(target: &str) -> Setup {
    let route = |name: &str, path: &str| {
        format!("name = \"{name}\"\npath = \"{path}\"\nupstream = \"app\"\ncredentials = [\"none\"]")
    };
    Setup::bare("offload")
        .upstream("app", target)
        .set("upstream.protocol", "h2")
        .route(&route("public", "/public/{*rest}"))
}

fn before(upstream: &H2Upstream) -> Program {
    one_worker(setup(&format!("http://{}", upstream.address())))
}

/// One worker, so that counts of connections are exact.
fn one_worker(setup: Setup) -> Program {
    Site::new(setup.set("listen.workers", 1)).serve()
}

/// A client of HTTP/1.1 is given what an upstream of HTTP/2 says, on one connection, and the upstream sees a request as
/// HTTP/2 has them: the authority in its place, nothing about connections, one cookie.
#[test]
fn a_request_is_translated() {
    let upstream = H2Upstream::echo();
    let program = before(&upstream);
    for _ in 0..20 {
        assert_eq!(program.anonymous().post("/public/x?a=1", "body").verdict(), "200");
    }
    let seen = upstream.last();
    assert_eq!((seen.method.as_str(), seen.uri.as_str()), ("POST", "http://gw/public/x?a=1"));
    assert_eq!((seen.body.as_slice(), seen.complete), (b"body".as_slice(), true));
    assert_eq!(seen.header("content-length"), Some("4"));
    assert_eq!(upstream.connections(), 1);

    let mut client = program.gateway().connect();
    client.send(
        "POST /public/y HTTP/1.1\r\nHost: gw\r\nConnection: keep-alive, x-hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n\
         Cookie: a=1; b=2\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
         3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n",
    );
    let answer = client.receive();
    assert_eq!(answer.status, 200);
    let seen = upstream.last();
    for hop in ["connection", "keep-alive", "transfer-encoding", "host", "x-hop", "upgrade"] {
        assert_eq!(seen.header(hop), None, "{hop}: {seen:?}");
    }
    assert_eq!((seen.header("te"), seen.header("cookie")), (Some("trailers"), Some("a=1; b=2")));
    assert_eq!(
        (seen.body.as_slice(), &seen.trailers),
        (b"abc".as_slice(), &vec![("x-sum".into(), "7".into())])
    );
    let told: Value = serde_json::from_str(&answer.text()).expect("the echo");
    assert_eq!(told["method"], "POST");

    // A client of HTTP/1.0 that names nobody.
    let mut client = program.gateway().connect();
    client.send("GET /public/z HTTP/1.0\r\n\r\n");
    assert_eq!(client.receive().status, 200);
    assert_eq!(upstream.last().uri, format!("http://{}/public/z", upstream.address()));
    let head = program.anonymous().request("HEAD", "/public/x").send();
    assert_eq!((head.status, head.text().as_str()), (200, ""));
}

/// gRPC as a client of HTTP/1.1 can see it: the status comes in the trailers, names of ours do not.
#[test]
fn trailers_come_back() {
    let upstream = H2Upstream::start(None, None, |_, _| {
        Reply::Trailers("data", vec![("grpc-status", "0"), ("x-tenant-id", "forged")])
    });
    let program = before(&upstream);
    let mut client = program.gateway().connect();
    client.send(
        "POST /public/grpc HTTP/1.1\r\nHost: gw\r\nTE: trailers\r\nConnection: te\r\n\
         Content-Type: application/grpc\r\nContent-Length: 5\r\n\r\n\0\0\0\0\0",
    );
    let answer = client.receive();
    assert_eq!((answer.status, answer.text().as_str()), (200, "data"));
    assert_eq!(upstream.last().header("te"), Some("trailers"));
    let record = client.record().to_lowercase();
    assert!(!record.contains("forged"), "{record}");
}

/// Over TLS HTTP/2 is agreed on; a server that only has HTTP/1.1 is 502, and is sent nothing.
#[test]
fn over_tls_it_is_agreed_on() {
    let folder = TempDir::new().expect("a folder");
    let authority = Authority::new("Backends");
    let ca = authority.write(&folder.path().join("ca.pem"));
    let terms = |alpn| Terms { alpn, ..Terms::usual(authority.certify(&["localhost"], 2099)) };
    let secure = |port: u16| {
        setup(&format!("https://localhost:{port}")).set("upstream.tls.ca", ca.to_str().expect("a plain path"))
    };
    let upstream = H2Upstream::start(None, Some(terms(&["h2"])), |_, _| Reply::Echo);
    let program = one_worker(secure(upstream.address().port()));
    assert_eq!(program.anonymous().post("/public/x", "body").verdict(), "200");
    assert_eq!(upstream.last().uri, "https://gw/public/x");

    for alpn in [&[][..], &["http/1.1"][..]] {
        let old = Upstream::echo();
        let (address, _) = crate::support::front::tls(old.address(), terms(alpn));
        let program = one_worker(secure(address.port()));
        assert_eq!(program.anonymous().verdict("/public/x"), "502 upstream_unreachable", "{alpn:?}");
        assert_eq!(old.count(), 0);
    }
}

/// A server of HTTP/1.1 in the clear: 502, and no request is among the bytes that it got.
#[test]
fn a_server_of_http1_is_told_apart_before_anything_is_sent() {
    let old = Upstream::echo();
    let program = one_worker(setup(&old.url()));
    assert_eq!(program.anonymous().post("/public/x", "secret").verdict(), "502 upstream_protocol");
    assert!(!old.record().contains("secret") && !old.record().contains("/public/x"), "{}", old.record());
}

/// Many requests share a connection; where the upstream takes few at a time, further connections are opened, and never
/// more is asked of one than it takes.
#[test]
fn connections_are_shared_as_far_as_the_upstream_likes() {
    for (most, connections) in [(None, 1), (Some(4), 5)] {
        let gate = Arc::new(Gate::default());
        let held = Arc::clone(&gate);
        let upstream = H2Upstream::start(most, None, move |_, _| Reply::Held(Arc::clone(&held)));
        let program = before(&upstream);
        let door = program.gateway();
        let clients: Vec<_> =
            (0..20).map(|_| thread::spawn(move || door.anonymous().verdict("/public/x"))).collect();
        upstream.wait_for(20);
        gate.open();
        for client in clients {
            assert_eq!(client.join().expect("a client"), "200");
        }
        assert_eq!(upstream.connections(), connections, "{most:?}");
        assert!(
            upstream.most_at_once() <= most.unwrap_or(20) as usize,
            "{} at once",
            upstream.most_at_once()
        );
    }
}

/// `max_connections` bounds them; requests beyond wait, and are 503 when nothing becomes free.
#[test]
fn connections_are_bounded() {
    let gate = Arc::new(Gate::default());
    let held = Arc::clone(&gate);
    let upstream = H2Upstream::start(Some(2), None, move |_, _| Reply::Held(Arc::clone(&held)));
    let target = format!("http://{}", upstream.address());
    let program = one_worker(
        setup(&target).set("upstream.max_connections", 1).set("upstream.timeouts.connect", "300ms"),
    );
    let door = program.gateway();
    let clients: Vec<_> =
        (0..2).map(|_| thread::spawn(move || door.anonymous().verdict("/public/x"))).collect();
    upstream.wait_for(2);
    assert_eq!(program.anonymous().verdict("/public/x"), "503 overloaded");
    let waiting = thread::spawn(move || door.anonymous().verdict("/public/x"));
    gate.open();
    for client in clients {
        assert_eq!(client.join().expect("a client"), "200");
    }
    assert_eq!(waiting.join().expect("a client"), "200");
    assert_eq!(upstream.connections(), 1);
}

/// What the upstream has not looked at is sent again, whatever its method; what it has, is not.
#[test]
fn what_was_not_looked_at_is_sent_again() {
    // The first request is answered, so that the second comes on a used connection.
    let upstream = H2Upstream::start(None, None, move |index, _| match index {
        1 => Reply::Refuse,
        _ => Reply::Echo,
    });
    let program = before(&upstream);
    assert_eq!(program.anonymous().verdict("/public/x"), "200");
    let answer = program.anonymous().request("POST", "/public/x").send();
    assert_eq!(answer.verdict(), "200");
    assert_eq!(upstream.seen().len(), 3, "refused once, then answered");

    let always = H2Upstream::start(None, None, |_, _| Reply::Refuse);
    let program = before(&always);
    assert_eq!(program.anonymous().request("POST", "/public/x").send().verdict(), "502 upstream_protocol");
    assert!(always.seen().len() <= 2, "{} attempts", always.seen().len());

    // INTERNAL_ERROR, CANCEL, and NO_ERROR, with which a stream looks as if it had ended.
    for code in [2, 8, 0] {
        let cut = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&cut);
        let broken = H2Upstream::start(None, None, move |_, _| {
            counted.fetch_add(1, Ordering::SeqCst);
            Reply::Cut("half", code)
        });
        let program = before(&broken);
        let mut client = program.gateway().connect();
        client.send("POST /public/x HTTP/1.1\r\nHost: gw\r\nContent-Length: 0\r\n\r\n");
        let outcome = client.try_receive("POST");
        assert!(
            !matches!(&outcome, Ok(Some(answer)) if answer.status == 200),
            "half looks whole: {outcome:?}"
        );
        assert_eq!(cut.load(Ordering::SeqCst), 1, "{code}");
    }
}

/// A server that ends its connections in good order costs no request.
#[test]
fn goodbyes_cost_nothing() {
    let upstream = H2Upstream::start(None, None, |_, _| Reply::Last);
    let program = before(&upstream);
    for _ in 0..30 {
        assert_eq!(program.anonymous().post("/public/x", "body").verdict(), "200");
    }
    assert!(upstream.connections() > 20, "{} connections", upstream.connections());
}

/// I257: silence is 504 in time, and the connection on which it was is not used for others.
#[test]
fn silence_is_504_and_costs_the_others_nothing() {
    let upstream = H2Upstream::start(None, None, |_, request| match request.uri().path() {
        "/public/silent" => Reply::Stall,
        _ => Reply::Echo,
    });
    let target = format!("http://{}", upstream.address());
    let program = one_worker(setup(&target).set("upstream.timeouts.response", "300ms"));
    let started = Instant::now();
    assert_eq!(program.anonymous().verdict("/public/silent"), "504 upstream_timeout");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(program.anonymous().verdict("/public/x"), "200");
    let seen = upstream.seen();
    assert_ne!(seen[0].connection, seen[1].connection, "the silent one is still used");
}

/// I259: an upstream that is faster than its client waits for it.
#[test]
fn a_slow_client_slows_the_upstream_down() {
    let upstream = H2Upstream::start(None, None, |_, request| match request.uri().path() {
        "/public/large" => Reply::Large(200 << 20),
        _ => Reply::Echo,
    });
    let program = before(&upstream);
    let mut slow: Vec<_> = (0..10).map(|_| program.gateway().connect()).collect();
    for client in &mut slow {
        client.send("GET /public/large HTTP/1.1\r\nHost: gw\r\n\r\n");
    }
    upstream.wait_for(10);
    // The others on the same connection go on.
    for _ in 0..20 {
        assert_eq!(program.anonymous().verdict("/public/x"), "200");
    }
    assert_eq!(upstream.connections(), 1);
    assert!(program.memory_kib("VmHWM") < 150 << 10, "{} KiB", program.memory_kib("VmHWM"));
    drop(slow);
    wait::until("nothing in flight", || {
        program.metric("latchgate_upstream_requests_in_flight", &[("upstream", "app")]) < 0.5
    });
}

/// I262: an upload whose answer has begun ends with it when its key is revoked, towards the upstream and the client.
#[test]
fn an_answer_that_is_cut_off_takes_its_upload_with_it() {
    let upstream = H2Upstream::start(None, None, |_, _| Reply::Early);
    let setup = setup(&format!("http://{}", upstream.address()));
    let site = Site::new(setup.route("name = \"any\"\npath = \"/any/{*rest}\"\nupstream = \"app\""));
    let key = site.key(&["--scopes", "scan:read"]);
    let program = site.serve();
    let mut client = program.gateway().connect();
    client.send(format!(
        "POST /any/x HTTP/1.1\r\nHost: gw\r\nX-API-Key: {}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        key.text
    ));
    assert!(client.receive_bytes(12).starts_with(b"HTTP/1.1 200"));
    wait::until("the upload's beginning", || upstream.last().body == b"hello");
    client.send("4\r\nmore\r\n");
    wait::until("more of the upload", || upstream.last().body == b"hellomore");
    assert_eq!(upstream.open(), 1);
    program.cli(&["keys", "revoke", &key.id]).ok();
    let revoked = Instant::now();
    assert_ne!(client.until_closed().0, End::Open);
    wait::until("the end of the upload", || upstream.open() == 0);
    assert!(revoked.elapsed() < Duration::from_secs(10), "{:?}", revoked.elapsed());
    assert!(!upstream.last().complete, "half an upload looks whole");
}

/// I262: behind a whole answer an upload has a moment, and its place on the connection as long: nobody is sent to a place
/// that the upstream does not have.
#[test]
fn an_upload_behind_a_whole_answer_ends_soon() {
    let upstream = H2Upstream::start(Some(1), None, |_, request| match request.method().as_str() {
        "POST" => Reply::Whole,
        _ => Reply::Echo,
    });
    let program = before(&upstream);
    let mut client = program.gateway().connect();
    client.send("POST /public/x HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    assert!(client.receive_bytes(12).starts_with(b"HTTP/1.1 200"));
    wait::until("the upload's beginning", || upstream.last().body == b"hello");
    assert_eq!(upstream.open(), 1);
    let answered = Instant::now();
    assert_eq!(program.anonymous().verdict("/public/y"), "200");
    let seen = upstream.seen();
    assert_ne!(seen[0].connection, seen[1].connection, "the place was given away");
    wait::until("the end of the upload", || upstream.open() == 0);
    assert!(answered.elapsed() < Duration::from_secs(10), "{:?}", answered.elapsed());
    assert!(!upstream.seen()[0].complete, "half an upload looks whole");
}
