//! Rotation: the old key has its grace to the second, the new one has what the old one had.

use std::time::Duration;

use super::create;
use crate::support::{
    gateway::Gateway,
    program::{Key, Site},
    rawup::Upstream,
    setup::Setup,
};

/// `R000_18`, E154: on a clock that stands still, the old key passes at 47:59:59 and fails at 48:00:00.
#[test]
fn a_rotated_key_has_its_48_hours_to_the_second() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let gateway = Gateway::start(site);
    let old = gateway.site.key(&["--scopes", "scan:read"]);
    let caller = gateway.key(&old.text);
    assert_eq!(caller.verdict("/api/x"), "200");
    let new = gateway.rotate(&old);
    let answer = caller.get("/api/x");
    assert_eq!(answer.status, 200);
    assert!(
        answer.header("deprecation").is_some() && answer.header("sunset").is_some(),
        "a key in its grace says so: {answer:?}"
    );
    assert_eq!(gateway.key(&new).get("/api/x").header("deprecation"), None);

    gateway.clock.advance(Duration::from_secs(48 * 3600 - 1));
    assert_eq!(caller.verdict("/api/x"), "200", "47:59:59");
    gateway.clock.advance(Duration::from_secs(1));
    assert_eq!(caller.verdict("/api/x"), "401 credential_expired", "48:00:00");
    assert_eq!(gateway.key(&new).verdict("/api/x"), "200");
    gateway.clock.advance(Duration::from_secs(1));
    assert_eq!(caller.verdict("/api/x"), "401 credential_expired", "48:00:01");
}

/// The grace is the configured one.
#[test]
fn the_grace_is_configured() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(Site::new(Setup::offload(&upstream).set("keys.rotation_grace", "10m")));
    let old = gateway.site.key(&["--scopes", "scan:read"]);
    gateway.rotate(&old);
    gateway.clock.advance(Duration::from_secs(599));
    assert_eq!(gateway.key(&old.text).verdict("/api/x"), "200");
    gateway.clock.advance(Duration::from_secs(1));
    assert_eq!(gateway.key(&old.text).verdict("/api/x"), "401 credential_expired");
}

/// `R000_21`, E159: a key and its successor count as one; revoking one makes room for one.
#[test]
fn rotation_and_revocation_keep_the_count() {
    let site = Site::new(Setup::offload(&Upstream::echo()));
    let keys: Vec<Key> = (0..25)
        .map(|number| site.key(&["--scopes", "scan:read", "--name", &format!("key {number}")]))
        .collect();
    let full = || create(&site, &["--name", "one more", "--scopes", "scan:read"]);
    assert_eq!(full().code, 1);
    let successor = Key::from(site.cli(&["keys", "rotate", &keys[0].id]).json());
    assert_eq!(full().code, 1, "a rotation makes no room and takes none");
    site.cli(&["keys", "revoke", &keys[1].id]).ok();
    assert_eq!(full().code, 0);
    assert_eq!(full().code, 1);
    site.cli(&["keys", "revoke", &successor.id]).ok();
}

/// E157: what has ended cannot be rotated, and stays ended.
#[test]
fn what_has_ended_cannot_be_rotated() {
    let site = Site::new(Setup::offload(&Upstream::echo()));
    let revoked = site.key(&["--scopes", "scan:read"]);
    site.cli(&["keys", "revoke", &revoked.id]).ok();
    let refused = site.cli(&["keys", "rotate", &revoked.id]);
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""));
    assert_eq!(site.cli(&["keys", "show", &revoked.id]).json()["status"], "revoked");
    let old = site.key(&["--scopes", "scan:read", "--name", "old"]);
    let first = Key::from(site.cli(&["keys", "rotate", &old.id]).json());
    assert_eq!(
        (first.object["rotated_from"].as_str(), first.object["name"].as_str()),
        (Some(old.id.as_str()), Some("old"))
    );
    let second = Key::from(site.cli(&["keys", "rotate", &old.id]).json());
    assert_ne!(
        first.text, second.text,
        "the unused successor is replaced, so that a lost answer locks nobody out"
    );
    assert_ne!(
        site.cli(&["keys", "show", &first.id]).json()["status"],
        "active",
        "the replaced successor is dead"
    );
}

/// `R000_18`: a successor has what its predecessor had.
#[test]
fn a_successor_has_what_its_predecessor_had() {
    let site = Site::new(Setup::offload(&Upstream::echo()));
    let old = site.key(&[
        "--scopes",
        "scan:read,scan:trigger",
        "--allowed-ips",
        "203.0.113.0/24",
        "--rate-limit-per-minute",
        "7",
        "--environment",
        "staging",
    ]);
    let new = Key::from(site.cli(&["keys", "rotate", &old.id]).json());
    for field in [
        "name",
        "scopes",
        "allowed_ips",
        "rate_limit_per_minute",
        "environment",
        "scope",
        "team_id",
        "org_id",
        "security_level",
    ] {
        assert_eq!(new.object[field], old.object[field], "{field}");
    }
    let old = site.cli(&["keys", "show", &old.id]).json();
    assert_eq!(
        (old["status"].as_str(), old["rotated_to"].as_str()),
        (Some("rotating"), Some(new.id.as_str()))
    );
}

/// F188: a key in its grace keeps its list of networks, and its successor has it too.
#[test]
fn rotation_keeps_the_networks() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let old = site.key(&["--scopes", "scan:read", "--allowed-ips", "203.0.113.0/24"]);
    let program = site.serve();
    let new = Key::from(program.cli(&["keys", "rotate", &old.id]).json());
    for key in [old, new] {
        assert_eq!(program.key(&key.text).verdict("/api/x"), "403 ip_not_allowed");
    }
}
