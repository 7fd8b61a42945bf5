//! Keys through the API: what they do at the gateway, and what may be done with them.

use std::time::Duration;

use serde_json::{Value, json};

use super::{World, ask, made, offload, path_of, post, text};
use crate::support::{gateway::Gateway, program::Site, rawup::Upstream, setup::Setup, wait};

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

/// `R002_06`, E161: a key ends when it was asked to, after 1 to 1825 days, and without a word about it never; an end in
/// other words is one of the two, never both and never half read.
#[test]
fn a_key_ends_when_it_was_asked_to() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(Site::new(Setup::trustedoss(&upstream)));
    let root = gateway.site.key(&["--scope", "org", "--name", "root"]);
    let caller = gateway.admin().key(&root.text);
    let now = gateway.clock.now();
    let after = |days: u64| now.after(Duration::from_secs(days * 86_400)).to_string();
    let create = |field: &str, value: &Value| {
        let mut body = json!({ "name": "ends", "scope": "org", "scopes": ["scan:read"] });
        body[field] = value.clone();
        post(&caller, "/v1/api-keys", &body)
    };
    for (field, value, end) in [
        ("description", json!(null), json!(null)),
        ("expires_in_days", json!(1), json!(after(1))),
        ("expires_in_days", json!(90), json!(after(90))),
        ("expires_in_days", json!(1825), json!(after(1825))),
        ("expires_at", json!(after(30)), json!(after(30))),
        ("expires_at", json!("2027-06-01T02:00:00+02:00"), json!("2027-06-01T00:00:00Z")),
    ] {
        let made = create(field, &value);
        assert_eq!((made.status, &made.json()["expires_at"]), (201, &end), "{field} {value}");
    }
    for (field, value) in [
        ("expires_in_days", json!(0)),
        ("expires_in_days", json!(-1)),
        ("expires_in_days", json!(1826)),
        ("expires_in_days", json!(1e18)),
        ("expires_in_days", json!(1.5)),
        ("expires_in_days", json!("90")),
        ("expires_in_days", json!(null)),
        ("expires_at", json!(now.to_string())),
        ("expires_at", json!(after(1826))),
        ("expires_at", json!("2027-06-01T00:00:00+25:00")),
        ("expires_at", json!("2027-06-01")),
        ("expires_at", json!("never")),
        ("expires_at", json!(null)),
    ] {
        let refused = create(field, &value);
        assert_eq!(refused.verdict(), "422 invalid_field", "{field} {value}");
        assert_eq!(refused.json()["errors"][0]["field"], json!(field));
    }
    let both = json!({ "name": "e", "scope": "org", "expires_in_days": 1, "expires_at": after(1) });
    assert_eq!(post(&caller, "/v1/api-keys", &both).verdict(), "422 invalid_field");

    let short = create("expires_in_days", &json!(1)).json();
    let short = gateway.key(&text(&short, "key"));
    gateway.clock.advance(Duration::from_secs(86_399));
    assert_eq!(short.verdict("/any/x"), "200");
    gateway.clock.advance(Duration::from_secs(1));
    assert_eq!(short.verdict("/any/x"), "401 credential_expired");
    gateway.clock.advance(Duration::from_secs(9 * 365 * 86_400));
    assert_eq!(gateway.key(&root.text).verdict("/any/x"), "200", "it was never asked to end");
}

/// P363: a search finds what it says, letter by letter, and never more than its asker may see.
#[test]
fn odd_searches_find_nothing_odd() {
    let world = World::new();
    made(
        &world.root,
        &json!({ "name": "100% cotton_wool", "scope": "org", "description": "a\\b \u{fc}ber" }),
    );
    let found = |query: &str| {
        let answer = world.root.get(&format!("/v1/api-keys?q={query}"));
        if answer.status == 200 {
            answer.json()["items"].as_array().map_or(0, Vec::len)
        } else {
            1000 + usize::from(answer.status)
        }
    };
    let all = found("");
    assert_eq!(found("%20"), all, "blank is none");
    for (query, count) in [
        ("100%25", 1),
        ("%25", 1),
        ("_", 1),
        ("cotton_", 1),
        ("cotton%25wool", 0),
        ("COTTON", 1),
        ("!", 0),
        ("a%5Cb", 1),
        ("%5C", 1),
        ("%C3%BCber", 1),
        ("'", 0),
        ("%22", 0),
        ("%00", 1422),
        ("a%00", 1422),
        ("%ff", 1400),
        ("%F0%9F%9A%80", 0),
        ("%0A", all),
    ] {
        assert_eq!(found(query), count, "{query}");
    }
    let long = "x".repeat(7000);
    assert_eq!(found(&long), 0);
    for path in ["/v1/audit?target=%00", "/v1/audit?actor=%00", "/v1/requests?credential=%00"] {
        assert_eq!(world.root.get(path).verdict(), "422 invalid_field", "{path}");
    }
}
