//! Keys through the API: what they do at the gateway, and what may be done with them.

use serde_json::json;

use super::{World, ask, made, offload, path_of, post, text};
use crate::support::wait;

/// `R002_10`, `R000_19`: a change is in force when it is answered: not once is a revoked key served after it.
#[test]
fn a_change_is_in_force_when_it_is_answered() {
    let world = World::new();
    for round in 0..25 {
        let key = world.team_key(&format!("round {round}"));
        let caller = world.program.key(&text(&key, "key"));
        assert_eq!(caller.verdict("/any/x"), "200", "a new key works at once");
        if round % 2 == 0 {
            let revoked = ask(&world.root, "POST", &format!("{}/revoke", path_of(&key)), None);
            assert_eq!((revoked.status, text(&revoked.json(), "status").as_str()), (200, "revoked"));
        } else {
            assert_eq!(ask(&world.root, "DELETE", &path_of(&key), None).status, 204);
        }
        assert_eq!(caller.verdict("/any/x"), "401 credential_revoked", "round {round}");
        let admin = world.caller(&key).verdict("/v1/org");
        assert_eq!(admin, "401 credential_revoked", "both doors are one");
    }
    assert_eq!(world.upstream.count(), 25);
}

/// `R000_14`: the full key is in one answer, and neither in a later one nor in the store nor in the logs.
#[test]
fn a_full_key_is_seen_once() {
    let world = World::new();
    let key = world.team_key("once");
    let full = text(&key, "key");
    assert!(full.starts_with("tos_") && full.contains(&text(&key, "prefix")));
    let secret = full.rsplit('_').next().expect("a secret").to_owned();
    for path in [path_of(&key), "/v1/api-keys?limit=200".to_owned(), "/v1/audit?limit=200".to_owned()] {
        assert!(!world.root.get(&path).text().contains(&secret), "{path}");
    }
    let stored = world.program.site.store_bytes();
    assert!(!stored.windows(secret.len()).any(|bytes| bytes == secret.as_bytes()));
    assert!(!world.program.everything_written().contains(&secret));
}

/// E158: a key renews itself though the answer is lost: until the successor is used, asking again replaces it.
#[test]
fn a_lost_answer_locks_nobody_out() {
    let world = World::new();
    let old = world.team_key("self");
    let caller = world.caller(&old);
    let rotate = || ask(&caller, "POST", "/v1/api-keys/self/rotate", Some(&json!({ "grace_hours": 2 })));
    let lost = rotate();
    assert_eq!(lost.status, 201, "{lost:?}");
    let again = rotate();
    assert_eq!(again.status, 201, "{again:?}");
    let (lost, again) = (lost.json(), again.json());
    assert_ne!(lost["id"], again["id"]);
    assert_eq!(world.program.key(&text(&lost, "key")).verdict("/any/x"), "401 credential_revoked");
    assert_eq!(world.program.key(&text(&old, "key")).verdict("/any/x"), "200");
    assert_eq!(world.program.key(&text(&again, "key")).verdict("/any/x"), "200");
    wait::until("the successor's first use is written", || {
        !world.root.get(&path_of(&again)).json()["last_used_at"].is_null()
    });
    assert_eq!(rotate().verdict(), "409 conflict", "the successor is in use");
    let shown = world.root.get(&path_of(&old)).json();
    assert_eq!((&shown["status"], &shown["rotated_to"]), (&json!("rotating"), &again["id"]));
}

/// `R000_21`, E158: twenty-six requests at once make no more than twenty-five keys of one person, the asking one
/// among them.
#[test]
fn the_limit_holds_under_a_race() {
    let (program, caller, _upstream) = offload("api_key:create,api_key:read,scan:read");
    let verdicts: Vec<String> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..26)
            .map(|number| {
                let caller = caller.clone();
                let body = json!({ "name": format!("key {number}"), "scopes": ["scan:read"] });
                scope.spawn(move || post(&caller, "/v1/api-keys", &body).verdict())
            })
            .collect();
        asking.into_iter().map(|asked| asked.join().expect("an answer")).collect()
    });
    let count = |verdict: &str| verdicts.iter().filter(|got| *got == verdict).count();
    assert_eq!((count("201"), count("409 limit_reached")), (24, 2), "{verdicts:?}");
    assert_eq!(program.site.count("api_keys WHERE revoked_at IS NULL"), 25);
}

/// Labels and limits change, what the key may do does not; what is taken away is gone.
#[test]
fn changing_a_key() {
    let world = World::new();
    let key = made(
        &world.root,
        &json!({ "name": "a", "scope": "org", "description": "why", "environment": "dev", "rate_limit_per_minute": 9 }),
    );
    let change = |body| ask(&world.root, "PATCH", &path_of(&key), Some(&body));
    let changed =
        change(json!({ "name": "b", "description": null, "allowed_ips": ["198.51.100.0/24"] })).json();
    assert_eq!(
        (
            &changed["name"],
            &changed["description"],
            &changed["environment"],
            &changed["rate_limit_per_minute"]
        ),
        (&json!("b"), &json!(null), &json!("dev"), &json!(9))
    );
    assert_eq!(world.program.key(&text(&key, "key")).verdict("/any/x"), "403 ip_not_allowed");
    let changed = change(json!({ "rate_limit_per_minute": null, "allowed_ips": [] })).json();
    assert_eq!((&changed["rate_limit_per_minute"], &changed["allowed_ips"]), (&json!(null), &json!([])));
    assert_eq!(world.program.key(&text(&key, "key")).verdict("/any/x"), "200");
}

/// A service that does not sit behind the gateway gets the gateway's answer.
#[test]
fn verifying() {
    let world = World::new();
    let key = made(
        &world.root,
        &json!({ "name": "v", "scope": "org", "scopes": ["scan:read"], "allowed_ips": ["198.51.100.7"] }),
    );
    let full = text(&key, "key");
    let verdict = |body| {
        let answer = post(&world.root, "/v1/api-keys/verify", &body);
        assert_eq!(answer.status, 200, "{answer:?}");
        let answer = answer.json();
        (answer["valid"].as_bool().expect("a verdict"), text(&answer, "code"), answer["key"]["id"].clone())
    };
    let id = key["id"].clone();
    let ok = |body| assert_eq!(verdict(body), (true, "ok".to_owned(), id.clone()));
    let no = |body, code: &str, id| assert_eq!(verdict(body), (false, code.to_owned(), id));
    ok(json!({ "key": full, "ip": "198.51.100.7" }));
    ok(json!({ "key": full, "ip": "198.51.100.7", "scopes": ["scan:read"] }));
    no(json!({ "key": full }), "ip_not_allowed", id.clone());
    no(json!({ "key": full, "ip": "198.51.100.8" }), "ip_not_allowed", id.clone());
    no(
        json!({ "key": full, "ip": "198.51.100.7", "scopes": ["scan:trigger"] }),
        "scope_insufficient",
        id.clone(),
    );
    no(json!({ "key": "nonsense" }), "credential_malformed", json!(null));
    let wrong = format!("{}{}", &full[..full.len() - 1], if full.ends_with('a') { 'b' } else { 'a' });
    no(json!({ "key": wrong }), "credential_invalid", json!(null));
    let theirs = made(&world.stranger, &json!({ "name": "t", "scope": "org" }));
    no(json!({ "key": theirs["key"] }), "credential_invalid", json!(null));
    assert_eq!(ask(&world.root, "DELETE", &path_of(&key), None).status, 204);
    no(json!({ "key": full }), "credential_revoked", id.clone());
    let unknown = post(&world.root, "/v1/api-keys/verify", &json!({ "key": full, "scopes": ["x:y"] }));
    assert_eq!(unknown.verdict(), "422 invalid_field");
}

/// `R000_20`: how often, when and from where.
#[test]
fn usage_is_counted() {
    let world = World::new();
    let key = world.team_key("used");
    let caller = world.program.key(&text(&key, "key"));
    for _ in 0..3 {
        assert_eq!(caller.verdict("/any/x"), "200");
    }
    assert_eq!(world.caller(&key).get("/v1/org").status, 200, "the admin port counts too");
    let path = format!("{}/usage?window=30m", path_of(&key));
    let usage = wait::for_some("four uses", || {
        let usage = world.root.get(&path).json();
        (usage["sources"][0]["count"] == json!(4)).then_some(usage)
    });
    assert_eq!((&usage["window"], &usage["sources"][0]["ip"]), (&json!("30m"), &json!("127.0.0.1")));
    let counted: u64 = usage["buckets"]
        .as_array()
        .expect("buckets")
        .iter()
        .filter_map(|bucket| bucket["count"].as_u64())
        .sum();
    assert_eq!(counted, 4);
    assert_eq!(world.root.get(&format!("{}/usage?window=1y", path_of(&key))).verdict(), "422 invalid_field");
}
