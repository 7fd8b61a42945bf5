//! `/.latchgate/decide`: the gateway's answer for another proxy, which is the answer that it would give itself.

use crate::support::{
    gateway::Gateway,
    program::{ADMIN, Key, Site},
    rawc::Response,
    rawup::Upstream,
    request::{Caller, Request},
    setup::Setup,
    signer::{Draft, Signer},
    wait,
};

const DECIDE: &str = "/.latchgate/decide";
const NGINX: &str = "/.latchgate/decide/nginx";
const UNCLEAR: &str = "400 request_malformed";
const AMBIGUOUS: &str = "400 path_ambiguous";

/// Asks as Traefik and Caddy do.
fn forwarded(caller: &Caller, method: &str, uri: &str, host: &str) -> Request {
    caller
        .request("GET", DECIDE)
        .header("X-Forwarded-Method", method)
        .header("X-Forwarded-Uri", uri)
        .header("X-Forwarded-Host", host)
}

/// Asks as nginx does, with its own few answers or the whole ones.
fn original(caller: &Caller, at: &str, method: &str, uri: &str) -> Request {
    caller.request("GET", at).header("X-Original-Method", method).header("X-Original-URI", uri)
}

fn narrow(answer: &Response) -> String {
    let told = |name| answer.header(name).unwrap_or("none");
    format!("{} {} {}", answer.status, told("x-latchgate-status"), told("x-latchgate-code"))
}

/// Two routes to `app` by host beside those of every host, and one to the admin API.
fn setup(upstream: &Upstream) -> Setup {
    Setup::offload(upstream)
        .route("name = \"v1\"\npath = \"/v1/{*rest}\"\nupstream = \"@control\"")
        .route("name = \"inner\"\npath = \"/x/{*rest}\"\nupstream = \"app\"\nhost = \"inner.example.com\"\nrequire = \"scan:manage\"")
        .route("name = \"outer\"\npath = \"/x/{*rest}\"\nupstream = \"app\"\nhost = \"outer.example.com\"\ncredentials = [\"none\"]")
        .route("name = \"pages\"\npath = \"/pages/{*rest}\"\nupstream = \"app\"\ncredentials = [\"session\"]")
}

struct Bench {
    upstream: Upstream,
    key: Key,
    limited: Key,
    elsewhere: Key,
    gateway: Gateway,
}

impl Bench {
    fn new(configure: impl FnOnce(Setup) -> Setup) -> Self {
        let upstream = Upstream::echo();
        let site = Site::new(configure(setup(&upstream)));
        let key = site.key(&["--scopes", "scan:read", "--name", "reads"]);
        let limited =
            site.key(&["--scopes", "scan:read", "--name", "limited", "--rate-limit-per-minute", "2"]);
        let elsewhere =
            site.key(&["--scopes", "scan:read", "--name", "elsewhere", "--allowed-ips", "203.0.113.0/24"]);
        Self { upstream, key, limited, elsewhere, gateway: Gateway::start(site) }
    }

    fn caller(&self) -> Caller {
        self.gateway.key(&self.key.text)
    }
}

/// Whatever the gateway would say, `decide` says: the same status, code, challenge and identity, and nothing is forwarded.
#[test]
fn what_is_decided_is_what_the_gateway_does() {
    let bench = Bench::new(|setup| setup);
    let team = bench.gateway.site.team();
    let good = bench.caller();
    let unknown = format!("osk_zzzzzzzz_{}", "0".repeat(32));
    let unknown = bench.gateway.key(&format!("{unknown}{}", super::checksum(&unknown)));
    let (anonymous, wrong) = (bench.gateway.anonymous(), bench.gateway.key("osk_nonsense"));
    for (caller, method, uri) in [
        (&good, "GET", "/api/x"),
        (&good, "GET", "/api/x?key=1&y=%2F"),
        (&good, "HEAD", "/api/x"),
        (&good, "POST", "/api/x"),
        (&good, "DELETE", "/api/x"),
        (&good, "TRACE", "/api/x"),
        (&good, "get", "/api/x"),
        (&good, "GET", "/admin/x"),
        (&good, "GET", "/any/x"),
        (&good, "GET", "/nothing"),
        (&good, "GET", "/public/x"),
        (&good, "GET", &format!("/teams/{team}/x")),
        (&good, "GET", "/teams/019344fc-0000-7000-8000-000000000000/x"),
        (&good, "GET", "/api/../admin/x"),
        (&good, "GET", "/public/%2e%2e/admin/x"),
        (&good, "GET", "/public/..%2fadmin/x"),
        (&good, "GET", "//admin/x"),
        (&good, "GET", "/api/x;y/z"),
        (&good, "GET", "/api/x%00"),
        (&good, "GET", "/%61pi/x"),
        (&anonymous, "GET", "/api/x"),
        (&anonymous, "GET", "/public/x"),
        (&anonymous, "GET", "/nothing"),
        (&wrong, "GET", "/api/x"),
        (&wrong, "GET", "/public/x"),
        (&unknown, "GET", "/api/x"),
        (&bench.gateway.key(&bench.elsewhere.text), "GET", "/api/x"),
    ] {
        bench.upstream.forget();
        let itself = caller.request(method, uri).send();
        let identity = if bench.upstream.count() == 1 { Some(bench.upstream.last()) } else { None };
        let decided = forwarded(caller, method, uri, "gw").send();
        let asked = format!("{method} {uri}");
        if method == "HEAD" {
            assert_eq!(decided.status, itself.status, "{asked}");
        } else {
            assert_eq!(decided.verdict(), itself.verdict(), "{asked}");
        }
        for name in ["www-authenticate", "allow"] {
            assert_eq!(decided.header(name), itself.header(name), "{asked}");
        }
        assert_eq!(original(caller, DECIDE, method, uri).send().status, itself.status, "{asked}");
        for name in NAMES {
            let told = identity.as_ref().and_then(|seen| seen.header(name));
            assert_eq!(decided.header(name), told, "{name}: {asked}");
        }
        assert!(bench.upstream.count() <= 1, "nothing was forwarded for an answer");
    }
    let long = format!("/api/{}", "x".repeat(9000));
    assert_eq!(forwarded(&good, "GET", &long, "gw").send().verdict(), "414 uri_too_long");
    let put = good.request("PUT", DECIDE).header("X-Forwarded-Method", "GET");
    let put = put.header("X-Forwarded-Uri", "/api/x").body("a body that nobody reads").send();
    assert_eq!(put.verdict(), "200", "any method asks, and a body means nothing");
}

/// The identity headers that a configuration has when it names none.
const NAMES: [&str; 9] = [
    "x-tenant-id",
    "x-team-id",
    "x-project-id",
    "x-user-id",
    "x-role",
    "x-scope",
    "x-scopes",
    "x-credential-id",
    "x-auth-method",
];

/// Group A through `decide`: whatever names the request twice, by half or in two ways is nobody's request.
#[test]
#[expect(clippy::too_many_lines, reason = "one table of attacks")]
fn a_question_that_can_be_read_in_two_ways_is_refused() {
    let bench = Bench::new(|setup| setup);
    let ask = || bench.caller().request("GET", DECIDE);
    let verdict = |lines: &[&str]| ask().lines(lines).send().verdict();
    for (expected, lines) in [
        (UNCLEAR, &[] as &[&str]),
        (UNCLEAR, &["X-Forwarded-Host: gw"]),
        (UNCLEAR, &["X-Forwarded-Method: GET"]),
        (UNCLEAR, &["X-Forwarded-Uri: /api/x"]),
        (UNCLEAR, &["X-Original-URI: /api/x"]),
        (UNCLEAR, &["X-Original-URI: /api/x", "X-Forwarded-Method: GET"]),
        (UNCLEAR, &["X_Forwarded_Uri: /api/x", "X_Forwarded_Method: GET"]),
        ("200", &["X-Forwarded-Method: GET", "X-Forwarded-Uri: /api/x"]),
        ("200", &["X-Original-Method: GET", "X-Original-URI: /api/x"]),
        ("200", &["X-Original-Method: GET", "X-Original-URI: /api/x", "X-Forwarded-Host: GW"]),
        (
            "200",
            &[
                "X-Original-Method: GET",
                "X-Original-URI: /api/x",
                "X-Forwarded-Method: GET",
                "X-Forwarded-Uri: /api/x",
            ],
        ),
        // A proxy that sets one family and passes on the client's other.
        (
            UNCLEAR,
            &[
                "X-Original-Method: POST",
                "X-Original-URI: /api/x",
                "X-Forwarded-Method: GET",
                "X-Forwarded-Uri: /api/x",
            ],
        ),
        (
            UNCLEAR,
            &[
                "X-Original-Method: GET",
                "X-Original-URI: /admin/x",
                "X-Forwarded-Method: GET",
                "X-Forwarded-Uri: /api/x",
            ],
        ),
        (
            UNCLEAR,
            &[
                "X-Original-Method: GET",
                "X-Original-URI: /x/y",
                "X-Forwarded-Method: GET",
                "X-Forwarded-Uri: /x/y",
                "X-Forwarded-Host: outer.example.com",
            ],
        ),
        (UNCLEAR, &["X-Original-Method: GET", "X-Original-URI: /x/y", "X-Forwarded-Host: outer.example.com"]),
        (UNCLEAR, &["X-Forwarded-Method: GET", "X-Forwarded-Uri: /api/x", "X-Forwarded-Uri: /api/x"]),
        (UNCLEAR, &["X-Forwarded-Method: GET", "X-Forwarded-Uri: /api/x", "X-Forwarded-Method: POST"]),
        (
            UNCLEAR,
            &["X-Forwarded-Method: GET", "X-Forwarded-Uri: /x/y", "X-Forwarded-Host: gw, outer.example.com"],
        ),
        (
            UNCLEAR,
            &[
                "X-Forwarded-Method: GET",
                "X-Forwarded-Uri: /x/y",
                "X-Forwarded-Host: gw",
                "X-Forwarded-Host: outer.example.com",
            ],
        ),
        // Absolute targets, as a client of a forward proxy sends them.
        ("200", &["X-Forwarded-Method: GET", "X-Forwarded-Uri: http://gw/api/x", "X-Forwarded-Host: gw"]),
        ("200", &["X-Forwarded-Method: GET", "X-Forwarded-Uri: https://outer.example.com/x/y"]),
        (
            UNCLEAR,
            &[
                "X-Forwarded-Method: GET",
                "X-Forwarded-Uri: https://outer.example.com/x/y",
                "X-Forwarded-Host: inner.example.com",
            ],
        ),
        (UNCLEAR, &["X-Original-Method: GET", "X-Original-URI: https://outer.example.com/x/y"]),
        (UNCLEAR, &["X-Forwarded-Method: GET", "X-Forwarded-Uri: http://outer.example.com@gw/x/y"]),
        (UNCLEAR, &["X-Forwarded-Method: GET", "X-Forwarded-Uri: ftp://gw/api/x"]),
        (UNCLEAR, &["X-Forwarded-Method: GET", "X-Forwarded-Uri: gw:80"]),
        (UNCLEAR, &["X-Forwarded-Method: GET", "X-Forwarded-Uri: api/x"]),
        (UNCLEAR, &["X-Forwarded-Method: GET", "X-Forwarded-Uri: *"]),
        (UNCLEAR, &["X-Forwarded-Method: GET", "X-Forwarded-Uri: "]),
        (UNCLEAR, &["X-Forwarded-Method: G T", "X-Forwarded-Uri: /api/x"]),
        (UNCLEAR, &["X-Forwarded-Method: GET", "X-Forwarded-Uri: /api/x HTTP/1.1"]),
        (AMBIGUOUS, &["X-Forwarded-Method: GET", "X-Forwarded-Uri: /admin/x#/../api/x"]),
        (AMBIGUOUS, &["X-Forwarded-Method: GET", "X-Forwarded-Uri: /api/x#"]),
        (AMBIGUOUS, &["X-Forwarded-Method: GET", "X-Forwarded-Uri: //outer.example.com/x/y"]),
        (AMBIGUOUS, &["X-Forwarded-Method: GET", "X-Forwarded-Uri: /public/%2e%2e%2fadmin/x"]),
        (AMBIGUOUS, &["X-Forwarded-Method: GET", "X-Forwarded-Uri: /api/%0d%0aX-Role:%20admin"]),
    ] {
        assert_eq!(verdict(lines), expected, "{lines:?}");
    }
    // The host chooses the route, as it would here.
    let by_host = |host| forwarded(&bench.caller(), "GET", "/x/y", host).send().verdict();
    assert_eq!(by_host("outer.example.com"), "200");
    assert_eq!(by_host("INNER.example.com.:443"), "403 scope_insufficient");
    assert_eq!(by_host("gw"), "404 not_found");
    assert_eq!(by_host("a b"), UNCLEAR);
    let key = &bench.key.text;
    let in_query = forwarded(&bench.gateway.anonymous(), "GET", &format!("/api/x?api_key={key}"), "gw");
    assert_eq!(in_query.send().verdict(), "401 credential_missing");
    assert_eq!(bench.upstream.count(), 0);
}

/// Envoy's HTTP service: its own method and `Host`, the path behind a prefix. No path behind it is read as another form.
#[test]
fn envoy_asks_by_the_path() {
    let bench = Bench::new(|setup| setup);
    let ask = |method: &str, path: &str| bench.caller().request(method, &format!("{DECIDE}/envoy{path}"));
    for (method, path, expected) in [
        ("GET", "/api/x?y=/z", "200"),
        ("POST", "/api/x", "403 scope_insufficient"),
        ("GET", "/admin/x", "403 scope_insufficient"),
        ("GET", "/nothing", "404 not_found"),
        ("GET", "/nginx", "404 not_found"),
        ("GET", "/api/../admin/x", "400 path_ambiguous"),
        ("GET", "//admin/x", "400 path_ambiguous"),
        ("GET", "/.latchgate/whoami", "404 not_found"),
    ] {
        assert_eq!(ask(method, path).send().verdict(), expected, "{method} {path}");
    }
    assert_eq!(ask("GET", "/x/y").host("outer.example.com").send().verdict(), "200");
    let other = ask("GET", "/admin/x").header("X-Original-Method", "GET").header("X-Original-URI", "/api/x");
    assert_eq!(other.send().verdict(), "400 request_malformed");
    let host = ask("GET", "/x/y").header("X-Forwarded-Host", "outer.example.com").send();
    assert_eq!(host.verdict(), "400 request_malformed");
    let spelled = bench.caller().get("/.latchgate/decide/%65nvoy/api/x");
    assert_eq!(spelled.verdict(), "400 request_malformed");
}

/// For nginx: 200, 401, 403 and 503 alone; the true status and code beside it, and no body.
#[test]
fn nginx_gets_answers_that_it_understands() {
    let bench = Bench::new(|setup| setup.set("auth.revocation_bound", "5s").set("auth.max_staleness", "60s"));
    let (good, anonymous) = (bench.caller(), bench.gateway.anonymous());
    let ask = |caller: &Caller, method: &str, uri: &str| {
        let answer = original(caller, NGINX, method, uri).send();
        assert_eq!(answer.body.length, 0, "{answer:?}");
        narrow(&answer)
    };
    for (caller, method, uri, expected) in [
        (&good, "GET", "/api/x", "200 200 ok"),
        (&good, "POST", "/api/x", "403 403 scope_insufficient"),
        (&good, "GET", "/nothing", "403 404 not_found"),
        (&good, "TRACE", "/api/x", "403 405 method_not_allowed"),
        (&good, "GET", "/a/../b", "403 400 path_ambiguous"),
        (&anonymous, "GET", "/api/x", "401 401 credential_missing"),
    ] {
        assert_eq!(ask(caller, method, uri), expected, "{method} {uri}");
    }
    let silent = good.get(NGINX);
    assert_eq!(narrow(&silent), "403 400 request_malformed");
    let limited = bench.gateway.key(&bench.limited.text);
    let first = original(&limited, NGINX, "GET", "/api/x").send();
    assert_eq!(first.header("ratelimit-policy"), Some("\"default\";q=2;w=60"));
    assert_eq!(ask(&limited, "GET", "/api/x"), "200 200 ok");
    let refused = original(&limited, NGINX, "GET", "/api/x").send();
    assert_eq!(narrow(&refused), "403 429 rate_limited");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    let page = original(&anonymous, NGINX, "GET", "/pages/a?b=c").header("Accept", "text/html").send();
    assert_eq!(narrow(&page), "401 303 credential_missing");
    assert_eq!(page.header("location"), Some("/.latchgate/sign-in?return_to=/pages/a%3Fb%3Dc"));
    bench.gateway.break_store();
    bench.gateway.clock.advance(std::time::Duration::from_secs(61));
    wait::until("the store to be missed", || ask(&good, "GET", "/api/x") == "503 503 store_unavailable");
    assert_eq!(forwarded(&good, "GET", "/api/x", "gw").send().verdict(), "503 store_unavailable");
    assert_eq!(ask(&anonymous, "GET", "/public/x"), "200 200 ok");
    bench.gateway.mend_store();
}

/// Limits, uses, networks and failures are the client's, not the proxy's; one request asked about is one.
#[test]
fn what_is_asked_about_counts_like_a_request() {
    let bench = Bench::new(|setup| setup.set("listen.trusted_proxies", vec!["127.0.0.1"]));
    let limited = bench.gateway.key(&bench.limited.text);
    let first = forwarded(&limited, "GET", "/api/x", "gw").send();
    assert_eq!(first.header("x-ratelimit-remaining"), Some("1"), "{first:?}");
    assert_eq!(limited.verdict("/api/x"), "200");
    let third = forwarded(&limited, "GET", "/api/x", "gw").send();
    assert_eq!(third.verdict(), "429 rate_limited");
    assert!(third.header("retry-after").is_some(), "{third:?}");
    let elsewhere = bench.gateway.key(&bench.elsewhere.text);
    let from = |client: &str| {
        forwarded(&elsewhere, "GET", "/api/x", "gw").header("X-Forwarded-For", client).send().verdict()
    };
    assert_eq!(from("203.0.113.9"), "200");
    assert_eq!(from("203.0.113.9, 198.51.100.7"), "403 ip_not_allowed", "what the client said is hearsay");
    assert_eq!(from("unknown"), "403 ip_not_allowed");
}

/// What only a body proves, and what only the gateway answers, is not decided for others.
#[test]
fn bodies_and_the_gateway_s_own_places_are_not_decided() {
    let upstream = Upstream::echo();
    let site = Site::new(setup(&upstream));
    std::fs::write(site.path("hub.secret"), "a secret of github's\n").expect("a secret");
    let webhook = "name = \"hub\"\nkind = \"github\"\nsecret_file = \"hub.secret\"\norg = \"default\"";
    let route =
        "name = \"hooks\"\npath = \"/hooks/{*rest}\"\nupstream = \"app\"\ncredentials = [\"webhook:hub\"]";
    site.configure(&setup(&upstream).webhook(webhook).route(route));
    let signer = Signer::new_shared(&site, &["--scopes", "scan:read,scan:trigger"]);
    let key = site.key(&["--scopes", "scan:read"]);
    let program = site.serve();
    let ask = |draft: &Draft| {
        let request = forwarded(&program.anonymous(), &draft.method, &draft.target, "gw");
        let fields = draft.fields.iter().map(|(name, value)| format!("{name}: {value}"));
        let lines: Vec<String> = fields.chain(signer.sign(draft)).collect();
        request.lines(&lines).send()
    };
    let read = signer.get("/api/x?y=1");
    let proved = ask(&read);
    assert_eq!(proved.verdict(), "200");
    assert_eq!(proved.header("x-auth-method"), Some("signed"));
    assert_eq!(ask(&read).verdict(), "401 replay_detected");
    let mut other = signer.get("/api/x");
    other.target = "/api/y".to_owned();
    let lines = signer.sign(&signer.get("/api/x"));
    let moved = forwarded(&program.anonymous(), "GET", "/api/y", "gw").lines(&lines).send();
    assert_eq!(moved.verdict(), "401 signature_invalid");
    assert_eq!(ask(&signer.post("/api/x", "{}")).verdict(), "501 not_implemented");
    let mut unsaid = signer.get("/api/x");
    unsaid.method = "POST".to_owned();
    assert_eq!(ask(&unsaid).verdict(), "401 signature_invalid", "there may be a body that is not covered");
    let hook = forwarded(&program.anonymous(), "POST", "/hooks/x", "gw");
    let hook = hook.header("X-Hub-Signature-256", &format!("sha256={}", "0".repeat(64))).send();
    assert_eq!(hook.verdict(), "501 not_implemented");
    for own in ["/v1/org", "/.latchgate/sign-in", "/.latchgate/whoami", "/.latchgate/decide", "/.latchgate"] {
        assert_eq!(
            forwarded(&program.key(&key.text), "GET", own, "gw").send().verdict(),
            "404 not_found",
            "{own}"
        );
    }
    assert_eq!(upstream.count(), 0);
}

/// People: the cookie counts, a change that another site may have made does not, and a browser is sent to sign in.
#[test]
fn sessions_count_and_browsers_are_sent_to_sign_in() {
    let bench = Bench::new(|setup| {
        setup.set("sessions.insecure_cookie", true).set("listen.hosts", vec!["gw", "app.example.com"])
    });
    let token = bench.gateway.admin().token(ADMIN);
    let cookie = bench.gateway.door().cookie(&format!("latchgate={token}"));
    let signed_in = forwarded(&cookie, "GET", "/pages/a", "gw").send();
    assert_eq!((signed_in.status, signed_in.header("x-auth-method")), (200, Some("session")));
    let foreign = forwarded(&cookie, "POST", "/pages/a", "gw").header("Sec-Fetch-Site", "cross-site").send();
    assert_eq!(foreign.verdict(), "403 forbidden");
    let upgrade = forwarded(&cookie, "GET", "/pages/a", "gw")
        .header("Upgrade", "websocket")
        .header("Origin", "https://evil.example")
        .send();
    assert_eq!(upgrade.verdict(), "403 forbidden");
    let browser = |host: &str, lines: &[&str]| {
        let ask = forwarded(&bench.gateway.anonymous(), "GET", "/pages/a?b=c", host);
        ask.header("Accept", "text/html").lines(lines).send()
    };
    let sent = browser("app.example.com", &["X-Forwarded-Proto: https"]);
    assert_eq!(sent.status, 303);
    assert_eq!(
        sent.header("location"),
        Some("https://app.example.com/.latchgate/sign-in?return_to=/pages/a%3Fb%3Dc")
    );
    assert_eq!(browser("gw", &[]).header("location"), Some("/.latchgate/sign-in?return_to=/pages/a%3Fb%3Dc"));
    let odd = browser("gw", &["X-Forwarded-Proto: javascript"]);
    assert_eq!(odd.header("location"), Some("/.latchgate/sign-in?return_to=/pages/a%3Fb%3Dc"));
    let stranger = browser("evil.example", &["X-Forwarded-Proto: https"]);
    assert_eq!(stranger.verdict(), "401 credential_missing", "nobody is sent to a host that is not ours");
}

/// The log line is about the request that was asked about; metrics and uses count it.
#[test]
fn what_was_decided_is_written_down() {
    let upstream = Upstream::echo();
    let site = Site::new(setup(&upstream));
    let key = site.key(&["--scopes", "scan:read"]);
    let program = site.serve();
    assert_eq!(forwarded(&program.key(&key.text), "GET", "/api/asked?secret=1", "gw").send().status, 200);
    assert_eq!(original(&program.key(&key.text), NGINX, "POST", "/api/asked").send().status, 403);
    let lines = program.requests_logged("/api/asked", 2);
    for (line, method, outcome) in [(&lines[0], "GET", "ok"), (&lines[1], "POST", "scope_insufficient")] {
        for (field, expected) in [
            ("method", method),
            ("outcome", outcome),
            ("route", "api"),
            ("host", "gw"),
            ("credential", &key.prefix),
        ] {
            assert_eq!(line[field], expected, "{field}: {line}");
        }
        assert!(line["upstream"].is_null(), "nothing was forwarded: {line}");
    }
    let counted = |code| program.metric("latchgate_requests_total", &[("route", "api"), ("code", code)]);
    assert!((counted("200") - 1.0).abs() < 0.1 && (counted("403") - 1.0).abs() < 0.1);
    wait::until("the use of the key", || {
        program.cli(&["keys", "show", &key.prefix]).json()["usage_count"] == 1
    });
}
