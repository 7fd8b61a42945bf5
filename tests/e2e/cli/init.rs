//! `init`: a folder to start from.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::support::{
    program::{ADMIN, PASSWORD, Site, run},
    setup::Setup,
};

/// It writes a commented configuration that passes `check`, a secret only its owner reads, and a store.
#[test]
fn it_writes_what_serve_needs() {
    for profile in ["offload", "cortex", "trustedoss", "reducto"] {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().join("gate");
        let dir = dir.to_str().expect("a path");
        let arguments = [
            "init",
            "--dir",
            dir,
            "--profile",
            profile,
            "--admin-email",
            ADMIN,
            "--upstream",
            "http://127.0.0.1:9000",
            "--admin-password-stdin",
        ];
        let done = run(arguments, &format!("{PASSWORD}\n"));
        assert_eq!(done.code, 0, "{profile}: {done:?}");
        assert!(!done.stdout.contains(PASSWORD) && !done.stderr.contains(PASSWORD));
        let secret = fs::metadata(format!("{dir}/secret.key")).expect("the secret");
        assert_eq!((secret.permissions().mode() & 0o777, secret.len()), (0o600, 32), "{profile}");
        let text = fs::read_to_string(format!("{dir}/latchgate.toml")).expect("the configuration");
        assert!(
            text.contains('#') && text.contains("http://127.0.0.1:9000") && text.contains(profile),
            "{text}"
        );
        let checked = run(["check", "--config", &format!("{dir}/latchgate.toml")], "");
        assert_eq!(checked.code, 0, "{profile}: {checked:?}");
        assert!(fs::metadata(format!("{dir}/latchgate.db")).is_ok());
    }
}

/// Configuration and state in folders of their own, as a service has them; neither is written over.
#[test]
fn state_has_a_folder_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let (dir, state) = (folder.path().join("etc"), folder.path().join("lib/gate"));
    let init = || {
        run(["init".as_ref(), "--dir".as_ref(), dir.as_os_str(), "--state".as_ref(), state.as_os_str()], "")
    };
    let done = init();
    assert_eq!(done.code, 0, "{done:?}");
    let store = state.join("latchgate.db");
    assert!(done.stdout.contains(&store.display().to_string()), "{done:?}");
    assert!(store.exists() && !dir.join("latchgate.db").exists() && dir.join("secret.key").exists());
    let text = fs::read_to_string(dir.join("latchgate.toml")).expect("the configuration");
    assert!(text.contains(&format!("file:{}/outbox", state.display())), "{text}");
    let config = dir.join("latchgate.toml");
    let users = run(["users".as_ref(), "list".as_ref(), "--config".as_ref(), config.as_os_str()], "");
    assert!(users.code == 0 && users.stdout.contains("admin@localhost"), "{users:?}");
    fs::remove_dir_all(&dir).expect("another start");
    let refused = init();
    assert!(refused.code != 0 && !dir.exists() && store.exists(), "{refused:?}");
}

/// L322: it never writes over what is there.
#[test]
fn it_writes_over_nothing() {
    let site = Site::new(Setup::bare("offload"));
    let dir = site.path("");
    let before = (fs::read(site.path("secret.key")).expect("the secret"), site.store_bytes());
    let arguments = [
        "init",
        "--dir",
        dir.to_str().expect("a path"),
        "--profile",
        "offload",
        "--admin-email",
        "evil@example.com",
        "--admin-password-stdin",
    ];
    let refused = run(arguments, &format!("{PASSWORD}\n"));
    assert!(matches!(refused.code, 1 | 2), "{refused:?}");
    assert_eq!(before.0, fs::read(site.path("secret.key")).expect("the secret"));
    assert!(!site.cli(&["users", "list"]).ok().stdout.contains("evil"), "a second administrator");
}

/// A short password or an unknown profile leaves nothing behind.
#[test]
fn a_wrong_start_leaves_nothing_behind() {
    for (profile, email, password) in [
        ("offload", ADMIN, "too short"),
        ("galaxy", ADMIN, PASSWORD),
        ("offload", "no address", PASSWORD),
        ("offload", ADMIN, ""),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().join("gate");
        let arguments = [
            "init",
            "--dir",
            dir.to_str().expect("a path"),
            "--profile",
            profile,
            "--admin-email",
            email,
            "--admin-password-stdin",
        ];
        let refused = run(arguments, &format!("{password}\n"));
        assert!(
            matches!(refused.code, 1 | 2) && !refused.stderr.is_empty(),
            "{profile} {email}: {refused:?}"
        );
        assert!(
            !dir.join("latchgate.toml").exists() && !dir.join("latchgate.db").exists(),
            "{profile} {email}"
        );
    }
}
