//! What the gateway remembers about keys, and how fast it forgets.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use sha2::Digest as _;

use crate::support::{
    program::{ADMIN, Key, Site},
    rawc::Client,
    rawup::Upstream,
    setup::Setup,
    stop::StopAtEnd,
    wait,
};

/// `R000_19`, `R002_10`, `R003_04`: revoked by the command line, refused within a second, also on a kept connection; for good.
#[test]
fn a_revoked_key_is_refused_within_a_second() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let keys: Vec<Key> = (0..5)
        .map(|number| site.key(&["--scopes", "scan:read", "--name", &format!("key {number}")]))
        .collect();
    let program = site.serve();
    for key in &keys {
        let mut client = program.gateway().connect();
        let request = program.key(&key.text).request("GET", "/api/x");
        assert_eq!(request.on(&mut client).status, 200);
        program.cli(&["keys", "revoke", &key.id]).ok();
        let revoked = Instant::now();
        wait::within(Duration::from_secs(1), "the refusal", || {
            (request.on(&mut client).status == 401).then_some(())
        });
        assert!(revoked.elapsed() < Duration::from_secs(1));
        assert_eq!(request.on(&mut client).verdict(), "401 credential_revoked");
        let rotated = program.cli(&["keys", "rotate", &key.id]);
        assert_eq!(rotated.code, 1, "a revoked key was rotated: {rotated:?}");
        let again = program.cli(&["keys", "revoke", &key.id]);
        assert!(again.code == 1 || again.json()["status"] == "revoked", "{again:?}");
        assert_eq!(request.on(&mut client).verdict(), "401 credential_revoked", "nothing revives it");
    }
    let site = program.stop();
    assert_eq!(site.serve().key(&keys[0].text).verdict("/api/x"), "401 credential_revoked", "nor a restart");
}

/// H208 by the command line, under load: no answer later than a second after the revocation was acknowledged.
#[test]
fn no_answer_is_given_after_the_bound() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let key = site.key(&["--scopes", "scan:read"]);
    let program = site.serve();
    let stop = AtomicBool::new(false);
    let (revoked, last_accepted) = thread::scope(|scope| {
        let _end = StopAtEnd(&stop);
        let asking = || {
            let mut client = program.gateway().connect();
            let request = program.key(&key.text).request("GET", "/api/x");
            let mut last = Instant::now();
            while !stop.load(Ordering::Relaxed) {
                let asked = Instant::now();
                if request.on(&mut client).status == 200 {
                    last = asked;
                }
            }
            last
        };
        let askers: Vec<_> = (0..4).map(|_| scope.spawn(asking)).collect();
        upstream.wait_for(100);
        program.cli(&["keys", "revoke", &key.id]).ok();
        let revoked = Instant::now();
        thread::sleep(Duration::from_millis(1500));
        stop.store(true, Ordering::Relaxed);
        (revoked, askers.into_iter().map(|asker| asker.join().expect("an asker")).max().expect("an asker"))
    });
    let late = last_accepted.saturating_duration_since(revoked);
    assert!(late < Duration::from_secs(1), "accepted {late:?} after the revocation");
}

/// H218: a key that was asked for before it existed works as soon as it does.
#[test]
fn an_unknown_key_that_appears_works() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream).set("keys.accept_foreign", true));
    let program = site.serve();
    let key = "legacy-0123456789abcdefghijklmnopqrstuvwxyz";
    for _ in 0..3 {
        assert_eq!(program.key(key).verdict("/api/x"), "401 credential_invalid");
    }
    let hash: String =
        sha2::Sha256::digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let file = program.site.path("keys.csv");
    let org = program.cli(&["orgs", "list"]).json()["items"][0]["slug"].as_str().expect("a slug").to_owned();
    let row = format!(
        "name,org,team,user,prefix,hash,scopes,expires_at,environment,allowed_ips,rate_limit_per_minute\nlegacy,{org},default,{ADMIN},legacy-0,sha256:{hash},scan:read,,,,\n"
    );
    std::fs::write(&file, row).expect("write the keys");
    program.cli(&["keys", "import", file.to_str().expect("a path")]).ok();
    wait::within(Duration::from_secs(1), "the imported key", || {
        (program.key(key).get("/api/x").status == 200).then_some(())
    });
}

/// A key made while the gateway runs works with its first request.
#[test]
fn a_new_key_works_at_once() {
    let upstream = Upstream::echo();
    let program = Site::new(Setup::offload(&upstream)).serve();
    for number in 0..5 {
        let key = program.site.key(&["--scopes", "scan:read", "--name", &format!("key {number}")]);
        assert_eq!(program.key(&key.text).verdict("/api/x"), "200");
    }
}

/// `R000_19`, E156: the old half of a rotation can end before its grace; the end of the new one ends the old one too.
#[test]
fn a_rotated_pair_can_be_revoked() {
    let upstream = Upstream::echo();
    let program = Site::new(Setup::offload(&upstream)).serve();
    let old = program.site.key(&["--scopes", "scan:read"]);
    let new = Key::from(program.cli(&["keys", "rotate", &old.id]).json());
    assert_ne!(old.text, new.text);
    assert_eq!(
        (program.key(&old.text).get("/api/x").status, program.key(&new.text).get("/api/x").status),
        (200, 200)
    );
    let dead = |key: &Key| {
        let refused = || program.key(&key.text).verdict("/api/x") == "401 credential_revoked";
        wait::within(Duration::from_secs(1), "the refusal", || refused().then_some(()));
    };
    program.cli(&["keys", "revoke", &old.id]).ok();
    dead(&old);
    assert_eq!(program.key(&new.text).verdict("/api/x"), "200", "the successor was not meant");
    let newer = Key::from(program.cli(&["keys", "rotate", &new.id]).json());
    program.cli(&["keys", "revoke", &newer.id]).ok();
    dead(&newer);
    dead(&new);
}

/// H221: far more keys than the cache holds, each with its own identity at every turn.
#[test]
fn more_keys_than_memory_keep_their_identities() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream).set("auth.cache_capacity", 4));
    let keys: Vec<Key> = (0..16)
        .map(|number| site.key(&["--scopes", "scan:read", "--name", &format!("key {number}")]))
        .collect();
    let program = site.serve();
    let mut client = program.gateway().connect();
    for round in 0..20 {
        for step in 0..keys.len() {
            let key = &keys[(step * 7 + round * 3) % keys.len()];
            let answer = program.key(&key.text).request("GET", "/api/x").on(&mut client);
            assert_eq!(answer.status, 200);
            assert!(answer.text().contains(&key.prefix), "another key's identity");
        }
    }
}

/// H219: a flood of unknown keys does not push known ones out: they are served without another look-up.
#[test]
fn a_flood_of_unknown_keys_evicts_nobody() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::trustedoss(&upstream).set("auth.cache_capacity", 64));
    let keys: Vec<Key> =
        (0..8).map(|number| site.key(&["--scope", "org", "--name", &format!("key {number}")])).collect();
    let program = site.serve();
    let mut client = program.gateway().connect();
    let known = |client: &mut Client| {
        for key in &keys {
            assert_eq!(program.bearer(&key.text).request("GET", "/any/x").on(client).status, 200);
        }
    };
    known(&mut client);
    let misses = || program.metric("latchgate_cache_events_total", &[("cache", "keys"), ("event", "miss")]);
    for number in 0..400 {
        let unknown = format!("tos_{number:08}_{}", "0".repeat(32));
        client.send(program.bearer(&unknown).request("GET", "/any/x").bytes());
        if number % 50 == 49 {
            (0..50).for_each(|_| assert_eq!(client.receive().status, 401));
            known(&mut client);
        }
    }
    let before = misses();
    assert!(before >= 8.0, "nothing was ever looked up?");
    known(&mut client);
    assert!(misses() - before < 1.0, "known keys were looked up again");
}
