//! Usage, versions, manuals; exit codes; tables for people and JSON for scripts.

use crate::support::{
    program::{ADMIN, Site, run},
    rawup::Upstream,
    setup::Setup,
    wrong::Wrong,
};

/// 0 done, 1 failed, 2 wrong usage; data on standard output, remarks on standard error.
#[test]
fn exit_codes_tell_what_happened() {
    for arguments in [
        vec!["--version"],
        vec!["--help"],
        vec!["man"],
        vec!["completions", "bash"],
        vec!["completions", "zsh"],
        vec!["completions", "fish"],
    ] {
        let output = run(&arguments, "");
        assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{arguments:?}");
        assert!(!output.stdout.is_empty(), "{arguments:?}");
    }
    assert!(run(["--version"], "").stdout.contains(env!("CARGO_PKG_VERSION")));
    for arguments in [
        vec!["nonsense"],
        vec!["keys"],
        vec!["keys", "create", "--nonsense"],
        vec!["serve", "--config"],
        vec!["completions", "tcsh"],
        vec![],
    ] {
        let output = run(&arguments, "");
        assert_eq!((output.code, output.stdout.as_str()), (2, ""), "{arguments:?}: {output:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}

/// What does not exist is 1 with one line; it never looks like success.
#[test]
fn what_does_not_exist_fails() {
    let site = Site::new(Setup::offload(&Upstream::echo()));
    let id = "0192f7c4-5b1e-7c3a-9d2e-1f0a2b3c4d5e";
    let mut wrong = Wrong::default();
    for arguments in [
        vec!["keys", "show", id],
        vec!["keys", "show", "zzzzzzzz"],
        vec!["keys", "revoke", id],
        vec!["keys", "rotate", id],
        vec!["keys", "rename", id, "x"],
        vec!["keys", "create", "--user", "nobody@example.com", "--name", "x", "--scopes", "scan:read"],
        vec!["projects", "create", "--team-id", id, "--name", "x"],
        vec!["teams", "create", "--org", "nobody", "--name", "x"],
    ] {
        let output = site.cli(&arguments);
        wrong.unless(output.code == 1 && output.stdout.is_empty() && !output.stderr.is_empty(), || {
            format!("{arguments:?}: {output:?}")
        });
    }
    wrong.none("a command");
}

/// The same objects as a table: names and prefixes, no secret, no JSON.
#[test]
fn tables_are_for_people() {
    let site = Site::new(Setup::offload(&Upstream::echo()));
    let key = site.key(&["--scopes", "scan:read", "--name", "nightly build"]);
    let table = site.plain(&["keys", "list", "--output", "table"], "").ok();
    assert!(table.stdout.contains("nightly build") && table.stdout.contains(&key.prefix), "{}", table.stdout);
    assert!(!table.stdout.contains('{') && !table.stdout.contains("$2b$"), "{}", table.stdout);
    for list in ["orgs", "teams", "users"] {
        let table = site.plain(&[list, "list", "--output", "table"], "").ok();
        assert!(table.stdout.lines().count() > 1, "{list}: {}", table.stdout);
    }
    let created = site
        .plain(
            &[
                "keys",
                "create",
                "--user",
                ADMIN,
                "--name",
                "shown",
                "--scopes",
                "scan:read",
                "--output",
                "table",
            ],
            "",
        )
        .ok();
    assert_eq!(created.stdout.matches("osk_").count(), 1, "the full key, this once: {}", created.stdout);
}

/// Organizations, teams, projects and users as far as keys need them.
#[test]
fn owners_of_keys_are_made_and_listed() {
    let site = Site::new(Setup::trustedoss(&Upstream::echo()));
    let org = site.cli(&["orgs", "create", "--name", "Acme", "--slug", "acme"]).json();
    assert_eq!((org["name"].as_str(), org["slug"].as_str()), (Some("Acme"), Some("acme")));
    let team = site.cli(&["teams", "create", "--org", "acme", "--name", "Web"]).json();
    let project = site
        .cli(&["projects", "create", "--team-id", team["id"].as_str().expect("an id"), "--name", "Shop"])
        .json();
    assert_eq!(project["name"], "Shop");
    let create = [
        "users",
        "create",
        "--email",
        "ana@acme.example",
        "--name",
        "Ana",
        "--org",
        "acme",
        "--role",
        "super_admin",
        "--password-stdin",
    ];
    let user = site.cli_with(&create, "a long enough password\n").json();
    assert_eq!((user["email"].as_str(), user.get("password").is_none()), (Some("ana@acme.example"), true));
    assert_eq!(site.cli_with(&create, "a long enough password\n").code, 1, "an address is taken once");
    let short = [
        "users",
        "create",
        "--email",
        "bo@acme.example",
        "--name",
        "Bo",
        "--org",
        "acme",
        "--role",
        "super_admin",
        "--password-stdin",
    ];
    assert!(matches!(site.cli_with(&short, "too short\n").code, 1 | 2), "NIST: 15 characters at least");
    for (list, count) in [("orgs", 2), ("teams", 2), ("projects", 1), ("users", 2)] {
        assert_eq!(site.cli(&[list, "list"]).json()["items"].as_array().map(Vec::len), Some(count), "{list}");
    }
}
