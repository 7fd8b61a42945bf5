//! Requests over HTTP/2: everything that holds for one of HTTP/1 holds for each stream.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{fate_of, head, plain};
use crate::{
    proxy::house::House,
    support::{
        frames::{
            DATA, END_HEADERS, END_STREAM, Fate, Frame, GOAWAY, HEADERS, PADDED, PREFACE, RST_STREAM,
            SETTINGS, Wire, block,
        },
        program::Site,
        rawc::{Client, End},
        rawup::{Answer, Gate, Upstream},
        setup::Setup,
        wait,
        wrong::Wrong,
    },
};

/// A request is proved, forwarded in HTTP/1.1 and answered; it says by which way it came.
#[test]
fn a_request_goes_all_the_way() {
    let house = House::new();
    let mut wire = Wire::connect(house.program.gateway().0);
    wire.get(1, &head(&house, "GET", "/api/e?x=1"));
    let answer = wire.answer(1);
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = house.upstream.last();
    assert_eq!(
        (seen.method.as_str(), seen.target.as_str(), seen.version.as_str()),
        ("GET", "/api/e?x=1", "HTTP/1.1")
    );
    assert_eq!(seen.header("host"), Some("gw"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.header("x-forwarded-host"), Some("gw"));
    assert!(seen.header("via").expect("Via").starts_with("2 latchgate-"), "{seen:?}");
    assert_eq!(seen.header("x-api-key"), None);
    assert!(seen.header("x-tenant-id").is_some());
    let line = house.program.requests_logged("/api/e", 1).remove(0);
    assert_eq!(
        (line["status"].as_u64(), line["host"].as_str(), line["outcome"].as_str()),
        (Some(200), Some("gw"), Some("ok"))
    );
    assert_eq!(line["bytes_out"].as_u64(), Some(answer.body.len() as u64));
}

/// B92: prior knowledge is spoken, and each stream is judged by itself; nothing of one is lent to another.
#[test]
fn each_stream_is_judged_alone() {
    let house = House::new();
    let other = house.program.site.key(&["--scopes", "scan:read"]).text;
    let mut wire = Wire::connect(house.program.gateway().0);
    let mut with_other = plain("GET", "/admin/x");
    with_other.push(("x-api-key", &other));
    wire.get(1, &head(&house, "GET", "/api/a"))
        .get(3, &plain("GET", "/api/b"))
        .get(5, &with_other)
        .get(7, &head(&house, "GET", "/admin/c"))
        .get(9, &plain("GET", "/nope"));
    let mut verdicts = std::collections::BTreeMap::new();
    // In whatever order they come: each is asked for on a connection of its own as well.
    for (stream, fields) in [(3, plain("GET", "/api/b")), (5, with_other.clone()), (9, plain("GET", "/nope"))]
    {
        verdicts.insert(stream, fate_of(&house, &fields).word());
    }
    assert_eq!(
        verdicts.into_values().collect::<Vec<_>>(),
        ["401 credential_missing", "403 scope_insufficient", "404 not_found"]
    );
    let mut ended = 0;
    while ended < 5 {
        let frame = wire.next().expect("a frame").expect("still open");
        ended += usize::from(frame.flags & END_STREAM != 0 && matches!(frame.kind, DATA | HEADERS));
    }
    let mut forwarded: Vec<String> = house.upstream.requests().into_iter().map(|seen| seen.target).collect();
    forwarded.sort();
    assert_eq!(forwarded, ["/admin/c", "/api/a"]);
}

/// B89: `:authority` is whom it is for; a `Host` beside it that says otherwise, user information, or neither: 400.
#[test]
fn whom_a_request_is_for_is_said_once() {
    let house = House::new();
    let mut wrong = Wrong::default();
    let key = ("x-api-key", house.key.as_str());
    let base = [(":method", "GET"), (":scheme", "http"), (":path", "/api/e")];
    for (more, expected, host) in [
        (vec![(":authority", "gw")], "200", "gw"),
        (vec![(":authority", "gw:8080")], "200", "gw:8080"),
        (vec![(":authority", "gw"), key, ("host", "gw")], "200", "gw"),
        (vec![(":authority", "gw"), key, ("host", "GW.")], "200", "gw"),
        (vec![key, ("host", "gw")], "200", "gw"),
        (vec![(":authority", "gw"), key, ("host", "evil")], "400 request_malformed", ""),
        (vec![(":authority", "gw"), key, ("host", "gw:1")], "400 request_malformed", ""),
        (vec![(":authority", "gw"), key, ("host", "gw"), ("host", "gw")], "400 request_malformed", ""),
        (vec![(":authority", "u:p@gw")], "400 request_malformed", ""),
        (vec![(":authority", "u@gw"), key, ("host", "gw")], "400 request_malformed", ""),
        (vec![(":authority", "gw:99999")], "", ""),
        (vec![key], "400 request_malformed", ""),
    ] {
        house.upstream.forget();
        let mut fields = base.to_vec();
        fields.extend(&more);
        if !fields.contains(&key) {
            fields.push(key);
        }
        let word = fate_of(&house, &fields).word();
        let fine = if expected.is_empty() {
            word.starts_with("400") || word.starts_with("reset")
        } else {
            word == expected
        };
        let seen = house.upstream.requests();
        let reached = if expected == "200" {
            seen.len() == 1 && seen[0].fields.all("host") == [host]
        } else {
            seen.is_empty()
        };
        wrong.unless(fine && reached, || format!("{more:?}: {word}, {seen:?}"));
    }
    wrong.none("an authority");
}

/// B91: cookies that came apart go on in one line; the session's own is found among them.
#[test]
fn cookies_are_joined() {
    let house = House::new();
    let mut fields = head(&house, "GET", "/api/e");
    fields.extend([("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3; d=4")]);
    assert_eq!(fate_of(&house, &fields).word(), "200");
    assert_eq!(house.upstream.last().header("cookie"), Some("a=1; b=2; c=3; d=4"));
    // However many there are, they are one header.
    let many: Vec<String> = (0..200).map(|number| format!("c{number}=v")).collect();
    let mut fields = head(&house, "GET", "/api/e");
    fields.extend(many.iter().map(|cookie| ("cookie", cookie.as_str())));
    assert_eq!(fate_of(&house, &fields).word(), "200");
    assert_eq!(house.upstream.last().header("cookie"), Some(many.join("; ").as_str()));
}

/// C112: a path is as strict as in HTTP/1.
#[test]
fn paths_are_as_strict_as_in_http1() {
    let house = House::new();
    let mut wrong = Wrong::default();
    for path in [
        "/public/../admin/x",
        "/public/%2e%2e/admin/x",
        "/public/..%2fadmin/x",
        "//admin/x",
        "/public//../admin",
        "/public/\\..\\admin",
        "/public/%00",
        "/public/%c0%af",
        "/public/%g1",
        "/public/..;/admin/x",
        "admin/x",
        "*",
        "?x",
        "http://gw/admin/x",
        "/a b",
        "",
    ] {
        let word = fate_of(&house, &plain("GET", path)).word();
        let refused =
            word.starts_with("400 path_ambiguous") || word == "reset 1" || word == "400 request_malformed";
        // A path without a slash is no path of any route.
        let unknown = word == "404 not_found" && !path.starts_with('/');
        wrong.unless(refused || unknown, || format!("{path:?}: {word}"));
    }
    assert_eq!(house.upstream.count(), 0, "{:?}", house.upstream.requests());
    wrong.none("a path");
    // What stands behind a `#` is cut off before anybody matches or forwards: it changes nothing.
    assert_eq!(fate_of(&house, &plain("GET", "/admin/x#/public/")).word(), "401 credential_missing");
    assert_eq!(fate_of(&house, &plain("GET", "/public/x#/../../admin/x")).word(), "200");
    assert_eq!(house.upstream.last().target, "/public/x");
}

/// B71, B88: CONNECT dials nothing, extended or not.
#[test]
fn connect_is_refused() {
    let house = House::new();
    let key = ("x-api-key", house.key.as_str());
    for fields in [
        vec![(":method", "CONNECT"), (":authority", "127.0.0.1:22"), key],
        vec![(":method", "CONNECT"), (":authority", "gw:443"), key],
        vec![
            (":method", "CONNECT"),
            (":scheme", "http"),
            (":authority", "gw"),
            (":path", "/api/e"),
            (":protocol", "websocket"),
            key,
        ],
    ] {
        let mut wire = Wire::connect(house.program.gateway().0);
        wire.open(1, &fields).data(1, 0, b"GET /admin/pwn HTTP/1.1\r\n\r\n");
        let word = wire.fate(1).word();
        assert!(
            ["400", "405", "501", "reset", "goaway"].iter().any(|start| word.starts_with(start)),
            "{fields:?}: {word}"
        );
    }
    assert_eq!(house.upstream.connections(), 0);
    assert_eq!(house.program.key(&house.key).get("/api/e").status, 200);
}

/// Bodies and their ends: what was announced comes, or the request never looks whole.
#[test]
fn bodies_end_where_they_end() {
    let house = House::new();
    let go = || Wire::connect(house.program.gateway().0);

    let mut wire = go();
    let mut fields = head(&house, "POST", "/api/e");
    fields.push(("content-length", "10"));
    wire.open(1, &fields).data(1, 0, b"hello").data(1, END_STREAM, b"world");
    assert_eq!(wire.answer(1).json()["length"], 10);
    assert_eq!(house.upstream.last().header("content-length"), Some("10"));

    let mut wire = go();
    wire.open(1, &head(&house, "POST", "/api/e")).data(1, 0, b"hello").data(
        1,
        END_STREAM | PADDED,
        b"\x03you\0\0\0",
    );
    assert_eq!(wire.answer(1).json()["length"], 8);
    assert_eq!(house.upstream.last().header("transfer-encoding"), Some("chunked"));

    house.upstream.forget();
    let mut wrong = Wrong::default();
    for (length, body) in
        [("10", &b"hello"[..]), ("3", b"hello"), ("+5", b"hello"), ("5, 5", b"hello"), ("05", b"hello")]
    {
        let mut wire = go();
        let mut fields = head(&house, "POST", "/api/short");
        fields.push(("content-length", length));
        wire.open(1, &fields).data(1, END_STREAM, body);
        let word = wire.fate(1).word();
        wrong.unless(word == "reset 1" || word.starts_with("400"), || {
            format!("{length} for {body:?}: {word}")
        });
    }
    // Lines that the library below finds equal, and servers of HTTP/1 do not: nothing of them leaves.
    for (lengths, body) in
        [(&["5", "5"] as &[_], &b"hello"[..]), (&["5", "05"], b"hello"), (&["0", ""], b""), (&[""], b"")]
    {
        let mut wire = go();
        let mut fields = head(&house, "POST", "/api/lengths");
        fields.extend(lengths.iter().map(|length| ("content-length", *length)));
        wire.open(1, &fields).data(1, END_STREAM, body);
        let word = wire.fate(1).word();
        wrong.unless(word.starts_with("400"), || format!("{lengths:?}: {word}"));
    }
    let reached = house.upstream.requests();
    wrong.unless(reached.iter().all(|seen| seen.target != "/api/lengths"), || format!("{reached:?}"));
    // Broken off, with whatever code: NO_ERROR and CANCEL included.
    for code in [0_u32, 1, 2, 8] {
        let mut wire = go();
        wire.open(1, &head(&house, "POST", "/api/cut")).data(1, 0, b"half");
        wait::until("the half request", || {
            house.upstream.requests().iter().any(|seen| seen.target == "/api/cut")
        });
        let open = house.upstream.open_connections();
        wire.frame(RST_STREAM, 0, 1, &code.to_be_bytes());
        // Only then everything that it said is on record.
        wait::until("the end of its connection", || house.upstream.open_connections() < open);
        let whole = house.upstream.requests().iter().any(|seen| seen.complete);
        wrong.unless(!whole, || format!("reset {code}: a half request looked whole"));
        house.upstream.forget();
    }
    wrong.none("a body");
}

/// HEAD has no body, the refused one neither; 204 and 304 pass as they are.
#[test]
fn answers_without_a_body_have_none() {
    let upstream = Upstream::start(|request| match request.target.as_str() {
        "/public/204" => Answer::bytes("HTTP/1.1 204 No Content\r\n\r\n"),
        "/public/304" => {
            Answer::bytes("HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 5\r\n\r\n")
        }
        _ => Answer::Echo,
    });
    let program = Site::new(Setup::offload(&upstream)).serve();
    let ask = |method, path| {
        let mut wire = Wire::connect(program.gateway().0);
        wire.get(1, &plain(method, path));
        wire.answer(1)
    };
    for (method, path, status) in [
        ("HEAD", "/public/x", 200),
        ("HEAD", "/api/x", 401),
        ("GET", "/public/204", 204),
        ("GET", "/public/304", 304),
        ("HEAD", "/nope", 404),
    ] {
        let answer = ask(method, path);
        assert_eq!((answer.status, answer.body.len()), (status, 0), "{method} {path}");
    }
}

/// A9: trailers of a stream bring no identity, and those of the answer come back.
#[test]
fn trailers_pass_both_ways_without_our_names() {
    let upstream = Upstream::start(|_| {
        Answer::bytes(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\nX-Tenant-Id: evil\r\n\r\n",
        )
    });
    let site = Site::new(Setup::offload(&upstream));
    let key = site.key(&["--scopes", "scan:trigger"]).text;
    let program = site.serve();
    let mut wire = Wire::connect(program.gateway().0);
    let mut fields = plain("POST", "/api/e");
    fields.extend([
        ("x-api-key", key.as_str()),
        ("te", "trailers"),
        ("trailer", "x-sum, x-tenant-id, x_scopes"),
    ]);
    wire.open(1, &fields).data(1, 0, b"hello").frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        1,
        &block(&[("x-sum", "5"), ("x-tenant-id", "evil"), ("x_scopes", "evil"), ("x-api-key", &key)]),
    );
    let answer = wire.answer(1);
    assert_eq!((answer.status, answer.body.as_slice(), answer.trailers), (200, &b"ok"[..], 1));
    let seen = upstream.last();
    assert_eq!(seen.header("te"), Some("trailers"));
    assert_eq!(seen.header("trailer"), Some("x-sum"));
    let trailers: Vec<_> =
        seen.trailers.0.iter().map(|(name, value)| (name.to_lowercase(), value.as_str())).collect();
    assert_eq!(trailers, [("x-sum".to_owned(), "5")]);
}

/// A request that is refused before its body has come is refused whole, and the connection goes on.
#[test]
fn an_early_refusal_leaves_the_connection_usable() {
    let house = House::new();
    let mut wire = Wire::connect(house.program.gateway().0);
    let mut fields = plain("POST", "/api/e");
    fields.push(("content-length", "1000000"));
    wire.open(1, &fields).data(1, 0, &[b'x'; 10_000]);
    assert_eq!(wire.answer(1).verdict(), "401 credential_missing");
    wire.data(1, 0, &[b'x'; 10_000]);
    wire.get(3, &head(&house, "GET", "/api/e"));
    assert_eq!(wire.answer(3).status, 200);
    // The client hears that nobody wants the rest, and that nothing was wrong (RFC 9113 section 8.1).
    let told = |frame: &Frame| frame.kind == RST_STREAM && frame.stream == 1 && frame.payload == [0; 4];
    assert!(wire.seen.iter().any(told), "{:?}", wire.seen);
    assert_eq!(house.upstream.count(), 1);
}

/// A stream that its client gives up takes its request at the upstream with it.
#[test]
fn a_stream_given_up_frees_the_upstream() {
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::start(move |request| match request.target.as_str() {
        "/public/held" => Answer::Held(held.clone(), Box::new(Answer::Echo)),
        _ => Answer::Echo,
    });
    let program = Site::new(Setup::offload(&upstream)).serve();
    let mut wire = Wire::connect(program.gateway().0);
    wire.get(1, &plain("GET", "/public/held"));
    upstream.wait_for(1);
    wire.frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes());
    wait::until("nothing in flight", || {
        program.metric("latchgate_upstream_requests_in_flight", &[("upstream", "app")]) < 0.5
    });
    let line = program.requests_logged("/public/held", 1).remove(0);
    assert_eq!((line["status"].as_u64(), line["outcome"].as_str()), (Some(499), Some("client_left")));
    wire.get(3, &plain("GET", "/public/x"));
    assert_eq!(wire.answer(3).status, 200);
    gate.open();
}

/// I252: no more streams at a time than allowed; the next is refused, and may come again.
#[test]
fn streams_beyond_the_limit_are_refused() {
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::start(move |_| Answer::Held(held.clone(), Box::new(Answer::Echo)));
    let program = Site::new(Setup::offload(&upstream).set("limits.h2_streams", 3)).serve();
    let mut wire = Wire::connect(program.gateway().0);
    for stream in [1, 3, 5] {
        wire.get(stream, &plain("GET", "/public/x"));
    }
    upstream.wait_for(3);
    wire.get(7, &plain("GET", "/public/x"));
    assert_eq!(wire.fate(7), Fate::Reset(7), "REFUSED_STREAM");
    gate.open();
    let mut ended = 0;
    while ended < 3 {
        let frame = wire.next().expect("a frame").expect("still open");
        ended += usize::from(frame.flags & END_STREAM != 0 && frame.kind == DATA);
    }
    wire.get(9, &plain("GET", "/public/x"));
    assert_eq!(wire.answer(9).status, 200);
}

/// I253: too many header lines, or too much of them.
#[test]
fn heads_have_their_limits() {
    let house = House::new();
    let mut many = head(&house, "GET", "/api/e");
    many.extend(std::iter::repeat_n(("x-a", "1"), 101));
    assert_eq!(fate_of(&house, &many).word(), "431 headers_too_large");
    many.truncate(90);
    assert_eq!(fate_of(&house, &many).word(), "200");
    let long = "v".repeat(40_000);
    let mut large = head(&house, "GET", "/api/e");
    large.push(("x-a", &long));
    let block = block(&large);
    let mut wire = Wire::connect(house.program.gateway().0);
    let pieces: Vec<&[u8]> = block.chunks(16_000).collect();
    wire.frame(HEADERS, END_STREAM, 1, pieces[0]);
    for (at, piece) in pieces.iter().enumerate().skip(1) {
        let flags = if at + 1 == pieces.len() { END_HEADERS } else { 0 };
        wire.frame(9, flags, 1, piece);
    }
    let word = wire.fate(1).word();
    assert!(word.starts_with("431") || word.starts_with("reset") || word.starts_with("goaway"), "{word}");
    assert_eq!(house.upstream.count(), 1);
}

/// I241: a connection on which nobody asks for anything is closed, with a word; one that is used is not.
#[test]
fn an_idle_connection_is_closed_with_a_word() {
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::start(move |_| Answer::Held(held.clone(), Box::new(Answer::Echo)));
    let program = Site::new(Setup::offload(&upstream).set("limits.header_timeout", "300ms")).serve();
    let mut busy = Wire::connect(program.gateway().0);
    busy.get(1, &plain("GET", "/public/x"));
    let began = Instant::now();
    let mut idle = Wire::connect(program.gateway().0);
    let mut deaf = Wire::connect(program.gateway().0);
    assert!(idle.ends());
    assert!(
        idle.seen.iter().any(|frame| frame.kind == GOAWAY && frame.payload[4..8] == [0; 4]),
        "{:?}",
        idle.seen
    );
    // Pings keep nobody in.
    let mut alive = true;
    while alive && began.elapsed() < Duration::from_secs(10) {
        alive = deaf.try_bytes(&crate::support::frames::frame(6, 0, 0, &[0; 8])).is_ok();
        thread::sleep(Duration::from_millis(20));
    }
    assert!(!alive, "pings kept an idle connection open");
    gate.open();
    assert_eq!(busy.answer(1).status, 200, "a request that takes longer is not idleness");
    for silent in [&b""[..], b"PRI * HT", PREFACE] {
        let mut client = Client::connect(program.gateway().0);
        client.send(silent);
        assert_ne!(client.until_closed().0, End::Open, "{silent:?}");
    }
}

/// K296: what is under way when the gateway is told to go is finished, and the client hears that it should go.
#[test]
fn draining_says_goodbye_and_finishes() {
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::start(move |_| Answer::Held(held.clone(), Box::new(Answer::Echo)));
    let mut program = Site::new(Setup::offload(&upstream)).serve();
    let mut wire = Wire::connect(program.gateway().0);
    let mut idle = Wire::connect(program.gateway().0);
    wire.get(1, &plain("GET", "/public/x"));
    upstream.wait_for(1);
    program.sigterm();
    assert!(idle.ends());
    // A request that was on its way when the first GOAWAY was written is served as well.
    wire.get(3, &plain("GET", "/public/y"));
    upstream.wait_for(2);
    gate.open();
    let mut ended = Vec::new();
    while let Ok(Some(frame)) = wire.next() {
        if frame.flags & END_STREAM != 0 && frame.kind == DATA {
            ended.push(frame.stream);
        }
    }
    ended.sort_unstable();
    assert_eq!(ended, [1, 3]);
    assert!(wire.seen.iter().any(|frame| frame.kind == GOAWAY), "{:?}", wire.seen);
    assert!(program.ended().success());
}

/// I251: a client that asks for much and takes nothing holds little memory.
#[test]
fn answers_that_nobody_takes_wait_at_the_upstream() {
    let upstream = Upstream::start(|_| Answer::Large(4 << 20));
    let program = Site::new(Setup::offload(&upstream)).serve();
    assert_eq!(program.anonymous().get("/public/warm").status, 200);
    let before = program.memory_kib("VmRSS");
    let mut wire = Wire::silent(program.gateway().0);
    // The initial window is zero: nothing of any body may be sent.
    wire.bytes(PREFACE).frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    for stream in 0..100 {
        wire.get(stream * 2 + 1, &plain("GET", "/public/large"));
    }
    upstream.wait_for(101);
    let grown = wait::still("nothing more to be held", || program.memory_kib("VmRSS")).saturating_sub(before);
    assert!(grown < 40 << 10, "100 answers of 4 MiB that nobody takes hold {grown} KiB");
    drop(wire);
    wait::until("nothing in flight", || {
        program.metric("latchgate_upstream_requests_in_flight", &[("upstream", "app")]) < 0.5
    });
}

/// B92: `Upgrade: h2c` is not for us and goes no further; the request is served as it is.
#[test]
fn an_upgrade_to_http2_is_not_heard() {
    let house = House::new();
    let answer = house
        .program
        .key(&house.key)
        .request("GET", "/api/e")
        .header("Connection", "Upgrade, HTTP2-Settings")
        .header("Upgrade", "h2c")
        .header("HTTP2-Settings", "AAMAAABkAAQAAP__")
        .on(&mut house.program.gateway().connect());
    assert_eq!(answer.status, 200);
    let seen = house.upstream.last();
    assert_eq!((seen.header("upgrade"), seen.header("http2-settings")), (None, None));
    assert_eq!(seen.header("connection"), None);
}
