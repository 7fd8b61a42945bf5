//! The trail: who did what to what, in a chain that shows each broken row.

use serde_json::Value;

use crate::support::{
    program::{Key, Site},
    rawup::Upstream,
    setup::Setup,
    wait,
};

fn events(site: &Site, arguments: &[&str]) -> Vec<Value> {
    let listed = site.cli(&[&["audit", "list"], arguments].concat()).json();
    listed["items"].as_array().cloned().expect("items")
}

/// R002_13: created, updated, rotated and revoked, each with actor, target and scope; filterable by target.
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
        assert_eq!(event["detail"]["scope"], "team", "{event}");
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

/// The trail is exported whole, as JSON lines and as CSV.
#[test]
fn the_trail_is_exported() {
    let site = Site::new(Setup::offload(&Upstream::echo()));
    for number in 0..3 {
        site.key(&["--scopes", "scan:read", "--name", &format!("key {number}, \"quoted\"\\n")]);
    }
    let listed = events(&site, &[]);
    let exported = site.plain(&["audit", "export"], "").ok();
    let lines: Vec<Value> =
        exported.stdout.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
    assert_eq!(lines, listed);
    let table = site.plain(&["audit", "export", "--format", "csv"], "").ok().stdout;
    let mut table = csv::Reader::from_reader(table.as_bytes());
    let heading = table.headers().expect("a heading").clone();
    let rows: Vec<csv::StringRecord> = table.records().map(|row| row.expect("a row")).collect();
    assert_eq!(rows.len(), listed.len());
    for (row, event) in rows.iter().zip(&listed) {
        for (name, cell) in heading.iter().zip(row) {
            let told = match &event[name] {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            assert_eq!(cell, told, "{name}");
        }
    }
}

/// L326: what somebody chose for a name is text in a spreadsheet, never a formula.
#[test]
fn an_export_runs_nothing() {
    let site = Site::new(Setup::offload(&Upstream::echo()));
    let formula = "=cmd|'/c calc'!A0@example.com";
    // No address that the product takes begins like this; a row that got in by another way must not run either.
    site.key(&["--scopes", "scan:read", "--name", formula]);
    site.sql("DROP TRIGGER audit_events_no_update");
    for (column, value) in [("actor", "=1+1@example.com"), ("target", "+1"), ("ip", "@SUM(A1)")] {
        site.sql(&format!("UPDATE audit_events SET {column} = '{value}'"));
    }
    let table = site.plain(&["audit", "export", "--format", "csv"], "").ok().stdout;
    let mut read = csv::Reader::from_reader(table.as_bytes());
    let mut seen = 0;
    for cell in
        read.records().flat_map(|row| row.expect("a row").iter().map(str::to_owned).collect::<Vec<_>>())
    {
        assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{cell}");
        seen += usize::from(cell.starts_with('\''));
    }
    assert!(seen >= 3, "{table}");
}

/// R002_13: a key that ends with the place it acts in ends on record, with its own prefix and the reason.
#[test]
fn keys_that_end_with_their_place_are_on_record() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::trustedoss(&upstream));
    let org = site.cli(&["orgs", "create", "--name", "Passing", "--slug", "passing"]).json();
    let org = org["id"].as_str().expect("an id").to_owned();
    let teams: Vec<String> = ["One", "Two"]
        .iter()
        .map(|name| {
            let team = site.cli(&["teams", "create", "--org", "passing", "--name", name]).json();
            team["id"].as_str().expect("an id").to_owned()
        })
        .collect();
    let project = site.cli(&["projects", "create", "--team-id", &teams[0], "--name", "P"]).json();
    let project = project["id"].as_str().expect("an id").to_owned();
    let boss = ["users", "create", "--email", "boss@passing.example", "--name", "Boss", "--org", "passing"];
    site.cli(&[boss.as_slice(), &["--role", "super_admin"]].concat()).ok();
    let key = |place: &[&str]| site.key_of("boss@passing.example", place);
    let of_project = key(&["--scope", "project", "--project-id", &project]);
    let revoked = key(&["--scope", "project", "--project-id", &project]);
    site.cli(&["keys", "revoke", &revoked.id]).ok();
    let of_team = key(&["--scope", "team", "--team-id", &teams[0]]);
    let of_other = key(&["--scope", "team", "--team-id", &teams[1]]);
    let of_org = key(&["--scope", "org"]);
    let program = site.serve();
    let works = |key: &Key| program.bearer(&key.text).verdict("/any/x");
    let ends = |key: &Key| {
        let told = events(&program.site, &["--target", &key.prefix, "--action", "revoke"]);
        told.iter().map(|event| event["detail"]["because"].to_string()).collect::<Vec<_>>()
    };
    assert_eq!([&of_project, &of_team, &of_other, &of_org].map(works), ["200"; 4]);

    program.cli(&["projects", "delete", &project, "--yes"]).ok();
    assert_eq!(ends(&of_project), ["\"its project was deleted\""]);
    assert_eq!(ends(&revoked), ["null"], "it had ended before");
    assert!([&of_team, &of_other, &of_org].map(ends).concat().is_empty());

    program.cli(&["teams", "delete", &teams[0], "--yes"]).ok();
    assert_eq!(ends(&of_team), ["\"its team was deleted\""]);
    assert!([&of_other, &of_org].map(ends).concat().is_empty());

    program.cli(&["orgs", "delete", "passing", "--yes"]).ok();
    assert_eq!([&of_other, &of_org].map(ends), [["\"its organization was deleted\""]; 2]);
    let deleted = events(&program.site, &["--target", &org, "--action", "delete"]);
    assert_eq!(deleted[0]["detail"]["keys_revoked"], 2, "{deleted:?}");
    for key in [&of_project, &of_team, &of_other, &of_org] {
        wait::until("the key is nobody's", || works(key) == "401 credential_invalid");
    }
    assert_eq!(program.site.plain(&["audit", "verify"], "").code, 0);
}
