//! What HTTP says of messages that pass through (RFC 9110, RFC 9112), where no other file here has it.

use std::time::{Duration, Instant};

use crate::support::{
    frames::{DATA, Wire},
    program::{Program, Site},
    rawc::End,
    rawup::{Answer, Upstream},
    setup::Setup,
};

fn behind(script: impl Fn(&str) -> Answer + Send + Sync + 'static) -> (Upstream, Program) {
    let upstream = Upstream::start(move |request| script(&request.target));
    let program = Site::new(Setup::offload(&upstream)).serve();
    (upstream, program)
}

/// Interim answers of an upstream are not passed on, in either version; the final one is, whole.
#[test]
fn interim_answers_end_here() {
    let (_upstream, program) = behind(|_| {
        Answer::bytes(
            "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        )
    });
    let answer = program.anonymous().get("/public/x");
    assert_eq!((answer.status, answer.text().as_str(), answer.interim.as_slice()), (200, "ok", &[][..]));
    assert_eq!(answer.header("link"), None);
    let mut wire = Wire::connect(program.gateway().0);
    wire.get(1, &[(":method", "GET"), (":scheme", "http"), (":authority", "gw"), (":path", "/public/x")]);
    assert_eq!(wire.answer(1).body, b"ok");
}

/// Each event of a stream arrives when it is sent, not when the next one or the end comes, in either version.
#[test]
fn events_are_not_held_back() {
    let (_upstream, program) = behind(|_| {
        Answer::Stall(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\nd\r\ndata: first\n\n\r\n"
                .to_vec(),
        )
    });
    let began = Instant::now();
    let mut client = program.gateway().connect();
    client.send("GET /public/events HTTP/1.1\r\nHost: gw\r\n\r\n").patience(Duration::from_secs(2));
    let (end, said) = client.until_closed();
    assert_eq!(end, End::Open);
    assert!(
        said.to_ascii_lowercase().ends_with(b"d\r\ndata: first\n\n\r\n"),
        "{:?}",
        String::from_utf8_lossy(&said)
    );
    let mut wire = Wire::connect(program.gateway().0);
    wire.get(
        1,
        &[(":method", "GET"), (":scheme", "http"), (":authority", "gw"), (":path", "/public/events")],
    );
    let event = loop {
        let frame = wire.next().expect("a frame").expect("still open");
        if frame.kind == DATA {
            break frame.payload;
        }
    };
    assert_eq!(event, b"data: first\n\n");
    assert!(began.elapsed() < Duration::from_secs(20));
}

/// RFC 9110 section 6.6.1: an answer without a date gets one; that of the upstream stays.
#[test]
fn answers_are_dated() {
    let (_upstream, program) = behind(|target| match target {
        "/public/dated" => Answer::bytes(
            "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 2\r\n\r\nok",
        ),
        _ => Answer::ok("ok"),
    });
    assert_eq!(
        program.anonymous().get("/public/dated").header("date"),
        Some("Sun, 06 Nov 1994 08:49:37 GMT")
    );
    for path in ["/public/x", "/nope", "/api/x"] {
        assert!(
            program.anonymous().get(path).header("date").is_some_and(|date| date.ends_with(" GMT")),
            "{path}"
        );
    }
}

/// RFC 9112 section 2.3 and appendix C: a client of HTTP/1.0 gets no chunks, and its connection closes unless it asks.
#[test]
fn clients_of_http10_are_served() {
    let (upstream, program) = behind(|target| match target {
        "/public/chunked" => Answer::bytes(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
        ),
        _ => Answer::Echo,
    });
    let mut client = program.gateway().connect();
    client.send("GET /public/chunked HTTP/1.0\r\n\r\n");
    let (end, said) = client.until_closed();
    let said = String::from_utf8_lossy(&said).to_lowercase();
    assert_eq!(end, End::Closed);
    assert!(said.ends_with("\r\n\r\nabc") && !said.contains("transfer-encoding"), "{said}");
    let seen = upstream.last();
    assert_eq!(seen.version, "HTTP/1.1");
    assert!(seen.header("via").is_some_and(|via| via.starts_with("1.0 ")));
    assert!(seen.header("host").is_some(), "the upstream's own");
}
