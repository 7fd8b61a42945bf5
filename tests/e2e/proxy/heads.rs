//! What a request begins with: line, host, names and sizes, each exactly one thing or refused.

use std::time::Duration;

use super::house::House;
use crate::support::{
    rawc::{End, Response, exchange},
    rawup::Request,
    wrong::Wrong,
};

/// B39, B46 to B54: a head that is not exactly one is refused.
#[test]
fn crooked_heads_are_refused() {
    let house = House::new();
    let mut wrong = Wrong::default();
    let cases: &[&[u8]] = &[
        b"POST /api/e HTTP/1.1\r\n{HEAD}Content-Length : 3\r\n\r\nabc",
        b"POST /api/e HTTP/1.1\r\n{HEAD}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"GET /api/e HTTP/1.1\r\nHost : gw\r\nX-API-Key: {KEY}\r\n\r\n",
        b"POST /api/e HTTP/1.1\r\n{HEAD}Transfer-\r\nEncoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /api/e HTTP/1.1\r\n{HEAD}X-A: 1\r\n folded\r\n\r\n",
        b"GET /api/e HTTP/1.1\r\n\tContent-Length: 1\r\n{HEAD}\r\nX",
        b"GET /api/e HTTP/1.1\r\n Host: gw\r\nX-API-Key: {KEY}\r\n\r\n",
        b"GET /api/e HTTP/1.1\r\n{HEAD}Visible: a\rX-Scopes: admin\r\n\r\n",
        b"GET /api/e HTTP/1.1\r\r\n{HEAD}\r\n",
        b"GET /api/e HTTP/1.1\r\n{HEAD}: x\r\n\r\n",
        b"GET /api/e HTTP/1.1\r\n{HEAD}:\r\nI: am chopped off\r\n\r\n",
        b"GET /api/e HTTP/1.1\r\n{HEAD}no colon\r\n\r\n",
        b"GET /api/e HTTP/1.1\r\nHo\x00st: gw\r\nX-API-Key: {KEY}\r\n\r\n",
        b"GET /api/e HTTP/1.1\r\nHost: gw\x00.x\r\nX-API-Key: {KEY}\r\n\r\n",
        b"GET /a\x00b HTTP/1.1\r\n{HEAD}\r\n",
        b"GET /api/e HTTP/1.1\r\n{HEAD}\xefoo: x\r\n\r\n",
        b"POST /api/e HTTP/1.1\r\n{HEAD}Content-Length\x85: 3\r\n\r\nabc",
        b"GET /api/e\r\n{HEAD}\r\n",
        b"GET /api/e HTTP/2.0\r\n{HEAD}\r\n",
        b"GET /api/e HTTP/1.2\r\n{HEAD}\r\n",
        b"GET /api/e http/1.1\r\n{HEAD}\r\n",
        b"GET  /api/e HTTP/1.1\r\n{HEAD}\r\n",
        b"GET /api/e HTTP/1.1 \r\n{HEAD}\r\n",
        b"GET /a b HTTP/1.1\r\n{HEAD}\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ];
    for case in cases {
        house.refuses(case, &[400, 405, 501, 505], &mut wrong);
    }
    wrong.none("a head");
}

/// B47, B48: bare line feeds are refused, or the upstream gets proper lines; a bare CR never ends a head.
#[test]
fn bare_line_ends_reach_no_upstream() {
    let house = House::new();
    let mut wrong = Wrong::default();
    // The upstream reads strictly: it would not call such a request complete.
    let proper = |seen: &Request| seen.complete;
    house.refuses_or(
        b"GET /api/e HTTP/1.1\nHost: gw\nX-API-Key: {KEY}\nConnection: close\n\n",
        &mut wrong,
        proper,
    );
    house.refuses_or(b"GET /api/e HTTP/1.1\r\n{HEAD}Connection: close\n\r\n", &mut wrong, proper);
    assert!(!house.upstream.record().contains("gw\n\n"), "a bare LF was forwarded");
    house.upstream.forget();
    let heard = exchange(
        house.program.gateway().0,
        house.bytes(b"GET /api/e HTTP/1.1\r\n{HEAD}\r\n\rX"),
        Duration::from_millis(700),
    );
    wrong
        .unless(heard.responses.len() <= 2 && house.upstream.count() <= 1, || format!("{:?}", heard.story()));
    wrong.none("a line end");
}

/// B52, I253: a head beyond its limits is refused, without effect on framing.
#[test]
fn heads_beyond_their_limits_are_refused() {
    let house = House::new();
    let mut wrong = Wrong::default();
    let long_name = format!("GET /api/e HTTP/1.1\r\n{{HEAD}}{}: 1\r\n\r\n", "a".repeat(64 << 10));
    let overflowing = format!(
        "POST /api/e HTTP/1.1\r\n{{HEAD}}Content-Length0{}:\r\nContent-Length: 50\r\n\r\nGET /admin/pwn HTTP/1.1\r\n{{HEAD}}\r\n",
        "a".repeat(70 << 10)
    );
    let long_value = format!("GET /api/e HTTP/1.1\r\n{{HEAD}}X-A: {}\r\n\r\n", "a".repeat(64 << 10));
    let many = format!("GET /api/e HTTP/1.1\r\n{{HEAD}}{}\r\n", "X-A: 1\r\n".repeat(101));
    let cookies = format!("GET /api/e HTTP/1.1\r\n{{HEAD}}Cookie: {}\r\n\r\n", "a=b; ".repeat(8000));
    for case in [long_name, overflowing, long_value, many, cookies] {
        house.refuses(case.as_bytes(), &[400, 431], &mut wrong);
    }
    wrong.none("an oversized head");
    let most = format!("GET /api/e HTTP/1.1\r\n{{HEAD}}Connection: close\r\n{}\r\n", "X-A: 1\r\n".repeat(90));
    assert_eq!(house.ask(most.as_bytes()).story(), ["200", "Closed"], "what is within the limits passes");
}

/// B71: CONNECT dials nothing.
#[test]
fn connect_is_refused() {
    let house = House::new();
    let mut wrong = Wrong::default();
    for target in ["127.0.0.1:22", "gw:443", "gw", "127.0.0.1:0"] {
        let case = format!("CONNECT {target} HTTP/1.1\r\n{{HEAD}}\r\n");
        let heard = house.ask(case.as_bytes());
        let statuses: Vec<u16> = heard.responses.iter().map(|answer| answer.status).collect();
        wrong.unless(matches!(statuses.as_slice(), [400 | 405 | 501]), || format!("{target}: {statuses:?}"));
    }
    assert_eq!(house.upstream.connections(), 0);
    wrong.none("CONNECT");
}

/// B72: the target of an absolute form is where the request goes; we are no open proxy.
#[test]
fn an_absolute_form_names_its_own_host() {
    let house = House::with(|setup| {
        setup.route("name = \"hosted\"\nhost = \"inner.example\"\npath = \"/hosted/{*rest}\"\nupstream = \"app\"\ncredentials = [\"none\"]")
    });
    let heard = house
        .ask(b"GET http://gw/api/e HTTP/1.1\r\nHost: evil\r\nX-API-Key: {KEY}\r\nConnection: close\r\n\r\n");
    assert_eq!(heard.story(), ["200", "Closed"]);
    let seen = house.upstream.last();
    assert_eq!((seen.target.as_str(), seen.header("x-forwarded-host")), ("/api/e", Some("gw")));
    assert!(!house.upstream.record().contains("evil"), "{}", house.upstream.record());
    let ours =
        house.ask(b"GET http://inner.example/hosted/e HTTP/1.1\r\nHost: gw\r\nConnection: close\r\n\r\n");
    assert_eq!(ours.story(), ["200", "Closed"], "the target's host is matched");
    let foreign =
        house.ask(b"GET http://gw/hosted/e HTTP/1.1\r\nHost: inner.example\r\nConnection: close\r\n\r\n");
    assert_eq!(foreign.story(), ["404 not_found", "Closed"], "the Host line is not");
}

/// B73: targets that are none.
#[test]
fn odd_targets_are_refused() {
    let house = House::new();
    let mut wrong = Wrong::default();
    for target in [
        "foo",
        "*",
        "?x",
        "http:///x",
        "http://u:p@gw/api/x",
        "ftp://gw/api/x",
        "gw:80",
        "//evil/api",
        "/api/\u{e9}",
    ] {
        let case = format!("GET {target} HTTP/1.1\r\n{{HEAD}}Connection: close\r\n\r\n");
        let heard = house.ask(case.as_bytes());
        let statuses: Vec<u16> = heard.responses.iter().map(|answer| answer.status).collect();
        wrong.unless(matches!(statuses.as_slice(), [400]) && house.upstream.count() == 0, || {
            format!("{target}: {statuses:?}")
        });
    }
    wrong.none("a target");
}

/// B74: HTTP/1.1 names exactly one valid host (RFC 9112 section 3.2).
#[test]
fn the_host_is_one_and_valid() {
    let house = House::new();
    let mut wrong = Wrong::default();
    let hosts: &[&[u8]] = &[
        b"",
        b"Host: gw\r\nHost: gw\r\n",
        b"Host: gw\r\nHost: evil\r\n",
        b"Host: a, b\r\n",
        b"Host: a b\r\n",
        b"Host: gw:99999\r\n",
        b"Host: [::1\r\n",
        b"Host: gw/..\r\n",
        b"Host: \r\n",
        b"Host: gw#\r\n",
        b"Host: gw?x\r\n",
        b"Host: user@gw\r\n",
        b"Host: gw:80:80\r\n",
        b"Host: gw:x\r\n",
        b"Host: g\x01w\r\n",
        b"Host: \xffgw\r\n",
        b"Host: gw\\x\r\n",
        b"Host: %67w%\r\n",
    ];
    for host in hosts {
        let case = [b"GET /api/e HTTP/1.1\r\n", *host, b"X-API-Key: {KEY}\r\n\r\n"].concat();
        house.refuses(&case, &[400], &mut wrong);
    }
    wrong.none("a host");
}

/// B76: a method is a token and is never forwarded changed.
#[test]
fn odd_methods_are_refused() {
    let house = House::new();
    let mut wrong = Wrong::default();
    let long = "A".repeat(64 << 10);
    for method in ["G=\"<>\"", "G\x00T", "G\u{e9}T", "", "G(T", &long] {
        let case = format!("{method} /api/e HTTP/1.1\r\n{{HEAD}}Connection: close\r\n\r\n");
        house.refuses(case.as_bytes(), &[400, 405, 414, 431, 501], &mut wrong);
    }
    let lower = house.ask(b"get /api/e HTTP/1.1\r\n{HEAD}Connection: close\r\n\r\n");
    let seen = house.upstream.requests();
    assert!(lower.responses[0].status != 200 || seen.iter().all(|seen| seen.method == "get"), "{seen:?}");
    wrong.none("a method");
}

/// Every refusal of ours is a problem (RFC 9457), also the ones before routing.
#[test]
fn refusals_of_the_parser_are_problems_too() {
    let house = House::new();
    let mut wrong = Wrong::default();
    for (case, code) in [
        (&b"GET /api/e HTTP/1.1\r\nX-API-Key: {KEY}\r\n\r\n"[..], "400 request_malformed"),
        (b"GET /api/e HTTP/1.1\r\n{HEAD}no colon\r\n\r\n", "400 request_malformed"),
        (b"POST /api/e HTTP/1.1\r\n{HEAD}Content-Length: x\r\n\r\n", "400 request_malformed"),
        (
            b"POST /api/e HTTP/1.1\r\n{HEAD}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "400 request_malformed",
        ),
        (b"GET /api/e HTTP/3.0\r\n{HEAD}\r\n", "505 version_not_supported"),
    ] {
        let heard = house.ask(case);
        let answer = heard.responses.first();
        let problem =
            answer.filter(|answer| answer.header("content-type") == Some("application/problem+json"));
        let verdict = problem.map(Response::verdict);
        wrong.unless(verdict.as_deref() == Some(code), || {
            format!("{:?}: {answer:?}", String::from_utf8_lossy(case))
        });
    }
    let many = format!("GET /api/e HTTP/1.1\r\n{{HEAD}}{}\r\n", "X-A: 1\r\n".repeat(300));
    let verdicts: Vec<_> = house.ask(many.as_bytes()).responses.iter().map(|answer| answer.status).collect();
    wrong.unless(verdicts == [431], || format!("300 headers: {verdicts:?}"));
    wrong.none("a refusal");
}

/// I238: a head that never ends is given up within the header timeout; others are served meanwhile.
#[test]
fn a_slow_head_is_given_up() {
    let house = House::with(|setup| setup.set("limits.header_timeout", "300ms"));
    let mut slow = house.program.gateway().connect();
    slow.send("GET /api/e HTTP/1.1\r\nHost: gw\r\n");
    assert_eq!(house.program.key(&house.key).get("/api/x").status, 200);
    let (end, _) = slow.until_closed();
    assert_ne!(end, End::Open, "the slow client is still there");
    let mut silent = house.program.gateway().connect();
    assert_ne!(silent.until_closed().0, End::Open, "the silent client is still there");
}
