//! Bodies and tunnels: both ways, whole, as a stream, in flat memory.

use std::{io::Write, net::TcpStream};

use crate::support::{
    program::{Program, Site},
    rawc::Client,
    rawup::{Answer, Gate, Upstream, pattern_sum, write_pattern},
    setup::Setup,
    wait,
};

fn open(upstream: &Upstream) -> Program {
    Site::new(Setup::offload(upstream)).serve()
}

/// Both bodies stream: the first chunk is at the other side while the rest is still to be sent.
#[test]
fn bodies_stream_both_ways() {
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::start(move |_| Answer::Held(held.clone(), Box::new(Answer::ok("done"))));
    let program = open(&upstream);
    let mut client = program.gateway().connect();
    client.send("POST /public/x HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    upstream.wait_for(1);
    client.send("4\r\nlast\r\n0\r\n\r\n");
    wait::until("the whole body", || upstream.last().complete);
    assert_eq!(upstream.last().body.text(), "firstlast");
    gate.open();
    assert_eq!(client.receive().text(), "done");

    let downstream = Upstream::start(|_| {
        Answer::Stall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n".to_vec())
    });
    let program = open(&downstream);
    let mut client = program.gateway().connect();
    client.send("GET /public/x HTTP/1.1\r\nHost: gw\r\n\r\n");
    wait::until("the first chunk before the answer has ended", || {
        client.receive_bytes(1);
        client.record().contains("first")
    });
}

/// Answers keep their framing, their status and their trailers.
#[test]
fn answers_arrive_as_they_were_sent() {
    let upstream = Upstream::start(|request| match request.target.as_str() {
        "/public/chunked" => Answer::bytes(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n",
        ),
        "/public/none" => Answer::bytes("HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n"),
        "/public/same" => {
            Answer::bytes("HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 99\r\n\r\n")
        }
        "/public/old" => Answer::Close(b"HTTP/1.0 200 OK\r\n\r\nto the end".to_vec()),
        "/public/early" => Answer::bytes(
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        ),
        "/public/odd" => Answer::status("599 Custom", "odd"),
        _ => Answer::status("500 Internal Server Error", "its own error"),
    });
    let program = open(&upstream);
    let ask = |target: &str| program.anonymous().get(target);
    assert_eq!(ask("/public/chunked").text(), "abc");
    let none = ask("/public/none");
    assert_eq!((none.status, none.header("x-a")), (204, Some("1")));
    assert_eq!((ask("/public/same").status, ask("/public/same").text().as_str()), (304, ""));
    assert_eq!(ask("/public/old").text(), "to the end");
    assert_eq!((ask("/public/early").status, ask("/public/early").text().as_str()), (200, "ok"));
    assert_eq!((ask("/public/odd").status, ask("/public/odd").text().as_str()), (599, "odd"));
    let failed = ask("/public/x");
    assert_eq!(
        (failed.status, failed.text().as_str()),
        (500, "its own error"),
        "an upstream's own error is its own"
    );
    let head = program.anonymous().request("HEAD", "/public/x").send();
    assert_eq!((head.status, head.header("content-length")), (500, Some("13")));
}

/// An upstream's own refusal without a body is as short as one of hyper's, and is still the upstream's: it is
/// passed on as it is, and the connection goes on.
#[test]
fn an_upstreams_bare_refusal_is_its_own() {
    let upstream = Upstream::start(|request| match request.target.as_str() {
        "/public/400" => Answer::bytes("HTTP/1.1 400 Bad Request\r\nX-Own: 1\r\nContent-Length: 0\r\n\r\n"),
        "/public/414" => Answer::bytes("HTTP/1.1 414 URI Too Long\r\nX-Own: 1\r\nContent-Length: 0\r\n\r\n"),
        "/public/431" => Answer::bytes("HTTP/1.1 431 Too Large\r\nX-Own: 1\r\nContent-Length: 0\r\n\r\n"),
        _ => Answer::bytes("HTTP/1.1 400 Bad Request\r\nX-Own: 1\r\nContent-Length: 5\r\n\r\n"),
    });
    let program = open(&upstream);
    let mut client = program.gateway().connect();
    for (method, path, status) in
        [("GET", "400", 400), ("GET", "414", 414), ("GET", "431", 431), ("HEAD", "body", 400)]
    {
        client.send(format!("{method} /public/{path} HTTP/1.1\r\nHost: gw\r\n\r\n"));
        let answer = client.receive_to(method);
        assert_eq!((answer.status, answer.header("x-own")), (status, Some("1")), "{method} {path}");
    }
    // Ours, to a HEAD: as short, with the right code, and without a body that would be read as the next answer.
    client.send("HEAD /public//x HTTP/1.1\r\nHost: gw\r\n\r\n");
    assert_eq!(client.receive_to("HEAD").status, 400);
    client.send("GET /public/431 HTTP/1.1\r\nHost: gw\r\n\r\n");
    assert_eq!(client.receive().status, 431);
    assert_eq!(program.requests_logged("/public/431", 2).len(), 2);
    let unread = program.log().iter().filter(|line| line["method"] == "-").count();
    assert_eq!(unread, 0, "nothing was taken for unreadable");
}

/// HTTP/1.0 clients get answers that they can read, and no persistent connection (RFC 9112 section 9.3).
#[test]
fn old_clients_are_answered() {
    let upstream = Upstream::start(|_| {
        Answer::bytes("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    });
    let program = open(&upstream);
    let mut client = program.gateway().connect();
    client.send("GET /public/x HTTP/1.0\r\nHost: gw\r\n\r\n");
    let answer = client.receive();
    assert_eq!((answer.header("transfer-encoding"), answer.text().as_str()), (None, "abc"));
    assert!(answer.version.starts_with("HTTP/1."), "{answer:?}");
    assert_eq!(upstream.last().version, "HTTP/1.1");
}

/// A body over the limit is 413 before it is read; the upstream never sees it whole.
#[test]
fn a_body_over_the_limit_is_413() {
    let upstream = Upstream::echo();
    let program = Site::new(Setup::offload(&upstream).set("limits.body_bytes", "1KiB")).serve();
    assert_eq!(program.anonymous().post("/public/x", &"x".repeat(1024)).verdict(), "200");
    upstream.forget();
    let mut client = program.gateway().connect();
    client.send("POST /public/x HTTP/1.1\r\nHost: gw\r\nContent-Length: 10000000000000\r\n\r\n");
    assert_eq!(client.receive().verdict(), "413 body_too_large");
    assert_eq!(upstream.count(), 0);
    let mut client = program.gateway().connect();
    client.send(format!(
        "POST /public/x HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n{}\r\n",
        "x".repeat(0x1000)
    ));
    let _ = client.try_send(b"0\r\n\r\n");
    let verdict = client.try_receive("POST").ok().flatten().map(|answer| answer.verdict());
    assert!(verdict.is_none_or(|verdict| verdict == "413 body_too_large"), "an endless body under way");
    assert!(upstream.requests().iter().all(|seen| !seen.complete));
}

/// I254, I259, "1 GiB up and down with flat memory".
#[test]
fn a_gibibyte_passes_each_way_in_flat_memory() {
    const LENGTH: u64 = 1 << 30;
    let upstream =
        Upstream::start(|request| if request.method == "GET" { Answer::Large(LENGTH) } else { Answer::Echo });
    let program = open(&upstream);
    assert_eq!(program.anonymous().request("HEAD", "/public/warm").send().status, 200);
    let before = program.memory_kib("VmHWM");

    let mut stream = TcpStream::connect(program.gateway().0).expect("connect");
    write!(stream, "POST /public/up HTTP/1.1\r\nHost: gw\r\nContent-Length: {LENGTH}\r\n\r\n").expect("send");
    write_pattern(&mut stream, LENGTH).expect("send a gibibyte");
    wait::until("the upload's end", || {
        upstream.requests().iter().any(|seen| seen.method == "POST" && seen.complete)
    });
    let seen = upstream.requests().into_iter().find(|seen| seen.method == "POST").expect("the upload");
    assert_eq!((seen.body.length, seen.body.sum.finalize()), (LENGTH, pattern_sum(LENGTH)));

    let answer = program.anonymous().get("/public/down");
    assert_eq!((answer.body.length, answer.body.sum.finalize()), (LENGTH, pattern_sum(LENGTH)));
    let grown = program.memory_kib("VmHWM").saturating_sub(before);
    assert!(grown < 16 << 10, "memory grew by {grown} KiB");
}

/// I259: a client that does not read holds the upstream back instead of filling our memory.
#[test]
fn a_slow_reader_fills_no_memory() {
    let upstream = Upstream::start(|_| Answer::Large(1 << 30));
    let program = open(&upstream);
    assert_eq!(program.anonymous().request("HEAD", "/public/warm").send().status, 200);
    let before = program.memory_kib("VmRSS");
    let mut readers: Vec<Client> = (0..8).map(|_| program.gateway().connect()).collect();
    for reader in &mut readers {
        reader.send("GET /public/x HTTP/1.1\r\nHost: gw\r\n\r\n");
    }
    upstream.wait_for(9);
    for reader in &mut readers {
        assert!(reader.receive_bytes(1 << 16).len() == 1 << 16);
    }
    let grown = program.memory_kib("VmRSS").saturating_sub(before);
    assert!(grown < 32 << 10, "8 idle readers hold {grown} KiB");
}
