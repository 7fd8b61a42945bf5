//! The admin port's framing: what the gateway port refuses is refused here too.

use serde_json::json;

use super::World;

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
        (format!("GET /v1/org#x HTTP/1.1\r\nHost: a\r\n{key}\r\n"), "400 path_ambiguous"),
        (format!("GET /v1/openapi.json HTTP/1.1\r\n{key}\r\n"), "400 request_malformed"),
        (format!("GET /nothing HTTP/1.1\r\n{key}\r\n"), "400 request_malformed"),
        (
            format!(
                "POST /v1/teams HTTP/1.1\r\nHost: a\r\n{key}{json}Content-Length: 5\r\n\
                 Transfer-Encoding: chunked\r\n\r\n{chunk}"
            ),
            "400 request_malformed",
        ),
        (
            format!(
                "POST /v1/teams HTTP/1.1\r\nHost: a\r\n{key}{json}Transfer-Encoding: gzip, chunked\r\n\r\n{chunk}"
            ),
            "501 not_implemented",
        ),
        (format!("GET /v1/org HTTP/1.1\r\nHost: a\r\n{key}X-Long: {long}\r\n\r\n"), "431 headers_too_large"),
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
    let head = "POST /v1/teams HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n";
    let mut client = world.program.admin().connect();
    let answer = client.send(format!("{head}{}", "x".repeat(3_000_000))).receive();
    assert_eq!(answer.verdict(), "401 credential_missing");
}
