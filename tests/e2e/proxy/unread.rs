//! Answers to requests that were not read to their end: the connection is closed behind them, and they say so (RFC 9112
//! section 9.6), so that no client sends its next request into a connection that nobody reads any more.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpListener,
    thread,
    time::Duration,
};

use crate::support::{
    program::{Program, Site},
    rawc::{Client, End, Response},
    rawup::{Answer, Upstream},
    setup::Setup,
    wait,
    wrong::Wrong,
};

/// Of what was sent, all.
const WHOLE: &str = "Content-Length: 5\r\n\r\nhello";
const PIECES: &str = "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
/// ... and only the beginning.
const HALF: &str = "Content-Length: 5\r\n\r\nhe";
const HALF_PIECES: &str = "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n";
const EXPECTING: &str = "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n";

fn says_close(answer: &Response) -> bool {
    answer.fields.all("connection").iter().any(|value| value.eq_ignore_ascii_case("close"))
}

/// What the answer says is what happens: closed, or a next request is answered.
fn keeps_its_word(client: &mut Client, answer: &Response) -> bool {
    if says_close(answer) {
        return client.half_close().until_closed().0 != End::Open;
    }
    let next = client.try_send(b"GET /public/next HTTP/1.1\r\nHost: gw\r\n\r\n");
    next.is_ok() && client.try_receive("GET").is_ok_and(|next| next.is_some_and(|next| next.status == 200))
}

fn program(upstream: &Upstream) -> Program {
    let gone: toml::Table = toml::toml! { connect = "300ms"
    response = "500ms" };
    let setup = Setup::offload(upstream)
        .upstream("gone", "http://127.0.0.1:9")
        .set("upstream.timeouts", gone)
        .route("name = \"gone\"\npath = \"/gone/{*rest}\"\nupstream = \"gone\"\ncredentials = [\"none\"]");
    Site::new(setup).serve()
}

#[test]
fn an_answer_to_an_unread_request_says_that_it_is_the_last() {
    let upstream = Upstream::start(|request| match request.target.as_str() {
        "/public/early" => Answer::Early(b"HTTP/1.1 413 X\r\nContent-Length: 3\r\n\r\nbig".to_vec()),
        "/public/dialogue" => Answer::Early(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes".to_vec()),
        "/public/garbage" => Answer::Early(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
        _ => Answer::Echo,
    });
    let program = program(&upstream);
    let mut wrong = Wrong::default();
    for (target, body, verdict, last) in [
        // All of it is there: it is thrown away, and the connection goes on.
        ("/api/x", WHOLE, "401", Some(false)),
        ("/nowhere", WHOLE, "404", Some(false)),
        ("/gone/x", WHOLE, "502", Some(false)),
        ("/public/x", WHOLE, "200", Some(false)),
        ("/public/x", PIECES, "200", Some(false)),
        // Either is right, as long as it is said.
        ("/api/x", PIECES, "401", None),
        ("/gone/x", PIECES, "502", None),
        ("/public/early", WHOLE, "413", None),
        ("/public/garbage", WHOLE, "502", None),
        ("/public/garbage", PIECES, "502", None),
        ("/api/x", HALF, "401", Some(true)),
        ("/api/x", HALF_PIECES, "401", Some(true)),
        ("/api/x", EXPECTING, "401", Some(true)),
        ("/nowhere", HALF, "404", Some(true)),
        ("/gone/x", HALF, "502", Some(true)),
        ("/gone/x", HALF_PIECES, "502", Some(true)),
        ("/public/early", HALF, "413", Some(true)),
        ("/public/dialogue", HALF, "200", Some(true)),
        ("/public/garbage", HALF, "502", Some(true)),
        ("/public/garbage", HALF_PIECES, "502", Some(true)),
    ] {
        let mut client = program.gateway().connect();
        client.send(format!("POST {target} HTTP/1.1\r\nHost: gw\r\n{body}"));
        let answer = client.receive();
        let said = says_close(&answer);
        let kept = keeps_its_word(&mut client, &answer);
        let fine = answer.status.to_string() == verdict && kept && last.is_none_or(|last| last == said);
        wrong.unless(fine, || format!("{target} {body:?}: {}, close {said}, true {kept}", answer.status));
    }
    wrong.none("answers to requests that were not read");
}

/// Backends that take nothing of an upload, answered or not, keep neither it nor its client nor their own connection.
#[test]
fn an_upload_that_nobody_takes_is_given_up() {
    for (early, verdict) in
        [("", "504 upstream_timeout"), ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "200")]
    {
        let deaf = TcpListener::bind("127.0.0.1:0").expect("a port");
        let timeouts: toml::Table = toml::toml! { response = "500ms" };
        let setup = Setup::bare("offload")
            .upstream("deaf", &format!("http://{}", deaf.local_addr().expect("its address")))
            .set("upstream.timeouts", timeouts)
            .route("name = \"public\"\npath = \"/public/{*rest}\"\nupstream = \"deaf\"\ncredentials = [\"none\"]");
        let program = Site::new(setup).serve();
        let held = thread::spawn(move || {
            let (mut stream, _) = deaf.accept().expect("the gateway");
            stream.write_all(early.as_bytes()).expect("an answer");
            (deaf, stream)
        });
        let mut client = program.gateway().connect();
        let length = 64 << 20;
        client.send(format!("POST /public/x HTTP/1.1\r\nHost: gw\r\nContent-Length: {length}\r\n\r\n"));
        let mut sending = client.stream().try_clone().expect("a handle");
        let sender = thread::spawn(move || sending.write_all(&vec![b'a'; length]));
        let answer = client.receive();
        assert_eq!((answer.verdict().as_str(), says_close(&answer)), (verdict, true), "{answer:?}");
        assert_ne!(client.until_closed().0, End::Open, "{verdict}");
        drop(client);
        let _ = sender.join().expect("the sender");
        let open = || program.metric("latchgate_connections", &[("listener", "gateway")]);
        wait::until("the client's connection gone", || open() == 0.0);
        let (_deaf, mut stream) = held.join().expect("the backend");
        stream.set_read_timeout(Some(wait::PATIENCE)).expect("a read timeout");
        let mut rest = Vec::new();
        if let Err(error) = stream.read_to_end(&mut rest) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "the backend's connection stays");
        }
    }
}

/// Who sends it was judged for an exchange that is over (SECURITY 262): a client that trickles holds no connection to the
/// backend for as long as it likes.
#[test]
fn an_upload_behind_its_answer_has_a_moment() {
    let backend = TcpListener::bind("127.0.0.1:0").expect("a port");
    let setup = Setup::bare("offload")
        .upstream("slow", &format!("http://{}", backend.local_addr().expect("its address")))
        .route(
            "name = \"public\"\npath = \"/public/{*rest}\"\nupstream = \"slow\"\ncredentials = [\"none\"]",
        );
    let program = Site::new(setup).serve();
    let ended = thread::spawn(move || {
        let (mut stream, _) = backend.accept().expect("the gateway");
        stream.set_read_timeout(Some(wait::PATIENCE)).expect("a read timeout");
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").expect("an answer");
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).map_err(|error| error.kind()).map(|_| rest)
    });
    let mut client = program.gateway().connect();
    client.send("POST /public/x HTTP/1.1\r\nHost: gw\r\nContent-Length: 1000000\r\n\r\nhello");
    assert_eq!(client.receive().status, 200);
    let mut sending = client.stream().try_clone().expect("a handle");
    let trickling = thread::spawn(move || {
        while sending.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(50));
        }
    });
    let seen = ended.join().expect("the backend").expect("an end");
    assert!(seen.ends_with(b"x"), "it went on for a moment: {:?}", String::from_utf8_lossy(&seen));
    drop(client);
    drop(program);
    trickling.join().expect("the client's thread");
}

/// An answer that comes before its request has ended does not end the request: what follows at once is forwarded.
#[test]
fn an_upload_goes_on_behind_an_early_answer() {
    let upstream = Upstream::start(|_| {
        Answer::Early(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyes\r\n0\r\n\r\n".to_vec())
    });
    let program = program(&upstream);
    let mut client = program.gateway().connect();
    client.send("POST /public/x HTTP/1.1\r\nHost: gw\r\nContent-Length: 10\r\n\r\nhello");
    let answer = client.receive();
    assert_eq!((answer.status, says_close(&answer)), (200, true));
    client.send("hello");
    wait::until("all of it at the upstream", || upstream.requests().iter().any(|seen| seen.complete));
    assert_ne!(client.until_closed().0, End::Open);
}
