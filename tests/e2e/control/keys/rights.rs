//! Who may issue what, and what becomes of a key when its issuer changes.

use std::time::Duration;

use crate::support::{
    program::{ADMIN, Site},
    rawup::Upstream,
    setup::Setup,
    wait,
    wrong::Wrong,
};

/// `R002_03`, `R002_04`: which boundary a person may issue depends on the role; the command line acts for that person.
#[test]
fn who_may_issue_which_boundary() {
    let site = Site::new(Setup::trustedoss(&Upstream::echo()));
    let team = site.team();
    let org = site.org();
    let project = site.cli(&["projects", "create", "--team-id", &team, "--name", "One"]).json()["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let other = site.cli(&["teams", "create", "--org", &org, "--name", "Other"]).json()["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    site.user("lead@example.com", "team_admin", Some(&team));
    site.user("dev@example.com", "developer", Some(&team));
    let mut wrong = Wrong::default();
    for (user, arguments, may) in [
        (ADMIN, vec!["--scope", "org"], true),
        (ADMIN, vec!["--scope", "team", "--team-id", &team], true),
        (ADMIN, vec!["--scope", "project", "--project-id", &project], true),
        ("lead@example.com", vec!["--scope", "org"], false),
        ("lead@example.com", vec!["--scope", "team", "--team-id", &team], true),
        ("lead@example.com", vec!["--scope", "team", "--team-id", &other], false),
        ("lead@example.com", vec!["--scope", "project", "--project-id", &project], true),
        ("dev@example.com", vec!["--scope", "org"], false),
        ("dev@example.com", vec!["--scope", "team", "--team-id", &team], false),
        ("dev@example.com", vec!["--scope", "project", "--project-id", &project], true),
    ] {
        let outcome =
            site.cli(&[&["keys", "create", "--user", user, "--name", "k"], arguments.as_slice()].concat());
        let fine = if may { outcome.code == 0 } else { outcome.code == 1 };
        wrong.unless(fine, || format!("{user} {arguments:?}: {outcome:?}"));
    }
    wrong.none("an issuer");
}

/// E147: nobody issues what they do not hold.
#[test]
fn nobody_issues_beyond_their_own_rights() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let team = site.team();
    site.user("viewer@example.com", "viewer", Some(&team));
    for scopes in ["scan:manage", "scan:read,scan:trigger"] {
        let refused =
            site.cli(&["keys", "create", "--user", "viewer@example.com", "--name", "k", "--scopes", scopes]);
        assert_eq!((refused.code, refused.stdout.as_str()), (1, ""), "{scopes}");
    }
    let own = site.key_of("viewer@example.com", &["--scopes", "scan:read"]);
    let program = site.serve();
    assert_eq!(program.key(&own.text).verdict("/api/x"), "200");
    assert_eq!(upstream.last().header("x-role"), Some("viewer"));
}

/// `R002_05`, E166, H212: a key acts with the role that its issuer has at the time of the request, and follows it.
#[test]
fn a_key_follows_its_issuer() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::trustedoss(&upstream).route(
        "name = \"hook\"\npath = \"/hook/{*rest}\"\nupstream = \"app\"\nrequire = \"webhook:receive\"",
    ));
    let team = site.team();
    site.user("lead@example.com", "team_admin", Some(&team));
    let key = site.key_of("lead@example.com", &["--scope", "team", "--team-id", &team]);
    let program = site.serve();
    let caller = program.bearer(&key.text);
    assert_eq!(caller.verdict("/hook/x"), "200");
    assert_eq!(upstream.last().header("x-role"), Some("team_admin"));
    let within_a_second = |verdict: &str| {
        let reached = || (caller.verdict("/hook/x") == verdict).then_some(());
        wait::within(Duration::from_secs(1), verdict, reached);
    };
    program.cli(&["users", "set-role", "lead@example.com", "--role", "developer", "--team-id", &team]).ok();
    within_a_second("403 scope_insufficient");
    assert_eq!(caller.verdict("/api/x"), "200", "what a developer may, the key still may");
    program.cli(&["users", "set-role", "lead@example.com", "--role", "team_admin", "--team-id", &team]).ok();
    within_a_second("200");
    program.cli(&["users", "remove-role", "lead@example.com", "--team-id", &team]).ok();
    within_a_second("401 credential_revoked");
}

/// D139: a person who is deactivated takes the keys along; one who comes back brings them back.
#[test]
fn a_deactivated_persons_keys_stop() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let team = site.team();
    site.user("ana@example.com", "security_analyst", Some(&team));
    let key = site.key_of("ana@example.com", &["--scopes", "scan:read"]);
    let program = site.serve();
    let caller = program.key(&key.text);
    assert_eq!(caller.verdict("/api/x"), "200");
    for (command, verdict) in [("deactivate", "401 credential_revoked"), ("activate", "200")] {
        program.cli(&["users", command, "ana@example.com"]).ok();
        wait::within(Duration::from_secs(1), verdict, || (caller.verdict("/api/x") == verdict).then_some(()));
    }
}
