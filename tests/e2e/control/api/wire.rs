//! The admin port's framing: what the gateway port refuses is refused here too.

use serde_json::json;

use super::{World, offload};
use crate::support::{program::Lock, tools::output, wait};

/// B: whom a request is for and where it ends is said once, or nothing after it is believed.
#[test]
fn requests_with_two_readings_are_refused() {
    let world = World::new();
    let key = format!("X-API-Key: {}\r\n", world.program.site.key(&["--scope", "org"]).text);
    let json = "Content-Type: application/json\r\n";
    let team = json!({ "name": "Smuggled" }).to_string();
    let chunk = format!("{:x}\r\n{team}\r\n0\r\n\r\n", team.len());
    let long = "a".repeat(40_000);
    for (request, verdict) in [
        (format!("GET /v1/org HTTP/1.1\r\n{key}\r\n"), "400 request_malformed"),
        (format!("GET /v1/org HTTP/1.1\r\nHost: a\r\nHost: b\r\n{key}\r\n"), "400 request_malformed"),
        (format!("GET /v1/org HTTP/1.1\r\nHost: a b@c/\r\n{key}\r\n"), "400 request_malformed"),
        (format!("GET /v1/org#x HTTP/1.1\r\nHost: gw\r\n{key}\r\n"), "400 path_ambiguous"),
        (format!("GET /v1/openapi.json HTTP/1.1\r\n{key}\r\n"), "400 request_malformed"),
        (format!("GET /nothing HTTP/1.1\r\n{key}\r\n"), "400 request_malformed"),
        (
            format!(
                "POST /v1/teams HTTP/1.1\r\nHost: gw\r\n{key}{json}Content-Length: 5\r\n\
                 Transfer-Encoding: chunked\r\n\r\n{chunk}"
            ),
            "400 request_malformed",
        ),
        (
            format!(
                "POST /v1/teams HTTP/1.1\r\nHost: gw\r\n{key}{json}Transfer-Encoding: gzip, chunked\r\n\r\n{chunk}"
            ),
            "501 not_implemented",
        ),
        (format!("GET /v1/org HTTP/1.1\r\nHost: gw\r\n{key}X-Long: {long}\r\n\r\n"), "431 headers_too_large"),
    ] {
        let shown = request.chars().take(60).collect::<String>();
        let mut client = world.program.admin().connect();
        let answer = client.send(&request).receive();
        assert_eq!(answer.verdict(), verdict, "{shown}");
        assert_eq!(answer.header("connection"), Some("close"), "{shown}");
    }
    assert_eq!(world.program.site.count("teams WHERE name = 'Smuggled'"), 0);
}

/// A body that nobody reads does not cut off the answer.
#[test]
fn a_refused_body_does_not_cost_the_answer() {
    let world = World::new();
    let head = "POST /v1/teams HTTP/1.1\r\nHost: gw\r\nContent-Length: 3000000\r\n\r\n";
    let mut client = world.program.admin().connect();
    let answer = client.send(format!("{head}{}", "x".repeat(3_000_000))).receive();
    assert_eq!(answer.verdict(), "401 credential_missing");
    let mut client = world.program.admin().connect();
    let head = "POST /v1/teams HTTP/1.1\r\nHost: gw\r\nContent-Length: 5\r\n\r\n";
    let answer = client.send(format!("{head}hello")).receive();
    assert_eq!((answer.status, answer.header("connection")), (401, None));
    let answer = client.send(format!("{head}hell")).receive();
    assert_eq!((answer.status, answer.header("connection")), (401, Some("close")), "its rest is not read");
    client.half_close().assert_closed();
}

/// What HTTP itself forbids is refused in the documented words too, counted and logged, and the connection ends.
#[test]
fn what_cannot_be_read_gets_a_problem() {
    let (program, caller, _upstream) = offload("scan:read");
    let many = "X-A: 1\r\n".repeat(120);
    for (request, verdict) in [
        ("nonsense\r\n\r\n".to_owned(), "400 request_malformed"),
        ("GET /v1/org HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n".to_owned(), "400 request_malformed"),
        ("GET /v1/org HTTP/1.1\r\nHost : a\r\n\r\n".to_owned(), "400 request_malformed"),
        ("GET /v1/org HTTP/3.0\r\nHost: a\r\n\r\n".to_owned(), "505 version_not_supported"),
        (format!("GET /v1/org HTTP/1.1\r\nHost: a\r\n{many}\r\n"), "431 headers_too_large"),
    ] {
        let mut client = program.admin().connect();
        let answer = client.send(&request).receive();
        assert_eq!(answer.verdict(), verdict, "{request:.60}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(answer.header("connection"), Some("close"));
        let id = answer.header("x-request-id").expect("a request id").to_owned();
        assert_eq!(answer.json()["request_id"], json!(id));
        wait::until("its line in the log", || {
            program.log().iter().any(|line| line["request_id"] == json!(id))
        });
    }
    let mut kept = program.admin().connect();
    let good = caller.request("GET", "/v1/org");
    assert_eq!(good.on(&mut kept).status, 200);
    assert_eq!(good.on(&mut kept).status, 200);
    let answer = kept.send("nonsense\r\n\r\n").receive();
    assert_eq!(answer.verdict(), "400 request_malformed", "after answers too");
}

/// One address holds half of the port's places at most; others are served beside it.
#[test]
fn one_address_does_not_keep_others_out() {
    let (program, caller, _upstream) = offload("scan:read");
    let held: Vec<_> = (0..256).map(|_| program.admin().connect()).collect();
    wait::until("256 connections", || {
        program.metric("latchgate_connections", &[("listener", "admin")]) >= 256.0
    });
    let mut refused = program.admin().connect();
    refused.assert_closed();
    let url = format!("http://{}/v1/openapi.json", program.admin().0);
    let other = ["-sS", "-o", "/dev/null", "-w", "%{http_code}", "--interface", "127.0.0.2", &url];
    assert_eq!(output("curl", &other), "200");
    drop(held);
    wait::until("its places are free", || {
        program.metric("latchgate_connections", &[("listener", "admin")]) < 1.0
    });
    assert_eq!(caller.get("/v1/org").status, 200);
}

/// Nobody waits longer than the configuration says, and what was not done in that time is not done.
#[test]
fn a_request_does_not_take_for_ever() {
    let (program, caller, _upstream) = offload("api_key:create,scan:read");
    let site = program.stop();
    let setup = site.setup.clone().set("limits.request_timeout", "300ms");
    site.configure(&setup);
    let program = site.serve();
    let lock = Lock::take(&program.site);
    let body = json!({ "name": "late", "scopes": ["scan:read"] }).to_string();
    let caller = caller.at(program.admin());
    let create = || {
        caller.request("POST", "/v1/api-keys").header("Content-Type", "application/json").body(&body).send()
    };
    let answer = create();
    assert_eq!((answer.verdict().as_str(), answer.header("retry-after")), ("503 overloaded", Some("1")));
    lock.release();
    assert_eq!(create().status, 201);
    assert_eq!(program.site.count("api_keys WHERE name = 'late'"), 1);
}
