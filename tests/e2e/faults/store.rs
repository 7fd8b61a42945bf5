//! The store locked, gone, full or unreadable: known keys pass, unknown ones are 503, never 401 and never open.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use crate::support::{
    gateway::Gateway,
    program::{Lock, Site},
    rawup::Upstream,
    setup::Setup,
    wait,
};

/// J278: while another process holds the write lock, reads go on and writes fail with a clear word, in bounded time.
#[test]
fn a_locked_store_is_read_and_not_written() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let known = site.key(&["--scopes", "scan:read"]);
    let cold = site.key(&["--scopes", "scan:read", "--name", "cold"]);
    let program = site.serve();
    assert_eq!(program.key(&known.text).verdict("/api/x"), "200");
    let lock = Lock::take(&program.site);
    assert_eq!(program.key(&known.text).verdict("/api/x"), "200");
    assert_eq!(program.key(&cold.text).verdict("/api/x"), "200", "WAL: a reader waits for no writer");
    let refused = program.cli(&["keys", "revoke", &known.id]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert_eq!(program.key(&known.text).verdict("/api/x"), "200", "what failed did not half happen");
    lock.release();
    program.cli(&["keys", "revoke", &known.id]).ok();
    wait::within(Duration::from_secs(1), "the revocation", || {
        (program.key(&known.text).get("/api/x").status == 401).then_some(())
    });
    let shown = wait::for_some("usage counted in memory meanwhile is written", || {
        let shown = program.cli(&["keys", "show", &cold.id]).json();
        (shown["usage_count"] == 1).then_some(shown)
    });
    assert!(shown["last_used_at"].is_string());
}

/// J269, J271 to J273: a store that can no longer be read: known keys until `max_staleness`, then 503; unknown ones 503 at
/// once; public routes always; the gateway heals by itself.
#[test]
fn an_unreadable_store_is_never_a_bad_key() {
    let upstream = Upstream::echo();
    let setup = Setup::offload(&upstream).set("auth.max_staleness", "60s").set("auth.revocation_bound", "5s");
    let site = Site::new(setup);
    let known = site.key(&["--scopes", "scan:read"]);
    let cold = site.key(&["--scopes", "scan:read", "--name", "cold"]);
    let revoked = site.key(&["--scopes", "scan:read", "--name", "revoked"]);
    let gateway = Gateway::start(site);
    assert_eq!(gateway.key(&known.text).verdict("/api/x"), "200");
    assert_eq!(gateway.key(&revoked.text).verdict("/api/x"), "200");
    gateway.revoke(&revoked);
    gateway.break_store();
    let unknown = format!("osk_zzzzzzzz_{}", "0".repeat(32));
    let unknown = format!("{unknown}{}", crate::proxy::checksum(&unknown));
    gateway.clock.advance(Duration::from_secs(10));
    assert_eq!(gateway.key(&known.text).verdict("/api/x"), "200", "within max_staleness");
    let dead = gateway.key(&revoked.text).get("/api/x").status;
    assert!(matches!(dead, 401 | 503), "J272: revoked before the outage stays dead: {dead}");
    assert_eq!(gateway.key(&cold.text).verdict("/api/x"), "503 store_unavailable");
    assert_eq!(gateway.key(&unknown).verdict("/api/x"), "503 store_unavailable", "never called a bad key");
    assert_eq!(gateway.anonymous().verdict("/public/x"), "200");
    gateway.clock.advance(Duration::from_secs(60));
    let late = gateway.key(&known.text).get("/api/x");
    assert_eq!(late.verdict(), "503 store_unavailable");
    assert!(late.header("retry-after").is_some(), "{late:?}");
    assert_eq!(gateway.anonymous().verdict("/public/x"), "200");
    gateway.mend_store();
    wait::until("the gateway heals", || gateway.key(&cold.text).get("/api/x").status == 200);
    assert_eq!(gateway.key(&known.text).verdict("/api/x"), "200");
}

/// J287: all the keys that nobody remembers come back at once after an outage: each is served, with no second outage.
#[test]
fn a_herd_after_an_outage_is_served() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::trustedoss(&upstream));
    let keys: Vec<String> = (0..16)
        .map(|number| site.key(&["--scope", "org", "--name", &format!("key {number}")]).text)
        .collect();
    let gateway = Gateway::start(site);
    let door = gateway.door();
    // Each key from eight clients at once.
    let ask_all = || {
        std::thread::scope(|scope| {
            let asking: Vec<_> = (0..8)
                .flat_map(|_| &keys)
                .map(|key| scope.spawn(move || door.bearer(key).verdict("/any/x")))
                .collect();
            asking.into_iter().map(|asked| asked.join().expect("an answer")).collect::<Vec<_>>()
        })
    };
    gateway.break_store();
    assert_eq!(ask_all(), vec!["503 store_unavailable"; 128]);
    gateway.mend_store();
    wait::until("the gateway heals", || door.bearer(&keys[0]).get("/any/x").status == 200);
    assert_eq!(ask_all(), vec!["200"; 128]);
}

/// A file that was moved away, or replaced by a restored backup, still answers to whoever has it open. What is
/// revoked from then on stands in another file, so the gateway must not take its own for the store.
#[test]
fn a_store_that_was_replaced_is_out_of_reach() {
    let upstream = Upstream::echo();
    let setup = Setup::offload(&upstream).set("auth.max_staleness", "60s").set("auth.revocation_bound", "5s");
    let site = Site::new(setup);
    let known = site.key(&["--scopes", "scan:read"]);
    let cold = site.key(&["--scopes", "scan:read", "--name", "cold"]);
    let (path, aside) = (site.path("latchgate.db"), site.path("aside.db"));
    let gateway = Gateway::start(site);
    assert_eq!(gateway.key(&known.text).verdict("/api/x"), "200");
    fs::rename(&path, &aside).expect("move the store away");
    assert_eq!(gateway.key(&cold.text).verdict("/api/x"), "503 store_unavailable", "gone");
    fs::copy(&aside, &path).expect("restore a copy");
    assert_eq!(gateway.key(&cold.text).verdict("/api/x"), "503 store_unavailable", "replaced");
    gateway.clock.advance(Duration::from_secs(10));
    assert_eq!(gateway.key(&known.text).verdict("/api/x"), "200", "within max_staleness");
    gateway.clock.advance(Duration::from_secs(60));
    assert_eq!(gateway.key(&known.text).verdict("/api/x"), "503 store_unavailable");
    fs::rename(&aside, &path).expect("put the store back");
    wait::until("the gateway heals", || gateway.key(&cold.text).get("/api/x").status == 200);
}

/// K299: a store that is none is refused with a clear word and left as it is.
#[test]
fn a_store_that_is_none_is_refused() {
    let site = Site::new(Setup::bare("offload"));
    for name in ["latchgate.db-wal", "latchgate.db-shm"] {
        let _ = fs::remove_file(site.path(name));
    }
    let garbage = vec![b'x'; 100_000];
    fs::write(site.path("latchgate.db"), &garbage).expect("write");
    let refused = site.plain(&["serve"], "");
    assert!(matches!(refused.code, 1 | 2) && refused.stderr.contains("latchgate.db"), "{refused:?}");
    assert_eq!(fs::read(site.path("latchgate.db")).expect("read"), garbage, "left as it is");
    let refused = site.cli(&["keys", "list"]);
    assert!(matches!(refused.code, 1 | 2), "{refused:?}");
}

/// J284: a store of a newer version is refused, not changed.
#[test]
fn a_newer_store_is_refused() {
    let site = Site::new(Setup::bare("offload"));
    site.sql("INSERT INTO schema_migrations SELECT 9999, name, checksum, applied_at FROM schema_migrations LIMIT 1");
    let refused = site.plain(&["serve"], "");
    assert!(matches!(refused.code, 1 | 2) && !refused.stderr.is_empty(), "{refused:?}");
}

/// A store below a folder that cannot be written is refused with its path. Root writes everywhere, so this needs
/// another user.
#[test]
fn a_store_that_cannot_be_made_is_refused() {
    let site = Site::new(Setup::bare("offload"));
    site.configure(&site.setup.clone().set("store.url", "sqlite://absent/folder/latchgate.db"));
    let refused = site.plain(&["serve"], "");
    assert!(matches!(refused.code, 1 | 2) && refused.stderr.contains("absent/folder"), "{refused:?}");
    let _ = fs::set_permissions(site.path("secret.key"), fs::Permissions::from_mode(0o600));
}
