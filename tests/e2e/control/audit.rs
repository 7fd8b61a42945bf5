//! The trail: who did what to what, in a chain that shows each broken row.

use serde_json::Value;

use crate::support::{
    program::{Key, Site},
    rawup::Upstream,
    setup::Setup,
};

fn events(site: &Site, arguments: &[&str]) -> Vec<Value> {
    let listed = site.cli(&[&["audit", "list"], arguments].concat()).json();
    listed["items"].as_array().cloned().expect("items")
}

/// `R002_13` as far as keys go: created, updated, rotated and revoked, each with actor and target; filterable by target.
#[test]
fn the_life_of_a_key_is_on_record() {
    let site = Site::new(Setup::offload(&Upstream::echo()));
    let key = site.key(&["--scopes", "scan:read"]);
    site.cli(&["keys", "rename", &key.id, "renamed"]).ok();
    let successor = Key::from(site.cli(&["keys", "rotate", &key.id]).json());
    site.cli(&["keys", "revoke", &key.id]).ok();
    let of_key = events(&site, &["--target", &key.prefix]);
    let mut told: Vec<&str> = of_key.iter().filter_map(|event| event["event"].as_str()).collect();
    told.sort_unstable();
    assert_eq!(told, ["api_key.created", "api_key.revoked", "api_key.rotated", "api_key.updated"]);
    for event in &of_key {
        assert_eq!(
            (event["target"].as_str(), event["actor"].as_str(), event["actor_kind"].as_str()),
            (Some(key.prefix.as_str()), Some("operator"), Some("operator")),
            "{event}"
        );
        for field in ["id", "at", "target_table", "action", "ip", "detail", "hash"] {
            assert!(event.get(field).is_some(), "{field} is missing in {event}");
        }
        assert!(!event.to_string().contains(&key.text[13..]), "a secret in {event}");
    }
    assert!(
        events(&site, &["--target", &successor.prefix])
            .iter()
            .any(|event| event["event"] == "api_key.created")
    );
    assert!(events(&site, &["--action", "revoke"]).iter().all(|event| event["action"] == "revoke"));
}

/// L321: the store itself refuses to change the trail; where somebody gets past that, the broken row is named.
#[test]
fn a_broken_row_is_named() {
    for (what, change) in [
        (
            "changed",
            "UPDATE audit_events SET actor = 'somebody' WHERE ROWID = (SELECT MAX(ROWID) - 2 FROM audit_events)",
        ),
        ("removed", "DELETE FROM audit_events WHERE ROWID = (SELECT MAX(ROWID) - 2 FROM audit_events)"),
    ] {
        let site = Site::new(Setup::offload(&Upstream::echo()));
        for number in 0..4 {
            site.key(&["--scopes", "scan:read", "--name", &format!("key {number}")]);
        }
        let verified = site.plain(&["audit", "verify"], "");
        assert_eq!(verified.code, 0, "{verified:?}");
        assert!(!site.sql_any(&[change]), "{what}: the store let it happen");
        for trigger in ["audit_events_no_update", "audit_events_no_delete"] {
            site.sql(&format!("DROP TRIGGER {trigger}"));
        }
        site.sql(change);
        let broken = site.plain(&["audit", "verify"], "");
        assert_eq!(broken.code, 1, "{what}: {broken:?}");
        assert!(!broken.stderr.is_empty() || !broken.stdout.is_empty(), "{what}: it says which row");
    }
}

/// The trail is exported whole.
#[test]
fn the_trail_is_exported() {
    let site = Site::new(Setup::offload(&Upstream::echo()));
    for number in 0..3 {
        site.key(&["--scopes", "scan:read", "--name", &format!("=HYPERLINK({number})")]);
    }
    let listed = events(&site, &[]).len();
    let exported = site.plain(&["audit", "export"], "").ok();
    let lines: Vec<&str> = exported.stdout.lines().collect();
    assert!(lines.len() >= listed, "{} lines for {listed} events", lines.len());
}
