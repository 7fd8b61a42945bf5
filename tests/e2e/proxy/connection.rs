//! Requests on one connection, and connections that end: nobody inherits anything from anybody.

use std::time::Duration;

use super::house::House;
use crate::support::{
    program::Site,
    rawc::{End, exchange},
    rawup::{Answer, Gate, Upstream},
    setup::Setup,
    wait::{PATIENCE, until},
    wrong::Wrong,
};

/// B67, B68, B69, B92: nothing is tunnelled that the upstream did not switch to.
#[test]
fn upgrades_that_do_not_happen_open_no_tunnel() {
    let house = House::new();
    let mut wrong = Wrong::default();
    let after = b"GET /admin/pwn HTTP/1.1\r\nHost: gw\r\n\r\n";
    let heads: &[&[u8]] = &[
        b"GET /api/e HTTP/1.1\r\n{HEAD}Upgrade: foo\r\nConnection: upgrade\r\n\r\n",
        b"GET /api/e HTTP/1.0\r\n{HEAD}Upgrade: websocket\r\nConnection: upgrade, keep-alive\r\n\r\n",
        b"GET /api/e HTTP/1.1\r\n{HEAD}Upgrade: websocket\r\n\r\n",
        b"GET /api/e HTTP/1.1\r\n{HEAD}Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n",
        b"POST /api/e HTTP/1.1\r\n{HEAD}Upgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 5\r\n\r\nhello",
    ];
    for head in heads {
        house.upstream.forget();
        let bytes = [house.bytes(head), after.to_vec()].concat();
        let heard = exchange(house.program.gateway().0, bytes, Duration::from_millis(500));
        let seen = house.upstream.requests();
        let fine = seen.iter().all(|seen| seen.target == "/api/e" && seen.header("http2-settings").is_none())
            && heard.responses.iter().skip(1).all(|answer| answer.status == 401)
            && heard.responses.iter().all(|answer| answer.status != 101);
        wrong.unless(fine, || format!("{:?}: {:?} {seen:?}", String::from_utf8_lossy(head), heard.story()));
    }
    assert!(!house.upstream.record().contains("pwn"));
    wrong.none("an upgrade");
}

/// B77, B78: each request of a connection stands for itself; answers keep their order.
#[test]
fn pipelined_requests_keep_their_own_identity() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let (a, b) =
        (site.key(&["--scopes", "scan:read"]), site.key(&["--scopes", "scan:read", "--name", "other"]));
    let revoked = site.key(&["--scopes", "scan:read", "--name", "revoked"]);
    site.cli(&["keys", "revoke", &revoked.id]).ok();
    let program = site.serve();
    let keys = [Some(&a), Some(&b), None, Some(&revoked)];
    let mut bytes = String::new();
    for number in 0..100 {
        let key = keys[number % 4].map(|key| format!("X-API-Key: {}\r\n", key.text)).unwrap_or_default();
        let close = if number == 99 { "Connection: close\r\n" } else { "" };
        bytes.push_str(&format!("GET /api/{number} HTTP/1.1\r\nHost: gw\r\n{key}{close}\r\n"));
    }
    let heard = exchange(program.gateway().0, bytes, PATIENCE);
    assert_eq!(heard.responses.len(), 100, "{:?}", heard.end);
    for (number, answer) in heard.responses.iter().enumerate() {
        match keys[number % 4] {
            None => assert_eq!(answer.verdict(), "401 credential_missing", "{number}"),
            Some(key) if key.id == revoked.id => {
                assert_eq!(answer.verdict(), "401 credential_revoked", "{number}");
            }
            Some(key) => {
                let echoed = answer.json();
                assert_eq!(echoed["target"], format!("/api/{number}"));
                assert!(echoed["fields"].to_string().contains(&key.prefix), "{number}: {echoed}");
            }
        }
    }
}

/// B78: an authenticated request lends nothing to the next one on its connection.
#[test]
fn a_connection_remembers_nobody() {
    let house = House::new();
    let mut client = house.program.gateway().connect();
    assert_eq!(house.program.key(&house.key).request("GET", "/api/1").on(&mut client).status, 200);
    let without = house.program.anonymous().request("GET", "/api/2").on(&mut client);
    assert_eq!(without.verdict(), "401 credential_missing");
    assert_eq!(house.program.key(&house.key).request("GET", "/api/3").on(&mut client).status, 200);
    assert_eq!(house.upstream.count(), 2);
}

/// B78: where an upstream binds an identity to its connection (NTLM, Negotiate), nobody else rides on it.
#[test]
fn an_authenticated_upstream_connection_is_not_shared() {
    let upstream = Upstream::start(|request| match request.header("authorization") {
        Some(credential) if credential.starts_with("NTLM") => Answer::ok("yours"),
        _ => Answer::Bytes(
            b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n".to_vec(),
        ),
    });
    let program = Site::new(Setup::offload(&upstream)).serve();
    let mut first = program.gateway().connect();
    let authenticated =
        program.anonymous().request("GET", "/public/first").header("Authorization", "NTLM TlRMTVNTUAADAAAA");
    authenticated.on(&mut first);
    for number in 0..10 {
        program.anonymous().get(&format!("/public/other/{number}"));
    }
    let requests = upstream.requests();
    let theirs =
        requests.iter().filter(|seen| seen.header("authorization").is_some()).map(|seen| seen.connection);
    let theirs: Vec<usize> = theirs.collect();
    let others = requests.iter().filter(|seen| seen.target.contains("other"));
    assert!(
        others.clone().count() == 10 && others.clone().all(|seen| !theirs.contains(&seen.connection)),
        "{requests:?}"
    );
}

/// B79: what an upstream says beyond its answer reaches nobody.
#[test]
fn surplus_answers_reach_nobody() {
    let upstream = Upstream::start(|request| {
        let answer =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", request.target.len(), request.target);
        match request.target.as_str() {
            target if target.contains("twice") => Answer::Bytes(
                format!("{answer}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison").into_bytes(),
            ),
            target if target.contains("long") => Answer::Bytes(format!("{answer}poison").into_bytes()),
            _ => Answer::Bytes(answer.into_bytes()),
        }
    });
    let program = Site::new(Setup::offload(&upstream)).serve();
    let mut client = program.gateway().connect();
    for round in 0..200 {
        for kind in ["twice", "fine", "long", "fine"] {
            let target = format!("/public/{kind}/{round}");
            let answer = program.anonymous().request("GET", &target).on(&mut client);
            assert_eq!((answer.status, answer.text()), (200, target.clone()), "{target}");
        }
    }
}

/// B81: after `Connection: close` a connection is not used again, on either side.
#[test]
fn close_means_close() {
    let upstream = Upstream::start(|_| {
        Answer::bytes("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
    });
    let program = Site::new(Setup::offload(&upstream)).serve();
    let mut client = program.gateway().connect();
    for _ in 0..5 {
        assert_eq!(program.anonymous().request("GET", "/public/x").on(&mut client).status, 200);
    }
    let connections: Vec<usize> = upstream.requests().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [0, 1, 2, 3, 4], "the upstream said close");
    client.send("GET /public/x HTTP/1.1\r\nHost: gw\r\nConnection: close\r\n\r\n");
    assert_eq!(client.receive().status, 200);
    client.assert_closed();
}

/// B82, RFC 9110 section 10.1.1: no 100 before the decision; afterwards the body may come.
#[test]
fn continue_is_said_only_after_the_decision() {
    let house = House::new();
    let mut client = house.program.gateway().connect();
    client.send("POST /api/e HTTP/1.1\r\nHost: gw\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    let refused = client.receive();
    assert_eq!(
        (refused.verdict().as_str(), refused.interim.as_slice()),
        ("401 credential_missing", [].as_slice())
    );

    for expect in ["100-continue", "100-Continue"] {
        let mut client = house.program.gateway().connect();
        let head = format!(
            "POST /api/e HTTP/1.1\r\n{{HEAD}}Expect: {expect}\r\nContent-Length: 5\r\nConnection: close\r\n\r\n"
        );
        client.send(house.bytes(head.as_bytes()));
        assert!(client.receive_bytes(12).starts_with(b"HTTP/1.1 100"), "{expect}");
        client.receive_bytes("HTTP/1.1 100 Continue\r\n\r\n".len() - 12);
        client.send("hello");
        assert_eq!(client.receive().json()["length"], 5, "{expect}");
    }
}

/// B82: an upstream that refuses before the body is heard.
#[test]
fn an_early_refusal_of_the_upstream_is_passed_on() {
    let upstream = Upstream::start(|_| {
        Answer::Early(
            b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig".to_vec(),
        )
    });
    let site = Site::new(Setup::offload(&upstream));
    let key = site.key(&["--scopes", "scan:trigger"]).text;
    let program = site.serve();
    let mut client = program.gateway().connect();
    client.send(format!(
        "POST /api/e HTTP/1.1\r\nHost: gw\r\nX-API-Key: {key}\r\nContent-Length: 1000000\r\n\r\nabc"
    ));
    let answer = client.receive();
    assert_eq!((answer.status, answer.text().as_str()), (413, "big"));
}

/// B83: a client that has said all and listens on is answered or hung up on, never kept waiting.
#[test]
fn a_half_closed_client_is_not_kept_waiting() {
    let house = House::new();
    let mut client = house.program.gateway().connect();
    client.send(house.bytes(b"GET /api/e HTTP/1.1\r\n{HEAD}\r\n")).half_close();
    let (end, said) = client.until_closed();
    assert_ne!(end, End::Open);
    assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 200"), "{:?}", String::from_utf8_lossy(&said));
}

/// A client that goes away takes its request at the upstream with it.
#[test]
fn a_client_that_leaves_frees_the_upstream() {
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::start(move |_| Answer::Held(held.clone(), Box::new(Answer::Echo)));
    let program = Site::new(Setup::offload(&upstream)).serve();
    let mut client = program.gateway().connect();
    client.send("GET /public/x HTTP/1.1\r\nHost: gw\r\n\r\n");
    upstream.wait_for(1);
    client.reset();
    gate.open();
    until("the abandoned upstream connection closes or is free again", || {
        program.metric("latchgate_upstream_requests_in_flight", &[("upstream", "app")]) < 0.5
    });
    assert_eq!(program.anonymous().get("/public/y").status, 200);
}
