//! `Idempotency-Key`: a change that is asked for twice is carried out once.

use serde_json::{Value, json};

use super::{World, offload, text};
use crate::support::{
    gateway::Gateway, program::Site, rawc::Response, rawup::Upstream, request::Caller, setup::Setup,
};

fn post(caller: &Caller, path: &str, name: &str, body: &Value) -> Response {
    caller
        .request("POST", path)
        .header("Content-Type", "application/json")
        .header("Idempotency-Key", name)
        .body(body.to_string())
        .send()
}

/// The same name and request give the same object, without the key; another request is a conflict; another caller's
/// names are their own.
#[test]
fn asking_again_changes_nothing() {
    let world = World::new();
    let body = json!({ "name": "ci", "scope": "org", "scopes": ["scan:read"] });
    let first = post(&world.root, "/v1/api-keys", "n1", &body);
    let again = post(&world.root, "/v1/api-keys", "n1", &body);
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!(
        (first.header("idempotency-replayed"), again.header("idempotency-replayed")),
        (None, Some("true"))
    );
    let (mut first, again) = (first.json(), again.json());
    let full = text(&first, "key");
    first.as_object_mut().expect("an object").remove("key");
    assert_eq!(first, again, "the same object, without the key");
    assert_eq!(world.program.site.count("api_keys WHERE name = 'ci'"), 1);
    let secret = full.rsplit('_').next().expect("a secret").to_owned();
    assert!(!world.program.site.store_bytes().windows(secret.len()).any(|bytes| bytes == secret.as_bytes()));

    // Spelled otherwise it is the same request.
    let spelled = world
        .root
        .request("POST", "/v1/api-keys")
        .header("Content-Type", "application/json; charset=utf-8")
        .header("Idempotency-Key", "n1")
        .body("{ \"scopes\": [\"scan:read\"],\n \"scope\":\"org\", \"name\": \"c\\u0069\" }")
        .send();
    assert_eq!(spelled.header("idempotency-replayed"), Some("true"));

    let other = json!({ "name": "cd", "scope": "org", "scopes": ["scan:read"] });
    assert_eq!(post(&world.root, "/v1/api-keys", "n1", &other).verdict(), "409 conflict");
    assert_eq!(post(&world.root, "/v1/teams", "n1", &json!({ "name": "ci" })).verdict(), "409 conflict");
    let theirs = post(&world.stranger, "/v1/api-keys", "n1", &body);
    assert_eq!((theirs.status, theirs.header("idempotency-replayed")), (201, None));
    assert_eq!(world.program.site.count("api_keys WHERE name = 'ci'"), 2);
}

/// What was refused was not carried out: the name is free for the corrected request.
#[test]
fn a_refusal_uses_no_name_up() {
    let world = World::new();
    let wrong = json!({ "name": "ci", "scope": "org", "scopes": ["scan:nothing"] });
    assert_eq!(post(&world.root, "/v1/api-keys", "n2", &wrong).verdict(), "422 invalid_field");
    let right = json!({ "name": "ci", "scope": "org", "scopes": ["scan:read"] });
    assert_eq!(post(&world.root, "/v1/api-keys", "n2", &right).status, 201);
    for name in ["", "a\u{1}b", &"x".repeat(256)] {
        let answer =
            world.root.request("POST", "/v1/api-keys/self/rotate").header("Idempotency-Key", name).send();
        assert!(matches!(answer.status, 400 | 422), "{name:?}: {answer:?}");
    }
}

/// Equal requests at once have one outcome, and it is the one that one of them brought about.
#[test]
fn equal_requests_race_to_one_outcome() {
    let world = World::new();
    for round in 0..5 {
        let name = format!("race {round}");
        let body = json!({ "name": name, "scope": "org", "scopes": ["scan:read"] });
        let answers: Vec<Response> = std::thread::scope(|scope| {
            let asking: Vec<_> =
                (0..8).map(|_| scope.spawn(|| post(&world.root, "/v1/api-keys", &name, &body))).collect();
            asking.into_iter().map(|asked| asked.join().expect("an answer")).collect()
        });
        assert!(answers.iter().all(|answer| answer.status == 201), "{answers:?}");
        let ids: std::collections::BTreeSet<String> =
            answers.iter().map(|answer| text(&answer.json(), "id")).collect();
        assert_eq!(ids.len(), 1);
        let shown = answers.iter().filter(|answer| answer.json()["key"].is_string()).count();
        assert_eq!(shown, 1, "one of them has the key");
        assert_eq!(world.program.site.count(&format!("api_keys WHERE name = '{name}'")), 1);
    }
}

/// What was done once need not be possible a second time: the twenty-fifth key, asked for again, is the twenty-fifth.
#[test]
fn asking_again_is_not_judged_again() {
    let (program, caller, _upstream) = offload("api_key:create,scan:read");
    for number in 2..=25 {
        let body = json!({ "name": "one of many", "scopes": ["scan:read"] });
        let (first, again) = (
            post(&caller, "/v1/api-keys", &format!("key {number}"), &body),
            post(&caller, "/v1/api-keys", &format!("key {number}"), &body),
        );
        assert_eq!((first.status, again.status), (201, 201), "{number}: {again:?}");
    }
    assert_eq!(program.site.count("api_keys"), 25);
    let more = post(&caller, "/v1/api-keys", "key 26", &json!({ "name": "x", "scopes": ["scan:read"] }));
    assert_eq!(more.verdict(), "409 limit_reached");
}

/// Every kind of change takes a name: deletions are answered again as they were.
#[test]
fn deletions_are_changes_too() {
    let world = World::new();
    let team = post(&world.root, "/v1/teams", "make", &json!({ "name": "Passing" })).json();
    let delete = || {
        let path = format!("/v1/teams/{}", text(&team, "id"));
        world.root.request("DELETE", &path).header("Idempotency-Key", "end").send()
    };
    let (first, again) = (delete(), delete());
    assert_eq!((first.status, again.status), (204, 204));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
}

/// A name is kept for a day to the second, and is free afterwards; old answers are cleared away.
#[test]
fn a_name_is_kept_for_a_day() {
    let gateway = Gateway::start(Site::new(Setup::offload(&Upstream::echo())));
    let key = gateway.site.key(&["--scopes", "api_key:create,scan:read"]);
    let caller = gateway.admin().key(&key.text);
    let make = |name: &str| {
        let answer =
            post(&caller, "/v1/api-keys", name, &json!({ "name": "daily", "scopes": ["scan:read"] }));
        assert_eq!(answer.status, 201, "{answer:?}");
        (text(&answer.json(), "id"), answer.header("idempotency-replayed").is_some())
    };
    let (first, _) = make("day");
    gateway.clock.advance(std::time::Duration::from_secs(24 * 3600 - 1));
    assert_eq!(make("day"), (first.clone(), true));
    gateway.clock.advance(std::time::Duration::from_secs(1));
    let (second, replayed) = make("day");
    assert!(second != first && !replayed);
    gateway.clock.advance(std::time::Duration::from_secs(24 * 3600));
    make("other");
    assert_eq!(gateway.site.count("idempotency"), 1, "what nobody believes any more is not kept");
}
