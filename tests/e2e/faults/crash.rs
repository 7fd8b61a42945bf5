//! A process that dies: what was acknowledged is there, what was not is whole or absent.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use latchgate::control::service::{Caller, NewKey};
use serde_json::Value;

use crate::support::{
    gateway::Gateway,
    program::{ADMIN, Key, Site},
    rawup::Upstream,
    setup::Setup,
};

/// Tells a copy of this test program that it is the one to be killed, and on which site.
const VICTIM: &str = "E2E_CHANGE_KEYS_ON";

/// Makes 1,000 changes inside a gateway and says each one that was acknowledged. Not a test by itself: only a copy that
/// [`kill_9_in_the_middle_of_a_thousand_changes`] starts does anything.
#[test]
fn a_thousand_changes() {
    let Ok(folder) = std::env::var(VICTIM) else { return };
    let gateway = Gateway::start(Site::lent(folder.into()));
    let mut out = std::io::stdout();
    gateway.control(async |control| {
        for number in 0..250 {
            let new = NewKey {
                user: Some(ADMIN.into()),
                name: format!("key {number}"),
                scope: Some("org".into()),
                ..NewKey::default()
            };
            let created = control.create_key(&Caller::Operator, &new).await.expect("a key");
            let id = created.key.id.to_string();
            writeln!(out, "created {id} {}", created.full().expect("a key")).expect("say so");
            control.rename_key(&Caller::Operator, &id, "renamed").await.expect("renamed");
            writeln!(out, "renamed {id}").expect("say so");
            let successor = control.rotate_key(&Caller::Operator, &id, None).await.expect("rotated");
            writeln!(out, "rotated {id} {} {}", successor.key.id, successor.full().expect("a key"))
                .expect("say so");
            control.revoke_key(&Caller::Operator, &id).await.expect("revoked");
            writeln!(out, "revoked {id}").expect("say so");
        }
    });
}

/// K289, K291: `kill -9` in the middle of 1,000 key changes: after the restart every acknowledged one is there, the trail
/// verifies, nothing is half done.
#[test]
fn kill_9_in_the_middle_of_a_thousand_changes() {
    let upstream = Upstream::echo();
    for survived in [3, 150, 401, 702] {
        let site = Site::new(Setup::trustedoss(&upstream));
        let mut victim = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "faults::crash::a_thousand_changes", "--nocapture"])
            .env(VICTIM, site.path(""))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program to be killed");
        let mut said = BufReader::new(victim.stdout.take().expect("stdout")).lines().map_while(Result::ok);
        let is_change = |line: &String| {
            ["created ", "renamed ", "rotated ", "revoked "].iter().any(|verb| line.contains(verb))
        };
        let mut acknowledged: Vec<String> = said.by_ref().filter(is_change).take(survived).collect();
        victim.kill().expect("kill -9");
        acknowledged.extend(said.filter(is_change));
        victim.wait().expect("its end");
        assert!((survived..1000).contains(&acknowledged.len()), "{} changes", acknowledged.len());
        judge(site, &acknowledged);
    }
}

/// What was acknowledged is true; what was not is whole or absent.
fn judge(site: Site, acknowledged: &[String]) {
    let verified = site.plain(&["audit", "verify"], "");
    assert_eq!(verified.code, 0, "{verified:?}");
    let keys = site.cli(&["keys", "list"]).json()["items"].as_array().cloned().expect("items");
    let events = site.cli(&["audit", "list"]).json()["items"].as_array().cloned().expect("items");
    let count = |event: &str| events.iter().filter(|line| line["event"] == event).count();
    let with = |field: &str| keys.iter().filter(|key| !key[field].is_null()).count();
    assert_eq!(keys.len(), count("api_key.created"), "a row of the trail for each key");
    assert_eq!(with("revoked_at"), count("api_key.revoked"));
    assert_eq!(
        (with("rotated_to"), with("rotated_from")),
        (count("api_key.rotated"), count("api_key.rotated"))
    );
    let program = site.serve();
    let find = |id: &str| keys.iter().find(|key| key["id"] == id).unwrap_or_else(|| panic!("{id} is gone"));
    let last = acknowledged.len() - 1;
    let mut text = std::collections::HashMap::new();
    for (number, line) in acknowledged.iter().enumerate() {
        // The test runner may have printed its own words on the same line before.
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words
            .iter()
            .position(|word| ["created", "renamed", "rotated", "revoked"].contains(word))
            .expect("a verb");
        let id = words[at + 1];
        match words[at] {
            "created" => drop(text.insert(id.to_owned(), words[at + 2].to_owned())),
            "renamed" => assert_eq!(find(id)["name"], "renamed"),
            "rotated" => {
                assert_eq!(find(id)["rotated_to"], words[at + 2]);
                assert_eq!(program.bearer(words[at + 3]).verdict("/any/x"), "200");
            }
            _ => assert_eq!(program.bearer(&text[id]).verdict("/any/x"), "401 credential_revoked"),
        }
        let untouched = words[at] == "created" && number == last;
        assert!(!untouched || program.bearer(&text[id]).get("/any/x").status == 200);
    }
}

/// K289: a writer killed in the middle of its work, many times: the store stays whole, each key that was shown works,
/// and the trail has a row for each key.
#[test]
fn a_writer_killed_at_any_time_leaves_a_whole_store() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::trustedoss(&upstream));
    let mut shown = Vec::new();
    for round in 0_u64..20 {
        let email = format!("user{}@example.com", round / 10);
        if round % 10 == 0 {
            site.user(&email, "super_admin", None);
        }
        let mut child = site.spawn(&[
            "keys", "create", "--user", &email, "--scope", "org", "--name", "k", "--output", "json",
        ]);
        thread::sleep(Duration::from_millis(round * 3));
        let _ = child.kill();
        let mut text = String::new();
        for line in BufReader::new(child.stdout.take().expect("stdout")).lines().map_while(Result::ok) {
            text.push_str(&line);
        }
        let _ = child.wait();
        if let Ok(object) = serde_json::from_str::<Value>(&text) {
            shown.push(Key::from(object));
        }
    }
    assert_eq!(site.plain(&["audit", "verify"], "").code, 0);
    let keys = site.cli(&["keys", "list"]).json()["items"].as_array().cloned().expect("items");
    let created = site.cli(&["audit", "list", "--action", "create"]).json()["items"]
        .as_array()
        .cloned()
        .expect("items");
    let created = created.iter().filter(|event| event["event"] == "api_key.created").count();
    assert_eq!(keys.len(), created, "a row of the trail for each key, no more");
    let last = site.key_of(ADMIN, &["--scope", "org"]);
    let program = site.serve();
    for key in shown.iter().chain([&last]) {
        assert_eq!(program.bearer(&key.text).verdict("/any/x"), "200");
    }
}

/// K292: `kill -9` in the middle of bringing the schema up to date, at any time: the next one finishes it.
#[test]
fn a_migration_that_is_killed_is_finished_by_the_next() {
    let site = Site::new(Setup::bare("offload"));
    let whole = site.count("schema_migrations");
    let mut halfway = 0;
    for round in 0_u64..24 {
        for name in ["latchgate.db", "latchgate.db-wal", "latchgate.db-shm"] {
            let _ = std::fs::remove_file(site.path(name));
        }
        let mut child = site.spawn(&["migrate"]);
        // Later and later, from before it has begun until it is done.
        thread::sleep(Duration::from_millis(round * round / 3));
        let _ = child.kill();
        halfway += u32::from(!child.wait().expect("its end").success());
        site.plain(&["migrate"], "").ok();
        assert_eq!(site.count("schema_migrations"), whole, "round {round}");
        assert_eq!(site.count("pragma_integrity_check WHERE integrity_check = 'ok'"), 1, "round {round}");
        assert_eq!(site.plain(&["audit", "verify"], "").code, 0, "round {round}");
    }
    assert!(halfway > 5, "{halfway} were killed");
}

/// H226: revoked, acknowledged, killed at once: dead after the restart; usage lost is at most a second's.
#[test]
fn an_acknowledged_revocation_survives_the_kill() {
    let upstream = Upstream::echo();
    let mut site = Site::new(Setup::offload(&upstream));
    for round in 0..3 {
        let key = site.key(&["--scopes", "scan:read", "--name", &format!("key {round}")]);
        let program = site.serve();
        assert_eq!(program.key(&key.text).verdict("/api/x"), "200");
        program.cli(&["keys", "revoke", &key.id]).ok();
        site = program.kill9();
        let program = site.serve();
        assert_eq!(program.key(&key.text).verdict("/api/x"), "401 credential_revoked");
        site = program.kill9();
    }
}
