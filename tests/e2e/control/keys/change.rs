//! Listing, renaming, and changing what may be changed.

use std::time::Duration;

use crate::support::{program::Site, rawup::Upstream, setup::Setup, wait};

/// `R002_12`, `R000_20`: listing shows label, prefix, scope, creator, times, source, status; never the secret.
#[test]
fn listing_shows_what_is_needed_and_no_secret() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::trustedoss(&upstream));
    let team = site.team();
    let used =
        site.key(&["--scope", "team", "--team-id", &team, "--name", "used", "--expires-in-days", "30"]);
    let revoked = site.key(&["--scope", "org", "--name", "revoked"]);
    site.cli(&["keys", "revoke", &revoked.id]).ok();
    let program = site.serve();
    program.bearer(&used.text).get("/any/x");
    let site = program.stop();
    let listed = site.cli(&["keys", "list"]).json();
    let find = |id: &str| {
        listed["items"]
            .as_array()
            .expect("items")
            .iter()
            .find(|item| item["id"] == id)
            .cloned()
            .expect("the key is listed")
    };
    let item = find(&used.id);
    for field in [
        "id",
        "org_id",
        "name",
        "description",
        "prefix",
        "scope",
        "team_id",
        "project_id",
        "scopes",
        "roles",
        "effective_role",
        "security_level",
        "environment",
        "rate_limit_per_minute",
        "allowed_ips",
        "created_by",
        "parent_id",
        "status",
        "created_at",
        "expires_at",
        "grace_until",
        "revoked_at",
        "last_used_at",
        "last_used_ip",
        "usage_count",
        "rotated_from",
        "rotated_to",
    ] {
        assert!(item.get(field).is_some(), "{field} is missing in {item}");
    }
    assert_eq!(
        (item["name"].as_str(), item["prefix"].as_str(), item["scope"].as_str(), item["status"].as_str()),
        (Some("used"), Some(used.prefix.as_str()), Some("team"), Some("active"))
    );
    assert_eq!((item["last_used_ip"].as_str(), item["usage_count"].as_u64()), (Some("127.0.0.1"), Some(1)));
    assert_eq!(find(&revoked.id)["status"], "revoked", "revoked keys stay listed");
    assert!(item.get("key").is_none() && item.get("hash").is_none());
    let of = |flag: &str, value: &str| {
        site.cli(&["keys", "list", flag, value]).json()["items"].as_array().map(Vec::len)
    };
    assert_eq!(
        (of("--status", "revoked"), of("--status", "active"), of("--team-id", &team)),
        (Some(1), Some(1), Some(1))
    );
}

/// F186, E153: a changed list of networks or rate reaches the running gateway within a second.
#[test]
fn a_changed_list_takes_effect() {
    let upstream = Upstream::echo();
    let program = Site::new(Setup::offload(&upstream)).serve();
    let key = program.site.key(&["--scopes", "scan:read"]);
    let caller = program.key(&key.text);
    assert_eq!(caller.verdict("/api/x"), "200");
    for (networks, verdict) in [
        ("203.0.113.0/24", "403 ip_not_allowed"),
        ("127.0.0.1", "200"),
        ("203.0.113.7", "403 ip_not_allowed"),
    ] {
        let changed = program.cli(&["keys", "update", &key.id, "--allowed-ips", networks]).json();
        assert_eq!(changed["allowed_ips"], serde_json::json!([networks]));
        wait::within(Duration::from_secs(1), verdict, || (caller.verdict("/api/x") == verdict).then_some(()));
    }
}

/// A key is renamed without another effect.
#[test]
fn a_key_is_renamed() {
    let upstream = Upstream::echo();
    let program = Site::new(Setup::offload(&upstream)).serve();
    let key = program.site.key(&["--scopes", "scan:read"]);
    assert_eq!(program.key(&key.text).verdict("/api/x"), "200");
    assert_eq!(program.cli(&["keys", "rename", &key.id, "better"]).json()["name"], "better");
    assert_eq!(
        program.cli(&["keys", "show", &key.prefix]).json()["name"],
        "better",
        "a key is found by its prefix too"
    );
    assert_eq!(program.key(&key.text).verdict("/api/x"), "200");
}
