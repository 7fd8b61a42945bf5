//! Real proxies that ask the gateway and forward themselves: the files of `deploy/proxies`, with other addresses.

use crate::support::{
    asker::Asker,
    gateway::Gateway,
    program::{Key, Site},
    rawup::Upstream,
    request::{Caller, Door},
    setup::Setup,
    wait,
};

/// What a client says of itself, in the spellings that servers cannot tell apart.
const SPOOFED: [&str; 18] = [
    "X-Tenant-Id: spoofed",
    "x-tenant-id: spoofed",
    "X-Team-Id: spoofed",
    "X-Project-Id: spoofed",
    "X-User-Id: spoofed",
    "X-Role: spoofed",
    "X-Scopes: spoofed",
    "X-Auth-Method: spoofed",
    "X-Latchgate-Assertion: spoofed",
    "X_Tenant_Id: spoofed",
    "X.Tenant.Id: spoofed",
    "X-Client-Cert-Subject: CN=spoofed",
    "X-Real-IP: spoofed",
    // A request for something else, to a framework that reads them.
    "X-HTTP-Method-Override: spoofed",
    "X-Method-Override: spoofed",
    "X-Original-URL: /spoofed",
    "X-Rewrite-URL: /spoofed",
    "X-Middleware-Subrequest: spoofed",
];

struct Bench {
    backend: Upstream,
    gateway: Gateway,
    tenant: String,
    key: Key,
    limited: Key,
    elsewhere: Key,
}

impl Bench {
    fn new() -> Self {
        Self::with(|setup| setup)
    }

    fn with(configure: impl FnOnce(Setup) -> Setup) -> Self {
        let backend = Upstream::echo();
        let site = Site::new(configure(
            Setup::offload(&backend)
                .set("listen.trusted_proxies", vec!["127.0.0.1"])
                .set("auth.max_staleness", "60s")
                .set("auth.revocation_bound", "5s"),
        ));
        let tenant = site.org();
        let key = site.key(&["--scopes", "scan:read"]);
        let limited =
            site.key(&["--scopes", "scan:read", "--name", "limited", "--rate-limit-per-minute", "1"]);
        let elsewhere =
            site.key(&["--scopes", "scan:read", "--name", "elsewhere", "--allowed-ips", "203.0.113.0/24"]);
        Self { backend, gateway: Gateway::start(site), tenant, key, limited, elsewhere }
    }

    /// What every proxy has to show; `limit` is the status of a key that called too often.
    fn holds(&self, proxy: Door, limit: u16) {
        let caller = |key: &Key| proxy.key(&key.text);
        let get = |caller: &Caller, target: &str, lines: &[&str]| {
            caller.request("GET", target).lines(lines).send().status
        };
        self.backend.forget();
        assert_eq!(get(&caller(&self.key), "/api/x?y=1", &SPOOFED), 200);
        let seen = self.backend.last();
        for (name, value) in [
            ("x-tenant-id", Some(self.tenant.as_str())),
            ("x-credential-id", Some(self.key.prefix.as_str())),
            ("x-scopes", Some("scan:read")),
            ("x-auth-method", Some("api_key")),
            ("x-project-id", None),
            ("x-latchgate-assertion", None),
            ("x-api-key", None),
        ] {
            assert_eq!(seen.header(name), value, "{name}");
        }
        assert!(!self.backend.record().contains("spoofed"), "{}", self.backend.record());
        assert_eq!(seen.target, "/api/x?y=1");
        assert_eq!(get(&proxy.anonymous(), "/public/x", &SPOOFED), 200);
        assert!(!self.backend.record().contains("spoofed"), "{}", self.backend.record());

        self.backend.forget();
        assert_eq!(get(&proxy.anonymous(), "/api/x", &[]), 401);
        assert_eq!(caller(&self.key).request("POST", "/api/x").body("a body").send().status, 403);
        assert_eq!(get(&caller(&self.key), "/admin/x", &[]), 403);
        assert_eq!(
            get(&caller(&self.elsewhere), "/api/x", &["X-Forwarded-For: 203.0.113.9"]),
            403,
            "hearsay"
        );
        // The question in other words, from the client: it spoils nothing but its own request.
        for lines in [
            &["X-Forwarded-Method: GET", "X-Forwarded-Uri: /public/x"] as &[_],
            &["X-Original-Method: GET", "X-Original-URI: /public/x"],
            &["X-Forwarded-Uri: /public/x"],
            &["X-Original-URI: /public/x"],
            &["X-Forwarded-Host: other.example.com"],
        ] {
            assert_eq!(get(&caller(&self.key), "/admin/x", lines), 403, "{lines:?}");
            assert_eq!(get(&proxy.anonymous(), "/admin/x", lines), 401, "{lines:?}");
        }
        for path in [
            "/public/../admin/x",
            "/public/%2e%2e/admin/x",
            "//admin/x",
            "/public/..%2fadmin/x",
            "/public/..;/admin/x",
        ] {
            let status = get(&caller(&self.key), path, &[]);
            assert!((400..=404).contains(&status), "{path}: {status}");
        }
        assert_eq!(
            get(
                &caller(&self.key),
                "/.latchgate/decide",
                &["X-Original-Method: GET", "X-Original-URI: /api/x"]
            ),
            404
        );
        assert_eq!(self.backend.count(), 0, "{}", self.backend.record());

        assert_eq!(get(&caller(&self.limited), "/api/x", &[]), 200);
        assert_eq!(get(&caller(&self.limited), "/api/x", &[]), limit);
        self.gateway.clock.advance(std::time::Duration::from_secs(61));
        assert_eq!(get(&caller(&self.limited), "/api/x", &[]), 200);
        assert_eq!(get(&caller(&self.limited), "/api/x", &[]), limit);

        self.backend.forget();
        self.gateway.break_store();
        self.gateway.clock.advance(std::time::Duration::from_secs(61));
        // The store is down, which says nothing about the key.
        wait::until("no answer about the key", || get(&caller(&self.key), "/api/x", &[]) >= 500);
        self.backend.forget();
        assert!(get(&caller(&self.key), "/api/x", &[]) >= 500);
        self.gateway.mend_store();
        assert_eq!(self.backend.count(), 0);
    }
}

impl Bench {
    /// The cookies of the gateway's pages are the gateway's; the backend gets its own.
    fn cookies_stay_apart(&self, caller: &Caller) {
        for (sent, expected) in [
            ("a=1; b=latchgate=2; xlatchgate=3", &["a=1", "b=latchgate=2", "xlatchgate=3"] as &[&str]),
            ("__Host-latchgate=secret", &[]),
            ("__Host-latchgate=secret; a=1", &["a=1"]),
            ("a=1;  __Host-latchgate=secret;__Host-latchgate-form=secret; b=2", &["a=1", "b=2"]),
            ("latchgate=secret; a=1; __Host-latchgate-oidc=secret; __Host-latchgate=secret", &["a=1"]),
        ] {
            self.backend.forget();
            let line = format!("Cookie: {sent}");
            assert_eq!(caller.request("GET", "/public/x").lines(&[&line]).send().status, 200, "{sent}");
            let seen = self.backend.last();
            let cookies = seen.header("cookie").unwrap_or_default();
            let left: Vec<&str> =
                cookies.split(';').map(str::trim).filter(|cookie| !cookie.is_empty()).collect();
            assert_eq!(left, expected, "{sent}");
        }
    }
}

#[test]
fn nginx_asks_with_auth_request() {
    let bench = Bench::new();
    let nginx = Asker::nginx(bench.gateway.door(), bench.backend.address());
    // Names that only some servers would read as ours never arrive.
    bench.backend.forget();
    let odd = ["X_Tenant_Id: spoofed", "X.Tenant.Id: spoofed", "X_Original_URI: /public/x"];
    assert_eq!(nginx.door().key(&bench.key.text).request("GET", "/api/x").lines(&odd).send().status, 200);
    assert!(!bench.backend.record().contains("spoofed"), "{}", bench.backend.record());
    bench.cookies_stay_apart(&nginx.door().anonymous());
    bench.holds(nginx.door(), 429);
}

#[test]
fn caddy_asks_with_forward_auth() {
    let bench = Bench::new();
    let caddy = Asker::caddy(bench.gateway.door(), bench.backend.address());
    let refused = caddy.door().anonymous().get("/api/x");
    assert_eq!(refused.code(), "credential_missing", "the gateway's own words");
    assert!(refused.header("www-authenticate").is_some());
    bench.cookies_stay_apart(&caddy.door().anonymous());
    bench.holds(caddy.door(), 429);
}

/// The signed identity comes through a proxy that asks, in the place of what the client sent.
#[test]
fn assertions_come_with_the_answer() {
    let bench =
        Bench::with(|setup| setup.set("listen.ext_authz", "127.0.0.1:0").set("identity.assertion", true));
    let (gateway, backend) = (bench.gateway.door(), bench.backend.address());
    let proxies = [
        Asker::nginx(gateway, backend),
        Asker::caddy(gateway, backend),
        Asker::envoy(gateway, bench.gateway.ext_authz(), backend),
    ];
    for proxy in proxies {
        bench.backend.forget();
        assert_eq!(
            proxy.door().key(&bench.key.text).request("GET", "/api/x").lines(&SPOOFED).send().status,
            200
        );
        let token = bench.backend.last().header("x-latchgate-assertion").map(str::to_owned);
        assert_eq!(token.map(|token| token.split('.').count()), Some(3), "{}", bench.backend.record());
        assert!(!bench.backend.record().contains("spoofed"), "{}", bench.backend.record());
    }
}

/// The bodies of refusals are the gateway's own; an Envoy that gets no answer lets nobody in.
#[test]
fn envoy_asks_over_grpc() {
    let bench = Bench::with(|setup| setup.set("listen.ext_authz", "127.0.0.1:0"));
    let envoy = Asker::envoy(bench.gateway.door(), bench.gateway.ext_authz(), bench.backend.address());
    let (door, key) = (envoy.door(), &bench.key.text);
    let missing = door.anonymous().get("/api/x");
    assert_eq!(missing.code(), "credential_missing");
    assert_eq!(missing.header("www-authenticate"), Some("Bearer realm=\"latchgate\""));
    let lacking = door.key(key).request("POST", "/api/x").body("a body").send();
    assert_eq!(lacking.verdict(), "403 scope_insufficient");
    assert_eq!(door.key(key).verdict("/nothing"), "404 not_found");
    let two = door.key(key).request("GET", "/api/x").header("Authorization", "Bearer osk_other").send();
    assert_eq!(two.verdict(), "400 credential_conflict");
    let twice = door.key(key).request("GET", "/api/x").header("X-API-Key", "osk_other").send();
    assert_eq!(twice.verdict(), "400 credential_conflict");
    let odd = ["X_Tenant_Id: spoofed", "X.Tenant.Id: spoofed", "Cookie: theirs=1; __Host-latchgate=x"];
    let sent = door.key(key).request("GET", "/api/x").lines(&odd).header("X-Kept", "yes").send();
    assert_eq!(sent.status, 200);
    let seen = bench.backend.last();
    assert!(!bench.backend.record().contains("spoofed"), "{}", bench.backend.record());
    assert_eq!((seen.header("cookie"), seen.header("x-kept")), (Some("theirs=1"), Some("yes")));
    let limited = door.key(&bench.limited.text);
    assert_eq!(limited.get("/api/x").header("x-ratelimit-limit"), Some("1"));
    let refused = limited.get("/api/x");
    assert_eq!(refused.verdict(), "429 rate_limited");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    bench.gateway.clock.advance(std::time::Duration::from_secs(61));
    bench.holds(door, 429);
    let Bench { backend, gateway, .. } = bench;
    drop(gateway);
    backend.forget();
    let closed = door.key(key).get("/api/x");
    assert_eq!((closed.status, backend.count()), (403, 0), "no answer is a no");
}
