//! What the control plane answers on the gateway's port, and under which names.

use serde_json::{Value, json};

use crate::support::{
    program::Site, rawc::Response, rawup::Upstream, request::Door, setup::Setup, wait, wrong::Wrong,
};

const V1: &str = "name = \"admin-api\"\npath = \"/v1/{*rest}\"\nupstream = \"@control\"";

/// Everything to an upstream, `/v1` to the admin API.
fn setup(upstream: &Upstream) -> Setup {
    Setup::offload(upstream).route(V1)
}

fn post(caller: &crate::support::request::Caller, path: &str, body: &Value) -> Response {
    caller.request("POST", path).header("Content-Type", "application/json").body(body.to_string()).send()
}

/// Asks with this `Host`, without a credential.
fn asked_as(door: Door, host: &str, path: &str) -> Response {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    door.connect().send(request).receive()
}

/// The admin API on the gateway's port: proved once, counted once, one line in the log, under the route's name.
#[test]
fn the_admin_api_answers_on_the_gateways_port() {
    let upstream = Upstream::echo();
    let site = Site::new(setup(&upstream));
    let scopes = "api_key:create,api_key:read,api_key:revoke,scan:read";
    let key = site.key(&["--scopes", scopes, "--rate-limit-per-minute", "10"]);
    let program = site.serve();
    let caller = program.key(&key.text);

    let made = post(&caller, "/v1/api-keys", &json!({ "name": "made here", "scopes": ["scan:read"] }));
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.header("x-ratelimit-remaining"), Some("9"), "one request is one of the limit");
    let full = made.json()["key"].as_str().expect("the full key").to_owned();
    assert_eq!(program.key(&full).verdict("/api/x"), "200");
    let path = format!("/v1/api-keys/{}", made.json()["id"].as_str().expect("an id"));
    assert_eq!(caller.request("DELETE", &path).send().status, 204);
    assert_eq!(
        program.key(&full).verdict("/api/x"),
        "401 credential_revoked",
        "in force when it is answered"
    );

    let lines = program.requests_logged("/v1/api-keys", 1);
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line = &lines[0];
    for (field, expected) in [
        ("route", "admin-api"),
        ("upstream", "@control"),
        ("credential", &key.prefix),
        ("auth_method", "api_key"),
        ("outcome", "ok"),
        ("host", "gw"),
    ] {
        assert_eq!(line[field], expected, "{field}: {line}");
    }
    assert_eq!(line["request_id"].as_str(), made.header("x-request-id"));
    assert!(line["bytes_in"].as_u64() > Some(10) && line["tenant"].is_string() && line["team"].is_string());
    let ok = [("method", "api_key"), ("outcome", "ok")];
    assert!((program.metric("latchgate_auth_total", &ok) - 3.0).abs() < 0.1, "{}", program.metrics());
    let counted = [("route", "admin-api"), ("code", "201")];
    assert!((program.metric("latchgate_requests_total", &counted) - 1.0).abs() < 0.1);
    wait::until("the uses of the key", || {
        program.cli(&["keys", "show", &key.prefix]).json()["usage_count"] == 2
    });

    assert_eq!(program.anonymous().verdict("/v1/api-keys"), "401 credential_missing");
    assert_eq!(program.anonymous().get("/v1/openapi.json").status, 200);
    assert_eq!(program.key(&key.text).verdict("/v1/nothing"), "404 not_found");
    assert_eq!(program.anonymous().request("TRACE", "/v1/org").send().verdict(), "405 method_not_allowed");
    assert_eq!(upstream.count(), 1, "nothing of it reached the upstream");
}

/// The rate limit is the key's own, whichever plane answers; a wrong key is logged once with its prefix.
#[test]
fn limits_and_failures_are_those_of_the_gateway() {
    let upstream = Upstream::echo();
    let site =
        Site::new(setup(&upstream).set("limits.body_bytes", "2KiB").set("limits.request_timeout", "300ms"));
    let key =
        site.key(&["--scopes", "api_key:read,api_key:create,scan:read", "--rate-limit-per-minute", "3"]);
    let program = site.serve();
    let caller = program.key(&key.text);
    assert_eq!(caller.verdict("/api/x"), "200");
    assert_eq!(caller.verdict("/v1/api-keys"), "200");
    let large = "x".repeat(3000);
    let answer = post(&caller, "/v1/api-keys", &json!({ "name": large }));
    assert_eq!(answer.verdict(), "413 body_too_large");
    assert_eq!(caller.verdict("/v1/api-keys"), "429 rate_limited");
    assert!(program.metric("latchgate_rate_limited_total", &[("route", "admin-api")]) > 0.5);

    let slow = program.site.key(&["--scopes", "api_key:create", "--name", "slow"]).text;
    let mut client = program.gateway().connect();
    let head = format!(
        "POST /v1/api-keys HTTP/1.1\r\nHost: gw\r\nX-API-Key: {slow}\r\nContent-Type: application/json\r\n"
    );
    let answer = client.send(format!("{head}Content-Length: 100\r\n\r\n{{")).receive();
    assert_eq!(
        (answer.verdict().as_str(), answer.header("connection")),
        ("408 request_timeout", Some("close"))
    );

    let wrong = format!("osk_{}_{}", key.prefix, "a".repeat(38));
    assert!(program.key(&wrong).verdict("/v1/org").starts_with("401 credential_"));
    let failed = wait::for_some("the failure's line", || {
        let lines: Vec<Value> =
            program.log().into_iter().filter(|line| line["msg"] == "api_key.auth_failed").collect();
        (!lines.is_empty()).then_some(lines)
    });
    assert_eq!(failed.len(), 1, "{failed:?}");
}

/// The path that is judged is the path that is asked for, and its own host is what an absolute target names.
#[test]
fn the_target_is_read_as_for_an_upstream() {
    let upstream = Upstream::echo();
    let program = Site::new(setup(&upstream)).serve();
    for (target, verdict) in [
        ("/v1/openapi%2ejson", "200"),
        ("/v1/../v1/openapi.json", "400 path_ambiguous"),
        ("/v1//openapi.json", "400 path_ambiguous"),
        ("/v1%2fopenapi.json", "400 path_ambiguous"),
        ("http://gw/v1/openapi.json", "200"),
        ("http://evil.example/v1/openapi.json", "421 misdirected_request"),
    ] {
        assert_eq!(program.anonymous().verdict(target), verdict, "{target}");
    }
}

/// L306: a stranger's name that points here is answered by nothing that is the gateway's own.
#[test]
fn a_strangers_name_is_misdirected() {
    let upstream = Upstream::echo();
    let routed =
        "name = \"hosted\"\nhost = \"api.example.com\"\npath = \"/v1/{*rest}\"\nupstream = \"@control\"";
    let setup = setup(&upstream).route(routed).set("listen.public_url", "https://Gate.example.com:8443");
    let program = Site::new(setup.clone()).serve();
    let (gateway, admin) = (program.gateway(), program.admin());
    let mut wrong = Wrong::default();
    for (host, known) in [
        ("localhost", true),
        ("LOCALHOST.:1", true),
        ("127.0.0.1:8081", true),
        ("192.0.2.9", true),
        ("[::1]:8081", true),
        ("gate.example.com", true),
        ("GATE.example.com:8443", true),
        ("api.example.com", true),
        ("gw", true),
        ("evil.example", false),
        ("evil.example:8081", false),
        ("127.0.0.1.evil.example", false),
        ("localhost.evil.example", false),
        ("gate.example.com.evil.example", false),
        ("xgate.example.com", false),
        ("gw.evil.example", false),
        ("2130706433", false),
    ] {
        for (place, door, path, there) in [
            ("admin port", admin, "/v1/openapi.json", 200),
            ("admin port", admin, "/nothing", 404),
            ("@control", gateway, "/v1/openapi.json", 200),
            ("pages", gateway, "/.latchgate/nothing", 404),
        ] {
            let expected = if known { there } else { 421 };
            let answer = asked_as(door, host, path);
            wrong.unless(answer.status == expected, || format!("{place} as {host}: {}", answer.status));
            if !known {
                wrong
                    .unless(answer.code() == "misdirected_request", || format!("{place}: {}", answer.code()));
            }
        }
        // What is an upstream's is asked for by whatever name.
        let forwarded = asked_as(gateway, host, "/public/x");
        wrong.unless(forwarded.status == 200, || format!("forwarded as {host}: {}", forwarded.status));
    }
    wrong.none("a name");
    let mut old = admin.connect();
    assert_eq!(
        old.send("GET /v1/openapi.json HTTP/1.0\r\n\r\n").receive().status,
        200,
        "no browser omits it"
    );

    let names = toml::Value::Array(vec!["Gate.internal".into()]);
    program.site.configure(&setup.set("listen.hosts", names));
    program.sighup();
    wait::until("the new name", || asked_as(admin, "gate.internal:8081", "/v1/openapi.json").status == 200);
    assert_eq!(asked_as(gateway, "gw", "/v1/openapi.json").status, 421, "the old name is gone");
}

/// L324: the admin API is reached through the gateway's port only where a route says so, whatever the request claims.
#[test]
fn without_a_route_the_admin_api_is_not_there() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let key = site.key(&["--scopes", "api_key:read"]).text;
    let program = site.serve();
    let admin = program.admin().0;
    for path in ["/v1/api-keys", "/admin/api", "/@control", "/@control/v1/org", "/v1/openapi.json"] {
        for host in [&*admin.to_string(), "admin", "localhost", "@control"] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nX-API-Key: {key}\r\n\r\n");
            let answer = program.gateway().connect().send(request).receive();
            assert!(matches!(answer.status, 400 | 403 | 404), "{path} at {host}: {answer:?}");
        }
    }
    let absolute = format!("GET http://{admin}/v1/api-keys HTTP/1.1\r\nHost: gw\r\nX-API-Key: {key}\r\n\r\n");
    assert_eq!(program.gateway().connect().send(absolute).receive().status, 404);
}

/// A route to the admin API makes no conditions of its own: those would be a second, other truth.
#[test]
fn conditions_on_a_route_to_the_admin_api_are_refused() {
    let site = Site::new(Setup::bare("offload"));
    for condition in [
        "credentials = [\"api_key\"]",
        "credentials = [\"none\"]",
        "require = \"scan:read\"",
        "team = \"{team_id}\"",
        "project = \"{team_id}\"",
        "cors_preflight = false",
    ] {
        let route = V1.replace("{*rest}", "teams/{team_id}");
        site.configure(&site.setup.clone().route(&format!("{route}\n{condition}")));
        let refused = site.plain(&["check"], "");
        let key = condition.split(' ').next().expect("a key");
        assert_eq!(refused.code, 2, "{condition}: {refused:?}");
        assert!(refused.stderr.contains(&format!("route[0].{key}: does not go with")), "{}", refused.stderr);
    }
    site.configure(&site.setup.clone().route(&V1.replace("/v1", "/gate/v1")));
    let warned = site.plain(&["check"], "");
    assert_eq!(warned.code, 0, "{warned:?}");
    assert!(format!("{}{}", warned.stdout, warned.stderr).contains("nothing is here"), "{warned:?}");
    site.configure(&site.setup.clone().route(V1));
    let fine = site.plain(&["check"], "");
    assert!(fine.code == 0 && fine.stdout.contains("@control"), "{fine:?}");
    let explained = site.plain(&["explain", "--method", "GET", "--path", "/v1/org"], "");
    assert!(explained.stdout.contains("it judges the credential"), "{explained:?}");
}

/// At the end of the program a request under way at the admin API is answered.
#[test]
fn a_request_under_way_is_answered_at_the_end() {
    let upstream = Upstream::echo();
    let site = Site::new(setup(&upstream));
    let key = site.key(&["--scopes", "api_key:create,scan:read"]).text;
    let mut program = site.serve();
    let body = json!({ "name": "last", "scopes": ["scan:read"] }).to_string();
    let mut client = program.gateway().connect();
    client.send(format!(
        "POST /v1/api-keys HTTP/1.1\r\nHost: gw\r\nX-API-Key: {key}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        body.len()
    ));
    // The body is asked for when the key is known.
    let asked = client.receive_bytes("HTTP/1.1 100 Continue\r\n\r\n".len());
    assert!(asked.starts_with(b"HTTP/1.1 100"), "{}", client.record());
    program.sigterm();
    wait::until("the end to begin", || {
        program
            .messages()
            .iter()
            .any(|line| line["msg"].as_str().is_some_and(|text| text.contains("draining")))
    });
    assert_eq!(client.send(&body).receive_to("POST").status, 201);
    assert!(program.ended().success());
}

/// I: whoever sends forms slowly takes no place from the API, and none for long.
#[test]
fn slow_forms_do_not_keep_the_api_waiting() {
    let upstream = Upstream::echo();
    let proxies = vec!["127.0.0.0/8"];
    let settings =
        setup(&upstream).set("limits.request_timeout", "1s").set("listen.trusted_proxies", proxies);
    let site = Site::new(settings);
    let key = site.key(&["--scopes", "api_key:read"]).text;
    let program = site.serve();
    let slow_forms_of = |address: &str| {
        let head = format!(
            "POST /.latchgate/sign-in HTTP/1.1\r\nHost: gw\r\nX-Forwarded-For: {address}\r\nContent-Length: 100\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nExpect: 100-continue\r\n\r\n"
        );
        let mut slow: Vec<_> = (0..128).map(|_| program.gateway().connect()).collect();
        for client in &mut slow {
            client.send(&head);
        }
        for client in &mut slow {
            // From here on its form is waited for.
            client.receive_bytes("HTTP/1.1 100 Continue\r\n\r\n".len());
        }
        slow
    };
    let page_for = |address: &str| {
        let asked = program.anonymous().request("GET", "/.latchgate/sign-in");
        asked.header("X-Forwarded-For", address).send().status
    };
    let mut slow = slow_forms_of("192.0.2.1");
    assert_eq!((page_for("192.0.2.1"), page_for("192.0.2.2")), (503, 200), "nobody keeps all others out");
    let _further = slow_forms_of("192.0.2.3");
    assert_eq!(page_for("192.0.2.2"), 503);
    assert_eq!(program.key(&key).verdict("/v1/api-keys"), "200");
    assert_eq!(program.admin().anonymous().verdict("/.latchgate/sign-in"), "200");
    let answer = slow.remove(0).receive();
    assert_eq!((answer.status, answer.header("connection")), (408, Some("close")));
    wait::until("the places to be free", || page_for("192.0.2.1") == 200);
}
