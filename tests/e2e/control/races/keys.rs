//! A key that is rotated while it is revoked, or rotated again (cases 156, 157): one outcome, on both planes, and each
//! caller was told the truth.

use std::{collections::HashMap, time::Duration};

use serde_json::{Value, json};

use super::{Change, ask, at_once, person, request, staggered, whole_trail, worked};
use crate::support::{
    gateway::Gateway, program::Site, rawc::Response, rawup::Upstream, request::Caller, setup::Setup,
};

const ROUNDS: usize = 48;
const STEP: Duration = Duration::from_millis(2);

struct House {
    gateway: Gateway,
    _upstream: Upstream,
    ana: Caller,
    /// The texts of the keys that were made, by id.
    texts: HashMap<String, String>,
    head_start: Duration,
    rotated_first: usize,
}

impl House {
    fn new(profile: &str, role: &str) -> Self {
        let upstream = Upstream::echo();
        let route = "name = \"any\"\npath = \"/any/{*rest}\"\nupstream = \"app\"";
        let setup = Setup::bare(profile).upstream("app", &upstream.url()).route(route);
        let gateway = Gateway::start(Site::new(setup));
        let (_, ana) = person(&gateway, "ana", Some(role));
        Self {
            gateway,
            _upstream: upstream,
            ana,
            texts: HashMap::new(),
            head_start: Duration::ZERO,
            rotated_first: 0,
        }
    }

    /// Keeps the key of an answer; its id.
    fn keep(&mut self, answer: &Response) -> String {
        assert_eq!(answer.status, 201, "{answer:?}");
        let key = answer.json();
        let text = |name: &str| key[name].as_str().unwrap_or_else(|| panic!("{name}: {key}")).to_owned();
        self.texts.insert(text("id"), text("key"));
        text("id")
    }

    fn create(&mut self, by: &Caller, body: Value) -> String {
        self.keep(&ask(by, "POST", "/v1/api-keys", body))
    }

    fn key(&self, id: &str) -> Caller {
        self.gateway.admin().key(&self.texts[id])
    }

    /// What the store says of it, after both planes said the same.
    fn state(&self, id: &str) -> Value {
        let key = ask(&self.ana, "GET", &format!("/v1/api-keys/{id}"), Value::Null).json();
        let passes = self.gateway.key(&self.texts[id]).verdict("/any/x");
        let status = key["status"].as_str().expect("a status");
        let expected = match status {
            "active" | "rotating" => "200",
            "revoked" => "401 credential_revoked",
            _ => "401 credential_expired",
        };
        assert_eq!(passes, expected, "{key}");
        key
    }

    fn status(&self, id: &str) -> String {
        self.state(id)["status"].as_str().expect("a status").to_owned()
    }

    /// A rotation and a revocation. The rotation costs a hash and would always come second, so it has a head start, which
    /// grows while it loses and shrinks while it wins.
    fn race(&mut self, rotation: (&Caller, &Change), revocation: &Change) -> [Response; 2] {
        let (rotation, revocation) = (request(rotation.0, rotation.1), request(&self.ana, revocation));
        let answers = staggered(&self.gateway, &rotation, &revocation, self.head_start);
        if worked(&answers[0]) {
            self.rotated_first += 1;
            self.head_start = self.head_start.saturating_sub(STEP);
        } else {
            self.head_start += STEP;
        }
        answers
    }

    /// It was a race: either came first at least once.
    fn both_orders(&self) {
        assert!((1..ROUNDS).contains(&self.rotated_first), "{} of {ROUNDS}", self.rotated_first);
        whole_trail(&self.gateway);
    }

    /// Room for the next round: a person has so many keys at most.
    fn clear(&mut self) {
        for id in std::mem::take(&mut self.texts).keys() {
            ask(&self.ana, "POST", &format!("/v1/api-keys/{id}/revoke"), Value::Null);
        }
    }
}

fn rotate(id: &str) -> Change {
    ("POST", format!("/v1/api-keys/{id}/rotate"), json!({}))
}

fn rotate_self() -> Change {
    ("POST", "/v1/api-keys/self/rotate".into(), json!({}))
}

fn revoke(id: &str) -> Change {
    ("POST", format!("/v1/api-keys/{id}/revoke"), Value::Null)
}

fn reading() -> Value {
    json!({ "name": "k", "scopes": ["scan:read"] })
}

/// A person rotates while a person revokes. Whoever revokes hears of a successor that was there before; there is none
/// that they did not hear of, and none if they were first.
#[test]
fn rotate_and_revoke() {
    let mut house = House::new("offload", "admin");
    let ana = house.ana.clone();
    for _ in 0..ROUNDS {
        let old = house.create(&ana, reading());
        let [rotated, revoked] = house.race((&ana, &rotate(&old)), &revoke(&old));
        assert_eq!(revoked.status, 200, "{revoked:?}");
        let seen = revoked.json();
        assert_eq!((seen["status"].as_str(), house.status(&old).as_str()), (Some("revoked"), "revoked"));
        if worked(&rotated) {
            let successor = house.keep(&rotated);
            assert_eq!(seen["rotated_to"], json!(successor), "whoever revoked knows of it");
            assert_eq!(house.status(&successor), "active", "the successor was not meant");
        } else {
            assert_eq!(rotated.verdict(), "409 conflict");
            assert_eq!(house.state(&old)["rotated_to"], Value::Null);
        }
        house.clear();
    }
    house.both_orders();
}

/// Two who rotate: a line with one end. An unused successor makes room for the next, so both may be told of one, and
/// the one that counts is the one that the old key names.
#[test]
fn rotate_and_rotate() {
    let mut house = House::new("offload", "admin");
    let ana = house.ana.clone();
    for round in 0..ROUNDS {
        let old = house.create(&ana, reading());
        let itself = house.key(&old);
        let other = if round % 2 == 0 { (ana.clone(), rotate(&old)) } else { (itself, rotate_self()) };
        let other = request(&other.0, &other.1);
        let answers = at_once(&house.gateway, &request(&ana, &rotate(&old)), &other);
        let made: Vec<String> = answers.iter().map(|answer| house.keep(answer)).collect();
        let after = house.state(&old);
        assert_eq!(after["status"], "rotating");
        let named = after["rotated_to"].as_str().expect("a successor");
        for id in &made {
            let expected = if id == named { "active" } else { "revoked" };
            assert_eq!(house.status(id), expected, "{named} of {made:?}");
        }
        assert!(made.iter().any(|id| id == named), "{named} of {made:?}");
        house.clear();
    }
    whole_trail(&house.gateway);
}

/// A minted key renews itself, or is rotated, while what minted it is revoked: nothing of the tree is left alive.
#[test]
fn rotate_and_revoke_the_parent() {
    let mut house = House::new("cortex", "instance_admin");
    let ana = house.ana.clone();
    let primary = json!({ "name": "primary", "scopes": ["public_api:edit", "cli_tools:view"] });
    for round in 0..ROUNDS {
        let parent = house.create(&ana, primary.clone());
        let minter = house.key(&parent);
        let child = house.create(&minter, json!({ "name": "task", "scopes": ["cli_tools:view"] }));
        let rotation = match round % 3 {
            0 => (house.key(&child), rotate_self()),
            1 => (minter.clone(), rotate(&child)),
            _ => (minter.clone(), rotate_self()),
        };
        let [rotated, revoked] = house.race((&rotation.0, &rotation.1), &revoke(&parent));
        assert_eq!(revoked.status, 200, "{revoked:?}");
        let mut tree = vec![parent, child];
        if worked(&rotated) {
            tree.push(house.keep(&rotated));
        } else {
            assert!(matches!(rotated.status, 401 | 403 | 409), "{rotated:?}");
        }
        for id in &tree {
            assert_eq!(house.status(id), "revoked", "{id} of {tree:?}");
        }
        house.clear();
    }
    house.both_orders();
}

/// A key renews itself - whoever holds it does - while its owner revokes it: it does not outrun its revocation, not by
/// giving itself no grace, and not by renewing what it became.
#[test]
fn renew_oneself_and_revoke() {
    let mut house = House::new("offload", "admin");
    let ana = house.ana.clone();
    for round in 0..ROUNDS {
        let old = house.create(&ana, reading());
        let mut line = vec![old.clone()];
        if round % 3 == 2 {
            // It did so a moment ago already: what is revoked is what its owner knew of.
            let by = house.key(&old);
            line.push(house.keep(&request(&by, &rotate_self()).send()));
        }
        let grace = if round % 3 == 1 { json!({ "grace_hours": 0 }) } else { json!({}) };
        let by = house.key(line.last().expect("a key"));
        let renewal: Change = ("POST", "/v1/api-keys/self/rotate".into(), grace);
        let [rotated, revoked] = house.race((&by, &renewal), &revoke(&old));
        assert_eq!(revoked.status, 200, "{revoked:?}");
        if worked(&rotated) {
            line.push(house.keep(&rotated));
        } else {
            assert!(matches!(rotated.status, 401 | 403 | 409), "{rotated:?}");
        }
        for id in &line {
            assert_eq!(house.status(id), "revoked", "{id} of {line:?}");
        }
        house.clear();
    }
    house.both_orders();
}

/// Two who revoke are both told that it is done, and it is done once.
#[test]
fn revoke_and_revoke() {
    let mut house = House::new("offload", "admin");
    let ana = house.ana.clone();
    for _ in 0..ROUNDS {
        let old = house.create(&ana, reading());
        let new = house.keep(&request(&ana, &rotate(&old)).send());
        let answers = at_once(&house.gateway, &request(&ana, &revoke(&old)), &request(&ana, &revoke(&new)));
        for answer in answers {
            assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("revoked")));
        }
        for id in [&old, &new] {
            assert_eq!(house.status(id), "revoked");
            let prefix = house.state(id)["prefix"].as_str().expect("a prefix").to_owned();
            let path = format!("/v1/audit?target={prefix}&action=revoke");
            let events = ask(&ana, "GET", &path, Value::Null).json();
            assert_eq!(events["items"].as_array().map(Vec::len), Some(1), "{events}");
        }
        house.clear();
    }
    whole_trail(&house.gateway);
}
