//! What strangers send, and what every answer says.

use serde_json::json;

use super::{World, ask, offload};
use crate::support::{rawc::Response, wrong::Wrong};

/// I256: JSON that is meant to hurt is refused by its kind, and nothing is half done.
#[test]
fn json_abuse_is_refused() {
    let world = World::new();
    let send = |body: &[u8]| {
        world.root.request("POST", "/v1/teams").header("Content-Type", "application/json").body(body).send()
    };
    let deep = [b"{\"name\":".as_slice(), "[".repeat(100_000).as_bytes()].concat();
    let closed = format!("{{\"name\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let before = world.program.site.count("teams");
    for body in [
        deep.as_slice(),
        closed.as_bytes(),
        b"{\"name\":\"a\",\"name\":\"b\"}",
        b"{\"name\":1e999}",
        b"{\"name\":\"\\ud800\"}",
        b"\xef\xbb\xbf{\"name\":\"a\"}",
        b"{\"name\":\"a\xff\"}",
        b"{\"name\":\"a\"} {}",
        b"[{\"name\":\"a\"}]",
        b"\"name\"",
        b"{\"name\":\"a\"",
        b"{name:1}",
    ] {
        let answer = send(body);
        assert_eq!(
            answer.verdict(),
            "400 request_malformed",
            "{}",
            String::from_utf8_lossy(&body[..body.len().min(30)])
        );
    }
    assert_eq!(send(&vec![b' '; (1 << 20) + 1]).verdict(), "413 body_too_large");
    assert_eq!(world.program.site.count("teams"), before);
    assert_eq!(world.root.get("/v1/org").status, 200, "and it lives");
}

/// Every field that is wrong is named, with what would be accepted; what was sent is not repeated.
#[test]
fn wrong_fields_are_named() {
    let world = World::new();
    let answer = ask(
        &world.root,
        "POST",
        "/v1/api-keys",
        Some(
            &json!({ "scopes": "scan:read", "expires_at": "tomorrow", "team_id": "x", "colour": "osk_secret" }),
        ),
    );
    assert_eq!(answer.verdict(), "422 invalid_field");
    let errors = answer.json()["errors"].clone();
    let mut fields: Vec<&str> =
        errors.as_array().expect("errors").iter().filter_map(|error| error["field"].as_str()).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["colour", "expires_at", "name", "scopes", "team_id"]);
    assert!(errors.to_string().contains("2026-11-21T09:30:00Z") && !answer.text().contains("osk_secret"));
}

/// E146: what a request may not say of an object it cannot say beside what it may; nothing is made or changed.
#[test]
fn nothing_is_assigned_along_with_the_rest() {
    let world = World::new();
    let key = world.team_key("whole");
    let path = super::path_of(&key);
    let before = ask(&world.root, "GET", &path, None).json();
    let (count, mut wrong) = (world.program.site.count("api_keys"), Wrong::default());
    let fields = json!({
        "id": key["id"], "org_id": "other", "tenant_id": "other", "owner": "boss@other.example", "hash": "$2b$04$x",
        "mac": "00", "prefix": "zzzzzzzz", "key": "tos_zzzzzzzz_0", "status": "active",
        "created_at": "2020-01-01T00:00:00Z", "created_by": "boss@other.example", "last_used_at": null,
        "revoked_at": null, "rotated_from": key["id"], "usage_count": 7, "rate_limit_per_minute": 1e18,
        "scopes": ["root"], "permissions": ["*"], "role": "emperor"
    });
    for (field, value) in fields.as_object().expect("fields") {
        let mut create = json!({ "name": "m", "scope": "org" });
        create[field] = value.clone();
        let mut change = json!({ "name": "changed" });
        change[field] = value.clone();
        for (method, path, body) in [("POST", "/v1/api-keys", &create), ("PATCH", &*path, &change)] {
            let answer = ask(&world.root, method, path, Some(body));
            let named = answer.status == 422 && answer.text().contains(&**field);
            wrong.unless(named, || format!("{method} with {field}: {}", answer.text()));
        }
    }
    for (path, field) in [("/v1/teams", "org_id"), ("/v1/users", "org_id"), ("/v1/teams", "id")] {
        let mut body = json!({ "name": "m" });
        body[field] = json!("other");
        let answer = ask(&world.root, "POST", path, Some(&body));
        wrong.unless(answer.verdict() == "422 invalid_field", || format!("{path} with {field}: {answer:?}"));
    }
    wrong.none("mass assignment");
    assert_eq!(world.program.site.count("api_keys"), count);
    assert_eq!(ask(&world.root, "GET", &path, None).json(), before);
}

/// L304: a body is JSON and says so; without one nothing needs to be said.
#[test]
fn other_kinds_of_content_are_not_read() {
    let world = World::new();
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "multipart/form-data",
        "application/json; charset=utf-16",
        "application/json; charset=\"ISO-8859-1\"",
        "",
    ] {
        let answer = world.root.request("POST", "/v1/teams").header("Content-Type", kind).body("{}").send();
        assert_eq!(answer.verdict(), "415 unsupported_media_type", "{kind}");
    }
    assert_eq!(
        world.root.request("POST", "/v1/teams").body("{}").send().verdict(),
        "415 unsupported_media_type"
    );
    let empty = world.root.request("POST", "/v1/teams").send();
    assert_eq!(empty.verdict(), "422 invalid_field", "nothing was sent, so the name is missing");
}

/// Every answer, good or bad, is for its asker alone and can do nothing in a browser.
#[test]
fn every_answer_is_guarded() {
    let world = World::new();
    let answers: Vec<Response> = vec![
        world.root.get("/v1/org"),
        world.root.get("/v1/nothing"),
        world.program.admin().anonymous().get("/v1/org"),
        world.program.admin().anonymous().get("/v1/openapi.json"),
        world.root.request("PUT", "/v1/org").send(),
        ask(&world.root, "POST", "/v1/teams", Some(&json!({ "name": "" }))),
        ask(&world.root, "POST", "/v1/teams", Some(&json!({ "name": "Good" }))),
    ];
    for answer in answers {
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(
            answer.header("content-security-policy"),
            Some("default-src 'none'; frame-ancestors 'none'")
        );
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        let id = answer.header("x-request-id").expect("a request id").to_owned();
        if answer.status >= 400 {
            assert_eq!(answer.header("content-type"), Some("application/problem+json"));
            assert_eq!(answer.json()["request_id"], json!(id));
            assert_eq!(answer.json()["status"], json!(answer.status));
            assert_eq!(answer.status == 401, answer.header("www-authenticate").is_some());
            assert_eq!(answer.status == 405, answer.header("allow").is_some());
        }
    }
    let named = world.root.request("GET", "/v1/org").header("X-Request-Id", "mine-1").send();
    assert_eq!(named.header("x-request-id"), Some("mine-1"));
    let odd = world.root.request("GET", "/v1/org").header("X-Request-Id", "a b").send();
    assert_ne!(odd.header("x-request-id"), Some("a b"));
}

/// The key's own rules hold here as they do at the gateway: carriers, networks, its rate; both doors share its limit.
#[test]
fn a_keys_rules_hold_here_too() {
    let world = World::new();
    let bound = super::made(
        &world.root,
        &json!({ "name": "far", "scope": "org", "allowed_ips": ["198.51.100.0/24"] }),
    );
    assert_eq!(world.caller(&bound).verdict("/v1/org"), "403 ip_not_allowed");
    let slow =
        super::made(&world.root, &json!({ "name": "slow", "scope": "org", "rate_limit_per_minute": 2 }));
    assert_eq!(world.program.key(&super::text(&slow, "key")).verdict("/any/x"), "200");
    let caller = world.caller(&slow);
    let allowed = caller.get("/v1/org");
    assert_eq!((allowed.status, allowed.header("x-ratelimit-remaining")), (200, Some("0")));
    let refused = caller.get("/v1/org");
    assert_eq!(refused.verdict(), "429 rate_limited");
    assert!(refused.header("retry-after").is_some());
    let full = super::text(&slow, "key");
    let both = |one: &str, other: &str| {
        let request = world.program.admin().anonymous().request("GET", "/v1/org");
        request.header("X-API-Key", one).header("Authorization", &format!("Bearer {other}")).send().verdict()
    };
    assert_eq!(both(&full, &super::text(&bound, "key")), "400 credential_conflict");
    let query = world.program.admin().anonymous().get(&format!("/v1/org?api_key={full}"));
    assert_eq!(query.verdict(), "401 credential_missing", "never from the query");
    let (_program, offload, _upstream) = offload("scan:read");
    assert_eq!(offload.get("/v1/presets").json()["items"].as_array().map(Vec::len), Some(5));
}

/// Who asked for what is in the access log, and a wrong key has its line there: never the key, never the query.
#[test]
fn requests_are_logged() {
    let (program, caller, _upstream) = offload("api_key:read,scan:read");
    assert_eq!(caller.get("/v1/api-keys?q=needle").status, 200);
    let line = program.requests_logged("/v1/api-keys", 1).remove(0);
    assert_eq!(
        (&line["route"], &line["status"], &line["outcome"]),
        (&json!("admin"), &json!(200), &json!("ok"))
    );
    assert!(
        line["credential"].is_string() && line["tenant"].is_string() && line["client_ip"] == "127.0.0.1",
        "{line}"
    );
    let wrong = format!("osk_abcdEFGH_{}", "A".repeat(38));
    assert!(program.admin().key(&wrong).verdict("/v1/org").starts_with("401"));
    let line = program.requests_logged("/v1/org", 1).remove(0);
    assert!(line["outcome"].as_str().is_some_and(|outcome| outcome.starts_with("credential_")), "{line}");
    crate::support::wait::until("the failure's own line", || {
        program.log().iter().any(|line| line["msg"] == "api_key.auth_failed")
    });
    let written = program.everything_written();
    assert!(!written.contains("needle") && !written.contains(&"A".repeat(38)));
}

/// The port's connections are counted apart, its decisions with the gateway's, and a stop ends it in order.
#[test]
fn the_port_is_seen_and_ends_in_order() {
    let (program, caller, _upstream) = offload("scan:read");
    let kept = program.admin().connect();
    crate::support::wait::until("an open connection", || {
        program.metric("latchgate_connections", &[("listener", "admin")]) >= 1.0
    });
    assert_eq!(program.admin().anonymous().verdict("/v1/org"), "401 credential_missing");
    assert_eq!(caller.get("/v1/org").status, 200);
    let decided =
        |method, outcome| program.metric("latchgate_auth_total", &[("method", method), ("outcome", outcome)]);
    assert_eq!((decided("none", "credential_missing"), decided("api_key", "ok")), (1.0, 1.0));
    let _site = program.stop();
    drop(kept);
}

/// A store that cannot be written is 503, and what was asked is not half done.
#[test]
fn a_locked_store_is_not_a_refusal() {
    let world = World::new();
    let lock = crate::support::program::Lock::take(&world.program.site);
    let answer = ask(&world.root, "POST", "/v1/teams", Some(&json!({ "name": "Later" })));
    assert_eq!(answer.verdict(), "503 store_unavailable");
    assert_eq!(answer.header("retry-after"), Some("1"));
    lock.release();
    assert_eq!(ask(&world.root, "POST", "/v1/teams", Some(&json!({ "name": "Later" }))).status, 201);
}
