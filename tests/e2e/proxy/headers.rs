//! Field lines on their way: hop-by-hop ones end here, forwarding ones are rebuilt, the rest passes unchanged.

use crate::support::{
    program::{Program, Site},
    rawup::{Answer, Request, Upstream},
    setup::Setup,
    wrong::Wrong,
};

pub struct House {
    pub upstream: Upstream,
    pub program: Program,
    pub key: String,
    pub tenant: String,
}

impl House {
    pub fn new() -> Self {
        let upstream = Upstream::echo();
        let site = Site::new(Setup::offload(&upstream));
        let key = site.key(&["--scopes", "scan:read,scan:trigger"]).text;
        let tenant = site.org();
        Self { program: site.serve(), upstream, key, tenant }
    }

    /// One request with these field lines beside the key; what the upstream saw of it, if it saw it.
    pub fn seen(&self, lines: &[&[u8]]) -> Result<Request, u16> {
        self.upstream.forget();
        let mut request = self.program.key(&self.key).request("GET", "/api/echo");
        for line in lines {
            request = request.line(line);
        }
        let answer = request.send();
        if answer.status == 200 { Ok(self.upstream.last()) } else { Err(answer.status) }
    }

    pub fn carries_our_tenant_alone(&self, seen: &Request) -> bool {
        let tenants = seen.fields.folding_to("X-Tenant-Id");
        tenants.len() == 1 && tenants[0].1 == self.tenant
    }
}

/// A11, A13, A17: `Connection` names what ends here, in any spelling, but never makes us drop what we set.
#[test]
fn connection_cannot_remove_what_we_insert() {
    let house = House::new();
    let mut wrong = Wrong::default();
    let many = format!("Connection: {}x-tenant-id", "x-a, ".repeat(200));
    let cases: &[&[&[u8]]] = &[
        &[b"Connection: X-Tenant-Id"],
        &[b"connection: x-tenant-id"],
        &[b"Connection: ,X-Tenant-Id ,"],
        &[b"Connection: keep-alive", b"Connection: x-tenant-id"],
        &[b"Connection:\tX-Tenant-Id\t,\tX-Scopes"],
        &[b"Connection: \xff\xfe, x-tenant-id"],
        &[many.as_bytes()],
    ];
    for lines in cases {
        let fine = match house.seen(lines) {
            Ok(seen) => {
                house.carries_our_tenant_alone(&seen)
                    && seen
                        .header("connection")
                        .is_none_or(|value| !value.to_ascii_lowercase().contains("tenant"))
            }
            Err(status) => status == 400 || status == 431,
        };
        wrong.unless(fine, || format!("{:?}", String::from_utf8_lossy(lines[0])));
    }
    wrong.none("a Connection line");
}

/// A11: what `Connection` names is removed, whatever the case.
#[test]
fn connection_tokens_are_honoured() {
    let house = House::new();
    let lines: &[&[u8]] = &[
        b"Connection: X-Foo",
        b"X-FOO: 1",
        b"Keep-Alive: timeout=5",
        b"Proxy-Connection: close",
        b"TE: gzip",
        b"X-Bar: 2",
    ];
    let seen = house.seen(lines).expect("forwarded");
    for name in ["x-foo", "keep-alive", "proxy-connection", "te"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert_eq!(seen.header("x-bar"), Some("2"));
}

/// A12: `Connection` cannot talk away what a request needs to be one.
#[test]
fn connection_cannot_name_vital_headers() {
    let house = House::new();
    let names = "Host, Content-Length, Transfer-Encoding, X-Forwarded-For, Forwarded, Via, X-Request-Id, Cookie, Authorization";
    let answer = house
        .program
        .key(&house.key)
        .request("POST", "/api/echo")
        .header("Connection", names)
        .body("0123456789")
        .send();
    if answer.status == 400 {
        assert_eq!(house.upstream.count(), 0);
        return;
    }
    let seen = house.upstream.last();
    assert_eq!((seen.body.length, seen.complete), (10, true));
    for name in ["host", "x-forwarded-for", "via", "x-request-id"] {
        assert!(seen.header(name).is_some(), "{name} is gone");
    }
}

/// A14: `Connection: X-API-Key` cannot part the decision from what is forwarded.
#[test]
fn connection_naming_the_credential_decides_nothing() {
    let house = House::new();
    match house.seen(&[b"Connection: X-API-Key, authorization"]) {
        Ok(seen) => {
            assert!(house.carries_our_tenant_alone(&seen));
            assert_eq!(seen.header("x-api-key"), None);
        }
        Err(status) => assert!(matches!(status, 400 | 401), "{status}"),
    }
}

/// A16: hop-by-hop fields of an answer end here, and what its `Connection` names.
#[test]
fn answers_lose_their_hop_by_hop_fields() {
    let upstream = Upstream::start(|_| {
        Answer::bytes(
            "HTTP/1.1 200 OK\r\nConnection: X-Foo\r\nX-Foo: 1\r\nKeep-Alive: timeout=5\r\n\
             Proxy-Authenticate: Basic\r\nProxy-Connection: x\r\nX-Bar: 2\r\nContent-Length: 2\r\n\r\nok",
        )
    });
    let site = Site::new(Setup::offload(&upstream));
    let program = site.serve();
    let answer = program.anonymous().get("/public/x");
    assert_eq!((answer.status, answer.text().as_str(), answer.header("x-bar")), (200, "ok", Some("2")));
    for name in ["x-foo", "keep-alive", "proxy-authenticate", "proxy-connection"] {
        assert_eq!(answer.header(name), None, "{name}");
    }
}

/// A21, A18, A19, F184: without trusted proxies nobody is believed about where a request came from.
#[test]
fn forwarding_fields_are_rebuilt() {
    let house = House::new();
    let lines: &[&[u8]] = &[
        b"X-Forwarded-For: 203.0.113.9",
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-Host: evil",
        b"X-Forwarded-Port: 1",
        b"X-Forwarded-Prefix: /evil",
        b"X-Forwarded-Uri: /evil",
        b"X-Forwarded-Method: DELETE",
        b"X-Forwarded-Server: evil",
        b"X-Real-IP: 203.0.113.9",
        b"Forwarded: for=203.0.113.9;host=evil",
        b"True-Client-IP: 203.0.113.9",
        b"CF-Connecting-IP: 203.0.113.9",
        b"X-Client-IP: 203.0.113.9",
        b"X-Cluster-Client-IP: 203.0.113.9",
        b"x_forwarded_for: 203.0.113.9",
    ];
    let seen = house.seen(lines).expect("forwarded");
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.header("x-forwarded-host"), Some("gw"));
    let mut wrong = Wrong::default();
    for (name, value) in &seen.fields.0 {
        let spoofed = ["203.0.113.9", "evil", "DELETE"].iter().any(|mark| value.contains(mark));
        wrong.unless(!spoofed, || format!("{name}: {value}"));
    }
    wrong.none("a forged forwarding field");
}

/// A24: the real method is judged, and the override does not reach the upstream.
#[test]
fn a_method_override_overrides_nothing() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let reader = site.key(&["--scopes", "scan:read"]).text;
    let program = site.serve();
    for name in ["X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"] {
        let answer = program.key(&reader).request("GET", "/api/x").header(name, "DELETE").send();
        assert_eq!(answer.status, 200);
        assert_eq!((upstream.last().method.as_str(), upstream.last().header(name)), ("GET", None), "{name}");
    }
    assert_eq!(
        program.key(&reader).request("DELETE", "/api/x?_method=GET").send().verdict(),
        "403 scope_insufficient"
    );
}

/// A27, B48, B53: control characters in a value are refused, not repaired.
#[test]
fn control_characters_in_values_are_refused() {
    let house = House::new();
    let mut wrong = Wrong::default();
    for value in [&b"a\rb"[..], b"a\nb", b"a\x00b", b"a\rX-Scopes: admin"] {
        let line = [b"X-A: ", value].concat();
        let outcome = house.seen(&[&line]);
        let fine = outcome.as_ref().err() == Some(&400);
        wrong.unless(fine, || format!("{:?}: {outcome:?}", String::from_utf8_lossy(value)));
    }
    wrong.none("a control character");
}

/// A29: TRACE and CONNECT are refused, `OPTIONS *` is ours to answer; nothing of it reaches the upstream.
#[test]
fn trace_and_options_star_end_here() {
    let house = House::new();
    let caller = house.program.key(&house.key);
    let trace = caller.request("TRACE", "/api/x").header("Max-Forwards", "0").send();
    assert_eq!(trace.verdict(), "405 method_not_allowed");
    let options = caller.request("OPTIONS", "*").header("Max-Forwards", "0").send();
    assert!(options.status < 500, "{options:?}");
    assert_eq!(house.upstream.count(), 0);
}

/// Every answer and every forwarded request carries a request id; a client's own is kept only when well-formed.
#[test]
fn request_ids_are_kept_or_made() {
    let house = House::new();
    let good = "0192f7c4-5b1e-7c3a-9d2e-1f0a2b3c4d5e";
    let answer = house.program.key(&house.key).request("GET", "/api/x").header("X-Request-Id", good).send();
    assert_eq!(answer.header("x-request-id"), Some(good));
    assert_eq!(house.upstream.last().header("x-request-id"), Some(good));
    for bad in ["", "a b", "\"><script>", &"x".repeat(1000)] {
        let answer =
            house.program.key(&house.key).request("GET", "/api/x").header("X-Request-Id", bad).send();
        let made = answer.header("x-request-id").expect("an id").to_owned();
        assert!(made != bad && !made.is_empty(), "{bad}");
        assert_eq!(house.upstream.last().header("x-request-id"), Some(made.as_str()));
    }
    let refused = house.program.anonymous().get("/nope");
    assert_eq!(refused.verdict(), "404 not_found");
    assert!(refused.header("x-request-id").is_some());
}

/// RFC 9110 section 7.6.3: `Via` says that a gateway was passed; no version of the product is told (M342).
#[test]
fn via_is_added_without_a_version() {
    let house = House::new();
    let seen = house.seen(&[b"Via: 1.0 fred"]).expect("forwarded");
    let via = seen.fields.all("via").join(", ");
    assert!(via.starts_with("1.0 fred, 1.1 "), "{via}");
    assert!(!via.contains(env!("CARGO_PKG_VERSION")), "{via}");
    let answer = house.program.anonymous().get("/nope");
    assert!(answer.header("server").is_none_or(|server| !server.contains('/')), "{answer:?}");
}

/// `traceparent` passes on unchanged, repeated fields keep their order (RFC 9110 section 5.3).
#[test]
fn ordinary_fields_pass_unchanged_and_in_order() {
    let house = House::new();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let line = format!("traceparent: {trace}");
    let seen = house
        .seen(&[line.as_bytes(), b"X-A: 1", b"X-B: x", b"X-A: 2", b"x-a: 3", b"X-Latin: caf\xe9"])
        .expect("forwarded");
    assert_eq!(seen.header("traceparent"), Some(trace));
    assert_eq!(seen.fields.all("x-a"), ["1", "2", "3"]);
    assert_eq!(seen.header("x-latin"), Some("caf\u{e9}"));
}

/// A trusted proxy's word is passed on, with its own address added; an untrusted one in the chain stays visible.
#[test]
fn a_trusted_proxys_word_is_passed_on() {
    let upstream = Upstream::echo();
    let trusted = toml::Value::Array(vec!["127.0.0.1".into()]);
    let program = Site::new(Setup::offload(&upstream).set("listen.trusted_proxies", trusted)).serve();
    let request = program.anonymous().request("GET", "/public/x");
    let request =
        request.header("X-Forwarded-For", "198.51.100.1, 203.0.113.5").header("X-Forwarded-Proto", "https");
    assert_eq!(request.header("X-Forwarded-Host", "api.example").send().status, 200);
    let seen = upstream.last();
    assert_eq!(seen.header("x-forwarded-for"), Some("198.51.100.1, 203.0.113.5, 127.0.0.1"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
    let line = program.requests_logged("/public/x", 1).remove(0);
    assert_eq!(line["client_ip"], "203.0.113.5", "{line}");
}
