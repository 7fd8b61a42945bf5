//! Every way in which an upstream fails, and what the client is told.

use std::{
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    program::{Program, Site},
    rawc::End,
    rawup::{Answer, Upstream},
    setup::Setup,
    wait,
};

fn open(upstream: &Upstream) -> Program {
    Site::new(Setup::offload(upstream)).serve()
}

/// Connections to the upstream are kept and used again.
#[test]
fn upstream_connections_are_kept() {
    let upstream = Upstream::echo();
    let program = open(&upstream);
    for _ in 0..30 {
        assert_eq!(program.anonymous().get("/public/x").status, 200);
    }
    assert!(upstream.connections() <= 4, "{} connections for 30 requests in a row", upstream.connections());
}

/// 502 `upstream_unreachable` where nobody listens; nothing else suffers.
#[test]
fn a_dead_upstream_is_502() {
    let gone = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let alive = Upstream::echo();
    let setup = Setup::offload(&alive).upstream("gone", &format!("http://{gone}"));
    let program =
        Site::new(setup.route(
            "name = \"gone\"\npath = \"/gone/{*rest}\"\nupstream = \"gone\"\ncredentials = [\"none\"]",
        ))
        .serve();
    for _ in 0..3 {
        assert_eq!(program.anonymous().verdict("/gone/x"), "502 upstream_unreachable");
        assert_eq!(program.anonymous().verdict("/public/x"), "200");
    }
}

/// Another target takes over where connecting failed; a request with a body, too, since no byte had left.
#[test]
fn another_target_takes_over() {
    let gone = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let alive = Upstream::echo();
    let targets = vec![toml::Value::from(format!("http://{gone}")), toml::Value::from(alive.url())];
    let setup =
        Setup::offload(&alive).set("upstream.targets", targets).set("upstream.balance", "round_robin");
    let program = Site::new(setup).serve();
    for _ in 0..10 {
        assert_eq!(program.anonymous().post("/public/x", "body").verdict(), "200");
    }
    assert!(alive.requests().iter().all(|seen| seen.body.text() == "body"));
}

/// RFC 9110 section 9.2.2: a request whose bytes have left is sent again only when that changes nothing.
#[test]
fn a_post_that_left_is_never_sent_again() {
    let upstream = Upstream::start(|_| Answer::Close(Vec::new()));
    let program = open(&upstream);
    let answer = program.anonymous().post("/public/x", "body");
    assert!(answer.status == 502, "{}", answer.status);
    assert_eq!(upstream.count(), 1, "sent again");
    upstream.forget();
    let answer = program.anonymous().get("/public/x");
    assert_eq!(answer.status, 502);
    assert!((1..=2).contains(&upstream.count()), "retries = 1: {} attempts", upstream.count());
}

/// A kept connection that the upstream closed meanwhile costs no request.
#[test]
fn a_connection_closed_while_idle_costs_nothing() {
    let upstream =
        Upstream::start(|_| Answer::Close(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec()));
    let program = open(&upstream);
    for _ in 0..50 {
        assert_eq!(program.anonymous().verdict("/public/x"), "200");
    }
}

/// I257: each step has its time; the others go on.
#[test]
fn slow_upstreams_are_504() {
    let upstream = Upstream::start(|request| match request.target.as_str() {
        "/public/silent" => Answer::Stall(Vec::new()),
        "/public/half-head" => Answer::Stall(b"HTTP/1.1 200 OK\r\nContent-".to_vec()),
        _ => Answer::Echo,
    });
    let program = Site::new(Setup::offload(&upstream).set("upstream.timeouts.response", "300ms")).serve();
    for target in ["/public/silent", "/public/half-head"] {
        let started = Instant::now();
        assert_eq!(program.anonymous().verdict(target), "504 upstream_timeout");
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        assert_eq!(program.anonymous().verdict("/public/x"), "200");
    }
}

/// I258: an answer that is cut short never looks whole, not even to a client of HTTP/1.0, which reads until the end of
/// the connection; and never like a connection that was closed before the request was read, which invites to send it again.
#[test]
fn a_cut_answer_never_looks_whole() {
    let megabyte = vec![b'x'; 500_000];
    let upstream = Upstream::start(move |request| match request.target.as_str() {
        "/public/length" => Answer::Close(
            [b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", megabyte.as_slice()].concat(),
        ),
        "/public/reset" => Answer::Reset(
            [b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", megabyte.as_slice()].concat(),
        ),
        "/public/chunked" => {
            Answer::Close(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n".to_vec())
        }
        "/public/at-once" => Answer::Close(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".to_vec()),
        _ => Answer::Echo,
    });
    let program = open(&upstream);
    for (target, version) in ["/public/length", "/public/reset", "/public/chunked", "/public/at-once"]
        .into_iter()
        .flat_map(|target| [(target, "1.1"), (target, "1.0")])
    {
        let mut client = program.gateway().connect();
        client.send(format!("GET {target} HTTP/{version}\r\nHost: gw\r\n\r\n"));
        let outcome = client.try_receive("GET");
        assert!(
            outcome.is_err(),
            "{target} in HTTP/{version} looks whole, or as if it had not been read: {outcome:?}"
        );
        assert_eq!(program.anonymous().verdict("/public/next"), "200");
    }
}

/// I258: nor when it is the client that ends what it says, or the gateway that ends, in the middle of it.
#[test]
fn an_answer_that_is_given_up_never_looks_whole() {
    let begin = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    let upstream = Upstream::start(|_| Answer::Stall(begin.to_vec()));
    let program = Site::new(Setup::offload(&upstream).set("limits.drain_timeout", "300ms")).serve();
    let mut clients = [(); 2].map(|()| {
        let mut client = program.gateway().connect();
        client.send("GET /public/x HTTP/1.0\r\nHost: gw\r\n\r\n");
        assert_eq!(client.receive_bytes(12), b"HTTP/1.0 200");
        client
    });
    assert_eq!(clients[0].half_close().until_closed().0, End::Reset);
    program.sigterm();
    assert_eq!(clients[1].until_closed().0, End::Reset);
}

/// Answers that are no HTTP are 502 `upstream_protocol`; none of their bytes reach the client.
#[test]
fn answers_that_are_none_are_502() {
    let answers: Vec<&'static [u8]> = vec![
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nmarker",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nmarker",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nmarker",
        b"HTTP/1.1 200 OK\r\nX-A: a\x00b\r\n\r\nmarker",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\nmarker",
        b"HTTP/9.9 200 OK\r\n\r\nmarker",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nmarker",
    ];
    let upstream = Upstream::start(move |request| {
        let number: usize =
            request.target.rsplit('/').next().and_then(|number| number.parse().ok()).unwrap_or(0);
        Answer::Close(answers[number].to_vec())
    });
    let program = open(&upstream);
    let mut wrong = crate::support::wrong::Wrong::default();
    for number in 0..10 {
        let answer = program.anonymous().get(&format!("/public/{number}"));
        let refused = answer.status == 502 && !answer.text().contains("marker");
        wrong.unless(refused, || format!("answer {number}: {} {:?}", answer.status, answer.text()));
    }
    wrong.none("an answer");
    assert_eq!(program.anonymous().verdict("/public/0"), "502 upstream_protocol");
}

/// A28: a gateway whose upstream is itself stops, and keeps no descriptor.
#[test]
fn a_loop_ends() {
    let relay = TcpListener::bind("127.0.0.1:0").expect("a port for the relay");
    let address = relay.local_addr().expect("its address");
    let decoy = Upstream::echo();
    let setup = Setup::offload(&decoy).upstream("self", &format!("http://{address}"));
    let program =
        Site::new(setup.route(
            "name = \"loop\"\npath = \"/loop/{*rest}\"\nupstream = \"self\"\ncredentials = [\"none\"]",
        ))
        .serve();
    let gateway = program.gateway().0;
    // The configuration refuses the gateway's own address; a relay in between can only be told by what passes.
    thread::spawn(move || {
        for stream in relay.incoming().flatten() {
            let Ok(onward) = TcpStream::connect(gateway) else { return };
            let (mut from, mut to) =
                (stream.try_clone().expect("a handle"), onward.try_clone().expect("a handle"));
            thread::spawn(move || {
                std::io::copy(&mut from, &mut to).map(|_| to.shutdown(std::net::Shutdown::Write))
            });
            let (mut from, mut to) = (onward, stream);
            thread::spawn(move || {
                std::io::copy(&mut from, &mut to).map(|_| to.shutdown(std::net::Shutdown::Write))
            });
        }
    });
    let before = program.descriptors();
    let answer = program.anonymous().get("/loop/x");
    assert_eq!(answer.verdict(), "508 loop_detected");
    wait::until("the loop's descriptors are given back", || program.descriptors() < before + 40);
}

/// B79: bytes behind an answer that has no body (HEAD, 204, 304) belong to nobody, whatever its length says.
#[test]
fn bodies_where_none_may_be_reach_nobody() {
    let upstream = Upstream::start(|request| {
        let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
        match (request.method.as_str(), request.target.as_str()) {
            ("HEAD", _) => {
                Answer::bytes(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{poison}", poison.len()))
            }
            (_, "/public/204") => Answer::bytes(&format!(
                "HTTP/1.1 204 No Content\r\nContent-Length: {}\r\n\r\n{poison}",
                poison.len()
            )),
            (_, "/public/304") => Answer::bytes(&format!(
                "HTTP/1.1 304 Not Modified\r\nContent-Length: {}\r\n\r\n{poison}",
                poison.len()
            )),
            _ => Answer::ok("clean"),
        }
    });
    let program = open(&upstream);
    let mut client = program.gateway().connect();
    for _ in 0..30 {
        for (method, target) in [("HEAD", "/public/x"), ("GET", "/public/204"), ("GET", "/public/304")] {
            let answer = program.anonymous().request(method, target).on(&mut client);
            assert!(matches!(answer.status, 200 | 204 | 304 | 502), "{method} {target}: {answer:?}");
            assert!(!answer.text().contains("poison"), "{method} {target}: {answer:?}");
            let next = program.anonymous().request("GET", "/public/clean").on(&mut client);
            assert_eq!(next.text(), "clean", "after {method} {target}");
        }
    }
}

/// I259: heads without end are given up: a field too long, fields too many, interim answers too many.
#[test]
fn an_upstream_that_never_comes_to_the_point_is_given_up() {
    let upstream = Upstream::start(|request| match request.target.as_str() {
        "/public/long" => {
            Answer::Close(format!("HTTP/1.1 200 OK\r\nX-A: {}\r\n\r\n", "a".repeat(4 << 20)).into_bytes())
        }
        "/public/many" => {
            Answer::Close(format!("HTTP/1.1 200 OK\r\n{}\r\n", "X-A: 1\r\n".repeat(100_000)).into_bytes())
        }
        "/public/interim" => {
            Answer::Close("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(100_000).into_bytes())
        }
        _ => Answer::Echo,
    });
    let program = open(&upstream);
    for target in ["/public/long", "/public/many", "/public/interim"] {
        let started = Instant::now();
        let answer = program.anonymous().get(target);
        assert_eq!(answer.verdict(), "502 upstream_protocol", "{target}");
        assert!(started.elapsed() < Duration::from_secs(5), "{target}: {:?}", started.elapsed());
        assert_eq!(program.anonymous().verdict("/public/next"), "200");
    }
    assert!(program.memory_kib("VmHWM") < 100 << 10, "{} KiB", program.memory_kib("VmHWM"));
}
