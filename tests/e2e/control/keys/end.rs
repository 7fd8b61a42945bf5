//! How keys end: by their expiry or by revocation, at once and for ever.

use std::time::Duration;

use serde_json::Value;

use crate::support::{
    gateway::Gateway,
    program::{Key, Site},
    rawup::Upstream,
    setup::Setup,
};

/// H217: expiry holds to the second, also for a key that is in every cache.
#[test]
fn expiry_holds_to_the_second() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let gateway = Gateway::start(site);
    let key = gateway.site.key(&["--scopes", "scan:read", "--expires-in-days", "1"]);
    let expires: latchgate::domain::time::Timestamp =
        key.object["expires_at"].as_str().and_then(|text| text.parse().ok()).expect("a time");
    let caller = gateway.key(&key.text);
    assert_eq!(caller.verdict("/api/x"), "200");
    gateway.clock.advance(expires.before(Duration::from_secs(1)).since(gateway.clock.now()));
    assert_eq!(caller.verdict("/api/x"), "200");
    gateway.clock.advance(Duration::from_secs(1));
    assert_eq!(caller.verdict("/api/x"), "401 credential_expired");
}

/// `R000_19`, H208: revoked through the library's own change path, the very next request is refused, 200 times over.
#[test]
fn the_very_next_request_is_refused() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let keys: Vec<Key> = (0..20)
        .map(|number| site.key(&["--scopes", "scan:read", "--name", &format!("key {number}")]))
        .collect();
    let gateway = Gateway::start(site);
    let mut client = gateway.door().connect();
    for key in keys {
        let request = gateway.key(&key.text).request("GET", "/api/x");
        for _ in 0..10 {
            assert_eq!(request.on(&mut client).status, 200);
        }
        gateway.revoke(&key);
        assert_eq!(request.on(&mut client).verdict(), "401 credential_revoked");
    }
}

/// E169: one revocation touches one key, its audit row and its change; nothing else.
#[test]
fn a_revocation_touches_one_key() {
    let site = Site::new(Setup::offload(&Upstream::echo()));
    let keys: Vec<Key> = (0..3)
        .map(|number| site.key(&["--scopes", "scan:read", "--name", &format!("key {number}")]))
        .collect();
    let before = site.cli(&["keys", "list"]).json();
    site.cli(&["keys", "revoke", &keys[1].id]).ok();
    let after = site.cli(&["keys", "list"]).json();
    let find = |list: &Value, id: &str| {
        list["items"].as_array().expect("items").iter().find(|item| item["id"] == id).cloned()
    };
    for key in [&keys[0], &keys[2]] {
        assert_eq!(find(&before, &key.id), find(&after, &key.id));
    }
    let (mut was, mut is) =
        (find(&before, &keys[1].id).expect("before"), find(&after, &keys[1].id).expect("after"));
    for object in [&mut was, &mut is] {
        for field in ["status", "revoked_at"] {
            object.as_object_mut().expect("an object").remove(field);
        }
    }
    assert_eq!(was, is);
}

/// `R003_04`, `R003_03`: in `reducto` a key belongs to the organization; deleting it revokes it at once.
#[test]
fn an_organizations_key_ends_with_its_revocation_alone() {
    let upstream = Upstream::echo();
    let setup = Setup::bare("reducto")
        .upstream("app", &upstream.url())
        .route("name = \"any\"\npath = \"/any/{*rest}\"\nupstream = \"app\"");
    let site = Site::new(setup);
    let key = site.key(&[]);
    let gateway = Gateway::start(site);
    assert_eq!(gateway.key(&key.text).verdict("/any/x"), "200");
    gateway.revoke(&key);
    assert_eq!(gateway.key(&key.text).verdict("/any/x"), "401 credential_revoked");
}
