//! Lists in parts.

use serde_json::{Value, json};

use super::{World, made, text};
use crate::support::request::Caller;

fn page(caller: &Caller, query: &str) -> Value {
    let answer = caller.get(&format!("/v1/api-keys?{query}"));
    assert_eq!(answer.status, 200, "{query}: {answer:?}");
    answer.json()
}

/// Every object comes once, whatever is made meanwhile, and the last part says that it is the last.
#[test]
fn every_object_comes_once() {
    let world = World::new();
    for number in 0..7 {
        made(&world.root, &json!({ "name": format!("paged {number}"), "scope": "org" }));
    }
    let (mut seen, mut query) = (Vec::new(), "q=paged&limit=3".to_owned());
    loop {
        let part = page(&world.root, &query);
        let items = part["items"].as_array().expect("items");
        assert!(items.len() <= 3);
        seen.extend(items.iter().map(|key| text(key, "name")));
        made(&world.root, &json!({ "name": "paged later", "scope": "org" }));
        let Some(next) = part["next_cursor"].as_str() else { break };
        query = format!("q=paged&limit=3&cursor={next}");
    }
    assert_eq!(seen, (0..7).rev().map(|number| format!("paged {number}")).collect::<Vec<_>>());
}

/// E172, P363: a cursor is this caller's, for this list and these filters, letter by letter.
#[test]
fn a_cursor_cannot_be_bent() {
    let world = World::new();
    for number in 0..3 {
        made(&world.root, &json!({ "name": format!("bent {number}"), "scope": "org" }));
    }
    let cursor = text(&page(&world.root, "limit=1"), "next_cursor");
    let status = |caller: &Caller, path: &str, query: &str| caller.get(&format!("{path}?{query}")).verdict();
    let good = format!("limit=1&cursor={cursor}");
    assert_eq!(status(&world.root, "/v1/api-keys", &good), "200");
    assert_eq!(status(&world.root, "/v1/api-keys", &format!("limit=2&cursor={cursor}")), "200");
    for (caller, path, query) in [
        (&world.stranger, "/v1/api-keys", good.clone()),
        (&world.neighbour, "/v1/api-keys", good.clone()),
        (&world.root, "/v1/teams", good.clone()),
        (&world.root, "/v1/api-keys", format!("status=active&cursor={cursor}")),
        (&world.root, "/v1/api-keys", format!("cursor={}", &cursor[..cursor.len() - 2])),
        (&world.root, "/v1/api-keys", "cursor=0192f7c4-5b1e-7c3a-9d2e-1f0a2b3c4d5e".to_owned()),
        (&world.root, "/v1/api-keys", "cursor=%27%20OR%201=1".to_owned()),
    ] {
        assert_eq!(status(caller, path, &query), "422 invalid_field", "{path} {query}");
    }
    for place in 0..cursor.len() {
        let mut bent = cursor.clone().into_bytes();
        bent[place] = if bent[place] == b'A' { b'B' } else { b'A' };
        let bent = String::from_utf8(bent).expect("text");
        let verdict = status(&world.root, "/v1/api-keys", &format!("cursor={bent}"));
        assert_eq!(verdict, "422 invalid_field", "place {place}");
    }
}

/// Limits are 1 to 200.
#[test]
fn limits_are_bounded() {
    let world = World::new();
    for limit in ["0", "-1", "201", "4294967297", "99999999999999999999", "1.5", "x", ""] {
        let answer = world.root.get(&format!("/v1/teams?limit={limit}"));
        assert_eq!(answer.verdict(), "422 invalid_field", "{limit:?}");
        assert_eq!(answer.json()["errors"][0]["field"], json!("limit"));
    }
    assert_eq!(world.root.get("/v1/teams?limit=200").status, 200);
}

/// P366: how many objects there are beside one's own shows nowhere, in no empty part and in no cursor.
#[test]
fn parts_tell_nothing_of_what_is_hidden() {
    let world = World::new();
    for number in 0..3 {
        world.team_key(&format!("hidden {number}"));
        made(&world.neighbour, &json!({ "name": format!("own {number}") }));
        super::post(&world.root, "/v1/teams", &json!({ "name": format!("Hidden {number}") }));
    }
    let lengths = |path: &str| {
        let (mut lengths, mut cursor) = (Vec::new(), String::new());
        loop {
            let answer = world.neighbour.get(&format!("{path}?limit=2{cursor}"));
            assert_eq!(answer.status, 200, "{answer:?}");
            let part = answer.json();
            lengths.push(part["items"].as_array().expect("items").len());
            let Some(next) = part["next_cursor"].as_str() else { return lengths };
            cursor = format!("&cursor={next}");
        }
    };
    assert_eq!(lengths("/v1/api-keys"), [2, 2], "itself and what it made");
    assert_eq!(lengths("/v1/teams"), [1]);
}
