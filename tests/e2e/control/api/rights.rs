//! Nobody gets more than they hold, by whatever door.

use serde_json::{Value, json};

use super::{World, ask, made, path_of, post, text};

/// E147, E149, P364: a key mints within itself: not above its scopes, its place, its end, its networks, its rate.
#[test]
fn a_key_mints_within_itself() {
    let world = World::new();
    let parent = made(
        &world.root,
        &json!({
            "name": "parent", "scope": "team", "team_id": world.team, "expires_in_days": 30,
            "scopes": ["api_key:create", "api_key:read", "api_key:revoke", "scan:read"],
            "allowed_ips": ["127.0.0.0/8"], "rate_limit_per_minute": 100_000,
        }),
    );
    let caller = world.caller(&parent);
    let mut child = json!({ "name": "child", "scopes": ["scan:read"] });
    let with = |field: &str, value: Value| {
        let mut body = child.clone();
        body[field] = value;
        body
    };
    for (body, verdict) in [
        (with("scopes", json!(["scan:read", "scan:trigger"])), "403 forbidden"),
        (with("scopes", json!(["api_key:rotate"])), "403 forbidden"),
        (with("scopes", json!([])), "422 invalid_field"),
        (with("scopes", json!(null)), "422 invalid_field"),
        (with("scope", json!("org")), "403 forbidden"),
        (with("team_id", json!(world.other_team)), "404 not_found"),
        (with("expires_in_days", json!(31)), "403 forbidden"),
        (with("expires_at", json!("2099-01-01T00:00:00Z")), "422 invalid_field"),
        (with("allowed_ips", json!(["0.0.0.0/0"])), "403 forbidden"),
        (with("rate_limit_per_minute", json!(100_001)), "403 forbidden"),
        (with("effective_role", json!("super_admin")), "403 forbidden"),
        (with("org_id", json!("0192f7c4-5b1e-7c3a-9d2e-1f0a2b3c4d5e")), "422 invalid_field"),
        (with("user", json!("ana@example.com")), "422 invalid_field"),
        (with("security_level", json!("none")), "422 invalid_field"),
        (with("public_key", json!("x")), "422 invalid_field"),
        (with("parent_id", json!(null)), "422 invalid_field"),
    ] {
        let before = world.program.site.count("api_keys");
        let answer = post(&caller, "/v1/api-keys", &body);
        assert_eq!(answer.verdict(), verdict, "{body}: {}", answer.text());
        assert_eq!(world.program.site.count("api_keys"), before, "{body}");
    }
    child["description"] = json!("made by a key");
    let minted = made(&caller, &child);
    assert_eq!(
        (
            &minted["parent_id"],
            &minted["allowed_ips"],
            &minted["rate_limit_per_minute"],
            &minted["expires_at"]
        ),
        (&parent["id"], &json!(["127.0.0.0/8"]), &json!(100_000), &parent["expires_at"]),
        "what the child did not ask for, it has from its parent"
    );
    let gateway = world.program.key(&text(&minted, "key"));
    assert_eq!(gateway.verdict("/api/x"), "200");
    assert_eq!(ask(&world.root, "DELETE", &path_of(&parent), None).status, 204);
    assert_eq!(gateway.verdict("/api/x"), "401 credential_revoked", "it dies with its parent");
}

/// E148, E149: a child that says nothing of its scopes, or asks for all, gets its parent's and not its issuer's.
#[test]
fn all_that_a_key_may_give_is_its_own() {
    let world = World::new();
    let scopes = json!(["api_key:create", "scan:read"]);
    let parent = json!({ "name": "parent", "scope": "team", "team_id": world.team, "scopes": scopes });
    let caller = world.caller(&made(&world.root, &parent));
    for body in [json!({ "name": "all", "scopes": ["*"] }), json!({ "name": "unsaid" })] {
        let child = made(&caller, &body);
        assert_eq!(child["scopes"], scopes, "{body}");
        let child = world.caller(&child);
        let team = format!("/v1/teams/{}", world.team);
        let renamed = ask(&child, "PATCH", &team, Some(&json!({ "name": "Taken" })));
        assert_eq!(renamed.verdict(), "403 scope_insufficient", "{body}");
        let more = json!({ "name": "more", "scopes": ["scan:trigger"] });
        assert_eq!(post(&child, "/v1/api-keys", &more).verdict(), "403 forbidden", "{body}");
    }
}

/// E151: whoever rotates a key sees its successor, so nobody rotates one that holds more than they do.
#[test]
fn a_stronger_sibling_cannot_be_rotated() {
    let world = World::new();
    let strong = world.team_key("strong");
    let scopes = ["api_key:create", "api_key:read", "api_key:update", "api_key:rotate", "member:update"];
    let weak = json!({ "name": "weak", "scope": "team", "team_id": world.team, "scopes": scopes });
    let weak = made(&world.root, &weak);
    let answer = ask(&world.caller(&weak), "POST", &format!("{}/rotate", path_of(&strong)), None);
    assert_eq!(answer.verdict(), "403 forbidden", "{answer:?}");
    assert!(!answer.text().contains("tos_"));
    assert_eq!(world.root.get(&path_of(&strong)).json()["status"], json!("active"));
}

/// E153: what a key may do, where and for how long is fixed; its own limits it cannot lift.
#[test]
fn nothing_is_patched_upward() {
    let world = World::new();
    let key = made(
        &world.root,
        &json!({ "name": "bound", "scope": "org", "allowed_ips": ["127.0.0.1"], "rate_limit_per_minute": 60_000 }),
    );
    let itself = world.caller(&key);
    let before = world.root.get(&path_of(&key)).json();
    for (caller, body, verdict) in [
        (&world.root, json!({ "scopes": ["scan:read"] }), "422 invalid_field"),
        (&world.root, json!({ "expires_at": "2099-01-01T00:00:00Z" }), "422 invalid_field"),
        (&world.root, json!({ "team_id": world.other_team }), "422 invalid_field"),
        (&world.root, json!({ "created_by": "ana@example.com" }), "422 invalid_field"),
        (&world.root, json!({ "status": "active" }), "422 invalid_field"),
        (&itself, json!({ "allowed_ips": [] }), "403 forbidden"),
        (&itself, json!({ "allowed_ips": ["127.0.0.0/8"] }), "403 forbidden"),
        (&itself, json!({ "rate_limit_per_minute": 60_001 }), "403 forbidden"),
        (&itself, json!({ "rate_limit_per_minute": null }), "403 forbidden"),
        (&world.reader, json!({ "name": "mine" }), "404 not_found"),
    ] {
        let answer = ask(caller, "PATCH", &path_of(&key), Some(&body));
        assert_eq!(answer.verdict(), verdict, "{body}");
    }
    let after = world.root.get(&path_of(&key)).json();
    for field in [
        "name",
        "scopes",
        "expires_at",
        "team_id",
        "created_by",
        "status",
        "allowed_ips",
        "rate_limit_per_minute",
    ] {
        assert_eq!(before[field], after[field], "{field}");
    }
}

/// E157: a key that has ended is not brought back by rotating it.
#[test]
fn what_has_ended_stays_ended() {
    let world = World::new();
    let key = world.team_key("over");
    assert_eq!(ask(&world.root, "DELETE", &path_of(&key), None).status, 204);
    for _ in 0..2 {
        let rotated = ask(&world.root, "POST", &format!("{}/rotate", path_of(&key)), None);
        assert_eq!(rotated.verdict(), "409 conflict");
    }
    assert_eq!(
        ask(&world.caller(&key), "POST", "/v1/api-keys/self/rotate", None).verdict(),
        "401 credential_revoked"
    );
    assert_eq!(ask(&world.root, "DELETE", &path_of(&key), None).status, 204, "again is no error");
    let shown = world.root.get(&path_of(&key)).json();
    assert_eq!((&shown["status"], &shown["rotated_to"]), (&json!("revoked"), &json!(null)));
}

/// E152, P363: filters and searches find one's own, and only those that exist are taken.
#[test]
fn filters_show_ones_own_alone() {
    let world = World::new();
    let theirs = made(&world.stranger, &json!({ "name": "findable", "scope": "org" }));
    let mine = made(&world.root, &json!({ "name": "findable", "scope": "team", "team_id": world.team }));
    let found = |caller: &crate::support::request::Caller, query: &str| -> Vec<String> {
        let answer = caller.get(&format!("/v1/api-keys?{query}"));
        assert_eq!(answer.status, 200, "{query}: {answer:?}");
        let items = answer.json()["items"].as_array().expect("items").clone();
        items.iter().map(|key| text(key, "id")).collect()
    };
    assert_eq!(found(&world.root, "q=findable"), [text(&mine, "id")]);
    assert_eq!(found(&world.stranger, "q=findable"), [text(&theirs, "id")]);
    assert!(found(&world.neighbour, "q=findable").is_empty());
    assert!(found(&world.root, &format!("q={}", text(&theirs, "prefix"))).is_empty());
    assert_eq!(found(&world.root, &format!("team_id={}&q=find", world.team)), [text(&mine, "id")]);
    for (query, verdict) in [
        (format!("team_id={}", world.team), "404 not_found"),
        ("team_id=*".to_owned(), "422 invalid_field"),
        ("org=*".to_owned(), "422 invalid_field"),
        ("org_id=other".to_owned(), "422 invalid_field"),
        ("sort=secret_hash".to_owned(), "422 invalid_field"),
        ("status=active&status=revoked".to_owned(), "422 invalid_field"),
        ("q=%ff".to_owned(), "400 request_malformed"),
    ] {
        assert_eq!(world.stranger.get(&format!("/v1/api-keys?{query}")).verdict(), verdict, "{query}");
    }
    for path in [
        format!("/v1/teams/{}/api-keys/{}", world.team, text(&theirs, "id")),
        format!("/v1/api-keys/{}", text(&theirs, "prefix")),
        "/v1/api-keys/..%2f".to_owned(),
        "/v1/sessions".to_owned(),
        "/v1/roles/%2e%2e".to_owned(),
        "/".to_owned(),
    ] {
        assert_eq!(world.root.get(&path).verdict(), "404 not_found", "{path}");
    }
}

/// A role belongs where the profile says: an organization's is not given by a team's path, nor the reverse, and keys
/// administer no people at all.
#[test]
fn keys_administer_no_people() {
    let world = World::new();
    let member = format!("/v1/teams/{}/members/{}", world.team, world.user);
    let put =
        |path: &str, role: &str| ask(&world.root, "PUT", path, Some(&json!({ "role": role }))).verdict();
    assert_eq!(put(&member, "super_admin"), "422 invalid_field");
    assert_eq!(put(&format!("/v1/org/members/{}", world.user), "developer"), "422 invalid_field");
    assert_eq!(put(&member, "team_admin"), "403 forbidden");
    let role = world.root.get(&format!("/v1/teams/{}/members", world.team)).json();
    assert!(role.to_string().contains("\"developer\""), "{role}");
}

/// A machine manages the keys that it made, and its owner's others it does not even see.
#[test]
fn a_key_manages_what_it_made() {
    let scopes = "api_key:create,api_key:read,api_key:update,api_key:rotate,api_key:revoke,scan:read";
    let (program, manager, _upstream) = super::offload(scopes);
    let sibling = program.site.key(&["--scopes", "scan:read", "--name", "sibling"]);
    let child = made(&manager, &json!({ "name": "child", "scopes": ["scan:read"] }));
    let listed = manager.get("/v1/api-keys").text();
    assert!(listed.contains(&text(&child, "prefix")) && !listed.contains(&sibling.prefix), "{listed}");
    assert_eq!(manager.get(&path_of(&child)).status, 200);
    assert_eq!(ask(&manager, "PATCH", &path_of(&child), Some(&json!({ "name": "mine" }))).status, 200);
    let rotated = ask(&manager, "POST", &format!("{}/rotate", path_of(&child)), None);
    assert_eq!(rotated.status, 201, "{rotated:?}");
    assert_eq!(ask(&manager, "DELETE", &path_of(&rotated.json()), None).status, 204);
    let theirs = format!("/v1/api-keys/{}", sibling.id);
    for (method, path) in
        [("GET", theirs.clone()), ("DELETE", theirs.clone()), ("POST", format!("{theirs}/rotate"))]
    {
        assert_eq!(ask(&manager, method, &path, None).verdict(), "404 not_found", "{method} {path}");
    }
    assert_eq!(program.key(&sibling.text).verdict("/api/x"), "200");
}
