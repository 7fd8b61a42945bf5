//! Which route a path belongs to: one reading, or 400. What was matched is byte for byte what is forwarded.

use std::time::Duration;

use crate::support::{
    program::{Program, Site},
    rawc::exchange,
    rawup::Upstream,
    setup::Setup,
    wrong::Wrong,
};

/// Each route has an upstream of its own, so that a request that slips is seen where it came out.
struct House {
    public: Upstream,
    api: Upstream,
    admin: Upstream,
    program: Program,
    /// Holds `scan:read`, not what `/admin` needs.
    key: String,
}

impl House {
    fn new() -> Self {
        let (public, api, admin) = (Upstream::echo(), Upstream::echo(), Upstream::echo());
        let route =
            |name: &str, path: &str, more: &str| format!("name = \"{name}\"\npath = \"{path}\"\n{more}");
        let setup = Setup::bare("offload")
            .upstream("public", &public.url())
            .upstream("api", &api.url())
            .upstream("admin", &admin.url())
            .route(&route("public", "/public/{*rest}", "upstream = \"public\"\ncredentials = [\"none\"]"))
            .route(&route("health", "/api/health", "upstream = \"public\"\ncredentials = [\"none\"]"))
            .route(&route("api", "/api/{*rest}", "upstream = \"api\"\nrequire = \"scan:read\""))
            .route(&route("gets", "/gets/{*rest}", "upstream = \"api\"\nrequire = { GET = \"scan:read\" }"))
            .route(&route("admin", "/admin/{*rest}", "upstream = \"admin\"\nrequire = \"scan:manage\""))
            .route(&route(
                "hosted",
                "/hosted/{*rest}",
                "host = \"api.example\"\nupstream = \"public\"\ncredentials = [\"none\"]",
            ));
        let site = Site::new(setup);
        let key = site.key(&["--scopes", "scan:read"]).text;
        Self { public, api, admin, program: site.serve(), key }
    }

    /// Status and code for this target, asked with the key, byte for byte.
    fn ask(&self, target: &[u8]) -> String {
        let head = [b"GET ", target, b" HTTP/1.1\r\nHost: gw\r\n"].concat();
        let tail = format!("X-API-Key: {}\r\nConnection: close\r\n\r\n", self.key);
        let heard =
            exchange(self.program.gateway().0, [head, tail.into_bytes()].concat(), Duration::from_secs(4));
        assert_eq!(heard.responses.len(), 1, "{:?}: {:?}", String::from_utf8_lossy(target), heard.story());
        let answer = &heard.responses[0];
        // What is refused before it is a request may carry no problem; `heads` asks for one.
        if answer.header("content-type").is_none() { answer.status.to_string() } else { answer.verdict() }
    }

    fn table(&self, targets: &[&[u8]], verdicts: &[&str]) {
        let mut wrong = Wrong::default();
        for target in targets {
            let verdict = self.ask(target);
            let shown: String = String::from_utf8_lossy(target).chars().take(80).collect();
            wrong.unless(verdicts.contains(&verdict.as_str()), || format!("{shown}: {verdict}"));
        }
        assert_eq!(self.admin.count(), 0, "reached what needs another scope: {:?}", self.admin.requests());
        wrong.none(&format!("a path that must be {verdicts:?}"));
    }
}

/// C96, C97, C99, C101, C107, C108: a path that two programs could read differently is 400 before routing.
#[test]
fn ambiguous_paths_are_refused() {
    let house = House::new();
    let targets: &[&[u8]] = &[
        b"/public/../admin/x",
        b"/public/./x",
        b"/public/..",
        b"/public/.",
        b"/public/%2e%2e/admin/x",
        b"/public/.%2e/admin/x",
        b"/public/%2E./admin/x",
        b"/public/%2e/x",
        b"/public/..;/admin/x",
        b"/public/..;a=b/admin/x",
        b"/public/.;/x",
        b"/public/%2e%2e;/admin/x",
        b"/public/..%2fadmin/x",
        b"/public%2f..%2fadmin",
        b"/public/..%2Fadmin/x",
        b"/public/a%2fb",
        b"/public/..%5cadmin",
        b"/public/a%5Cb",
        b"/public/..\\admin",
        b"/public\\x",
        b"//admin/x",
        b"/public//../admin",
        b"///",
        b"/admin//x",
        b"//",
        b"/public/x//",
        b"/admin/x#/public/",
        b"/public/#/../../admin/x",
        b"/public/x#",
        b"/public/%",
        b"/public/%2",
        b"/public/%g1",
        b"/public/%u002f",
        b"/public/%c0%af",
        b"/public/%e0%80%af",
        b"/public/%ff",
        b"/public/%ed%a0%80",
        b"/public/\xc3\xa9",
        b"/public/\xff",
        b"/public/%0d%0aX:1",
        b"/public/%0a",
        b"/public/%00",
        b"/public/%7f",
        b"/public/%1b",
        b"/public/a\tb",
        b"/public/\x7f",
    ];
    house.table(targets, &["400 path_ambiguous", "400 request_malformed", "400"]);
    assert_eq!(house.public.count(), 0, "{:?}", house.public.requests());
}

/// C98, C102, C103: what is encoded twice stays encoded; a query is no path; `%3f` is no `?`.
#[test]
fn odd_but_plain_paths_are_forwarded_as_they_are() {
    let house = House::new();
    let mut wrong = Wrong::default();
    for target in [
        "/public/%252e%252e%252fadmin",
        "/public/a%3Fb",
        "/public/a%20b",
        "/public/a;b=c",
        "/public/~a-b_c.d",
        "/public/a%C3%A9",
        "/public/...",
        "/public/..a",
        "/public/a..",
        "/public/",
        "/public/x/",
        "/public/:@!$&'()*+,=",
        "/public/x?",
        "/public/x?a=1&a=2",
        "/public/x?a;b",
        "/public/x?%",
        "/public/x?a=%2B+%20",
        "/public/x?a=../..//%2f",
        "/public/x??#".trim_end_matches('#'),
    ] {
        house.public.forget();
        let verdict = house.ask(target.as_bytes());
        let seen = house.public.requests().pop().map(|seen| seen.target);
        wrong.unless(verdict == "200" && seen.as_deref() == Some(target), || {
            format!("{target}: {verdict}, forwarded {seen:?}")
        });
    }
    wrong.none("an odd path");
}

/// RFC 3986 section 6.2.2: one form of what is written in several is matched and forwarded, so that the upstream cannot read
/// it differently; the query stays as it is.
#[test]
fn the_normal_form_is_forwarded() {
    let house = House::new();
    for (target, forwarded) in [
        ("/public/%41%7e%2d", "/public/A~-"),
        ("/public/a%3fb?%41", "/public/a%3Fb?%41"),
        ("/public/%c3%a9", "/public/%C3%A9"),
        ("/%70ublic/x", "/public/x"),
    ] {
        assert_eq!(house.ask(target.as_bytes()), "200", "{target}");
        assert_eq!(house.public.last().target, forwarded);
    }
}

/// C102: nothing in the query changes the route.
#[test]
fn a_query_changes_no_route() {
    let house = House::new();
    house.table(
        &[b"/admin/x?/public/", b"/admin/x?a=/public/b", b"/admin/x?%2f..%2fpublic", b"/admin/?x"],
        &["403 scope_insufficient"],
    );
}

/// C119: a query passes byte for byte, also a long one.
#[test]
fn a_query_passes_byte_for_byte() {
    let house = House::new();
    let long = format!("/public/x?{}", "a=%2B;&".repeat(1000));
    assert_eq!(house.ask(long.as_bytes()), "200");
    assert_eq!(house.public.last().target, long);
}

/// C104, C106, C117: paths match by whole segments and by case; what matches nothing is 404 and goes nowhere.
#[test]
fn paths_match_by_segment_and_case() {
    let house = House::new();
    let targets: &[&[u8]] = &[
        b"/nope",
        b"/",
        b"/apix",
        b"/api-internal",
        b"/api.",
        b"/api",
        b"/public",
        b"/PUBLIC/x",
        b"/Public/x",
        b"/%70ublicx/y",
        b"/hosted/x",
    ];
    house.table(targets, &["404 not_found"]);
    assert_eq!(house.public.count() + house.api.count(), 0);
    // An encoded letter is the letter (RFC 3986 section 2.3), so the rule for /admin holds; or nothing matches.
    house.table(
        &[b"/ADMIN/x", b"/aDmIn/x", b"/%41dmin/x", b"/%61dmin/x"],
        &["404 not_found", "403 scope_insufficient", "400 path_ambiguous"],
    );
}

/// C118: of two rules the narrower holds for exactly what it names.
#[test]
fn the_narrower_rule_holds_for_what_it_names() {
    let house = House::new();
    let anonymous = |target: &str| house.program.anonymous().verdict(target);
    assert_eq!(anonymous("/api/health"), "200");
    assert_eq!(anonymous("/api/health?x"), "200");
    for target in ["/api/healthz", "/api/health/", "/api/health/keys", "/api/Health"] {
        assert_eq!(anonymous(target), "401 credential_missing", "{target}");
    }
    for target in ["/api/health/../keys", "/api/health;/keys"] {
        assert_eq!(anonymous(target), "400 path_ambiguous", "{target}");
    }
}

/// C111: an absolute form is judged like an origin form.
#[test]
fn absolute_forms_are_judged_alike() {
    let house = House::new();
    house.table(
        &[b"http://gw/public/../admin/x", b"http://gw/public/%2e%2e/admin/x", b"http://gw//admin/x"],
        &["400 path_ambiguous"],
    );
    house.table(&[b"http://gw/admin/x"], &["403 scope_insufficient"]);
    assert_eq!(house.ask(b"http://gw/public/x"), "200");
    assert_eq!(house.public.last().target, "/public/x");
}

/// C113: long targets are 414, quickly.
#[test]
fn long_targets_are_refused() {
    let house = House::new();
    let mut wrong = Wrong::default();
    for path in [
        "a".repeat(9 << 10),
        "a/".repeat(10_000),
        "../".repeat(10_000),
        "a".repeat(65_535),
        "%41".repeat(5_000),
    ] {
        let verdict = house.ask(format!("/public/{path}").as_bytes());
        wrong
            .unless(["414 uri_too_long", "431 headers_too_large", "431"].contains(&verdict.as_str()), || {
                format!("{} bytes: {verdict}", path.len())
            });
    }
    wrong.none("a long target");
    assert_eq!(house.ask(format!("/public/{}", "a".repeat(7 << 10)).as_bytes()), "200", "8 KiB are fine");
}

/// C114: a host is matched without case, port and trailing dot, and never by its end.
#[test]
fn hosts_match_in_their_canonical_form() {
    let house = House::new();
    let verdict = |host: &str| {
        let bytes = format!("GET /hosted/x HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        exchange(house.program.gateway().0, bytes, Duration::from_secs(4)).responses[0].verdict()
    };
    for host in ["api.example", "API.Example", "api.example:80", "api.example:8080"] {
        assert_eq!(verdict(host), "200", "{host}");
    }
    assert!(["200", "400 request_malformed"].contains(&verdict("api.example.").as_str()));
    for host in
        ["evilapi.example", "api.example.evil", "x.api.example", "api", "127.0.0.1", "xn--api-.example"]
    {
        assert_eq!(verdict(host), "404 not_found", "{host}");
    }
}

/// C116: HEAD needs what GET needs; a method nobody allowed is 405; a preflight passes only where configured.
#[test]
fn methods_without_a_rule_are_refused() {
    let house = House::new();
    let caller = house.program.key(&house.key);
    assert_eq!(caller.request("HEAD", "/gets/x").send().status, 200);
    let anonymous = house.program.anonymous();
    assert_eq!(anonymous.request("HEAD", "/gets/x").send().status, 401);
    assert_eq!(anonymous.request("HEAD", "/admin/x").send().status, 401);
    for method in ["POST", "DELETE", "OPTIONS", "PATCH", "BREW"] {
        let answer = caller.request(method, "/gets/x").send();
        assert_eq!(answer.verdict(), "405 method_not_allowed", "{method}");
    }
    let preflight = anonymous
        .request("OPTIONS", "/api/x")
        .header("Origin", "https://a.example")
        .header("Access-Control-Request-Method", "GET");
    assert_eq!(preflight.send().verdict(), "401 credential_missing");
}

/// `cors_preflight = true` lets preflights pass without a credential, and nothing else.
#[test]
fn a_preflight_passes_where_configured() {
    let upstream = Upstream::echo();
    let route = "name = \"web\"\npath = \"/web/{*rest}\"\nupstream = \"app\"\ncors_preflight = true\nrequire = \"scan:read\"";
    let program = Site::new(Setup::offload(&upstream).route(route)).serve();
    let options = || program.anonymous().request("OPTIONS", "/web/x");
    let preflight =
        options().header("Origin", "https://a.example").header("Access-Control-Request-Method", "GET");
    assert_eq!(preflight.send().verdict(), "200");
    assert_eq!(options().send().verdict(), "401 credential_missing", "no preflight");
    assert_eq!(
        program
            .anonymous()
            .request("GET", "/web/x")
            .header("Access-Control-Request-Method", "GET")
            .send()
            .verdict(),
        "401 credential_missing"
    );
}
