//! Custom roles, groups, roles on keys, and keys that mint keys.

use std::time::Duration;

use latchgate::{
    control::service::{Caller as By, Created, NewGroup, NewKey, NewRole, Page, ServiceError},
    domain::id::{KeyId, UserId},
};
use serde_json::json;

use crate::support::{
    gateway::Gateway,
    program::{ADMIN, Site},
    rawup::Upstream,
    request::Caller,
    setup::Setup,
    wait,
    wrong::Wrong,
};

/// `cortex` before an upstream: what the CLI reads needs `cli_tools:view`, what it uploads `cli_tools:edit`.
pub fn site(upstream: &Upstream) -> Site {
    let route = r#"
        name = "scans"
        path = "/scans/{*rest}"
        upstream = "app"
        require = { GET = "cli_tools:view", POST = "cli_tools:edit" }
    "#;
    Site::new(Setup::bare("cortex").upstream("app", &upstream.url()).route(route))
}

const CUSTOM: [(&str, &str, &str); 3] = [
    ("CLI Read-Only Custom", "cli_tools:view", "CLI readers"),
    ("CLI Write Custom", "cli_tools:edit", "CLI writers"),
    ("Public API (PAPI) Edit", "public_api:edit", "Key makers"),
];

/// The document's first two steps: three custom roles, three groups, and the user in all three.
pub fn path_b(site: &Site, user: &str) {
    site.user(user, "none", None);
    for (role, permissions, group) in CUSTOM {
        site.cli(&["roles", "create", "--name", role, "--permissions", permissions]).json();
        site.cli(&["groups", "create", "--name", group, "--roles", role]).json();
        site.cli(&["groups", "add", group, user]).json();
    }
}

/// The status of an upload.
fn post(caller: &Caller) -> u16 {
    caller.post("/scans/1", "result").status
}

/// `R001_06`, `R001_07`, `R001_09`: the document's Path B as its reader follows it: roles with an exact set of
/// permissions, groups that add up, a key that carries one role and is listed with it.
#[test]
fn path_b_of_the_document() {
    let upstream = Upstream::echo();
    let site = site(&upstream);
    path_b(&site, "dev@example.com");

    // "Edit the primary user and ensure that the User Groups field includes the three User Groups."
    let user = site.cli(&["users", "show", "dev@example.com"]).json();
    assert_eq!(user["groups"], json!(["CLI readers", "CLI writers", "Key makers"]));
    assert_eq!(user["memberships"][0]["role"], json!(null));
    let written = site.cli(&["roles", "show", "CLI Write Custom"]).json();
    assert_eq!((&written["permissions"], &written["custom"]), (&json!(["cli_tools:edit"]), &json!(true)));

    let reader = site.key_of("dev@example.com", &["--roles", "CLI Read-Only Custom"]);
    let writer = site.key_of("dev@example.com", &["--roles", "CLI Read-Only Custom,CLI Write Custom"]);
    let primary = site.key_of("dev@example.com", &["--roles", "Public API (PAPI) Edit"]);

    // "Confirm that the Role column reflects the specific custom role assigned."
    let listed = site.cli(&["keys", "list"]).json();
    let roles = |prefix: &str| {
        let items = listed["items"].as_array().expect("a list");
        items.iter().find(|key| key["prefix"] == prefix).expect("the key")["roles"].clone()
    };
    assert_eq!(roles(&reader.prefix), json!(["CLI Read-Only Custom"]));
    assert_eq!(roles(&primary.prefix), json!(["Public API (PAPI) Edit"]));

    let program = site.serve();
    for (key, reads, writes) in
        [(&reader, "200", 403), (&writer, "200", 200), (&primary, "403 scope_insufficient", 403)]
    {
        let caller = program.key(&key.text);
        assert_eq!((caller.verdict("/scans/1").as_str(), post(&caller)), (reads, writes), "{}", key.object);
    }
    assert_eq!(program.key(&reader.text).verdict("/scans/1"), "200");
    let seen = upstream.last();
    assert_eq!(seen.header("x-role"), Some("CLI Read-Only Custom"));
    assert_eq!(seen.header("x-scopes"), Some("cli_tools:view"));
}

/// `R001_07`: what a group gave goes with it, from keys in use too, within a second and without touching the keys; so
/// it does when the group carries another role, or the role other permissions.
#[test]
fn a_key_follows_the_groups_of_its_issuer() {
    let upstream = Upstream::echo();
    let site = site(&upstream);
    path_b(&site, "dev@example.com");
    let key = site.key_of("dev@example.com", &["--scopes", "cli_tools:view,cli_tools:edit"]);
    let program = site.serve();
    let caller = program.key(&key.text);
    let within_a_second = |step: &str, reads: &str, writes: u16| {
        let reached = || {
            let verdicts = (caller.verdict("/scans/1"), post(&caller));
            (verdicts == (reads.to_owned(), writes)).then_some(())
        };
        wait::within(Duration::from_secs(1), step, reached);
    };
    let refused = "403 scope_insufficient";
    within_a_second("at first", "200", 200);
    program.cli(&["groups", "remove", "CLI writers", "dev@example.com"]).ok();
    within_a_second("out of the writers", "200", 403);
    program.cli(&["groups", "update", "CLI readers", "--roles", "Public API (PAPI) Edit"]).ok();
    within_a_second("the readers read no more", refused, 403);
    program.cli(&["groups", "update", "CLI readers", "--roles", "CLI Read-Only Custom"]).ok();
    within_a_second("the readers read again", "200", 403);
    program.cli(&["roles", "update", "CLI Read-Only Custom", "--permissions", "cli_tools:edit"]).ok();
    within_a_second("the role says more", "200", 200);
    program.cli(&["roles", "update", "CLI Read-Only Custom", "--name", "Renamed"]).ok();
    within_a_second("a name is only a name", "200", 200);
    program.cli(&["groups", "delete", "CLI readers", "--yes"]).ok();
    within_a_second("without the group", refused, 403);
    program.cli(&["users", "set-role", "dev@example.com", "--role", "CLI Write Custom"]).ok();
    within_a_second("a role of their own", "200", 200);
    program.cli(&["users", "set-role", "dev@example.com", "--role", "none"]).ok();
    within_a_second("none again", refused, 403);
    program.cli(&["users", "remove-role", "dev@example.com"]).ok();
    within_a_second("no member", "401 credential_revoked", 401);
}

/// A role that is in use cannot be deleted, and says by whom; what does not exist or is not allowed is refused with
/// nothing changed.
#[test]
fn wrong_roles_and_groups_are_refused() {
    let site = site(&Upstream::echo());
    path_b(&site, "dev@example.com");
    let events = site.count("audit_events");
    let mut wrong = Wrong::default();
    for (arguments, code, said) in [
        (
            vec!["roles", "delete", "CLI Write Custom", "--yes"],
            1,
            "in use (0 people, 1 groups, 0 keys, 0 invitations)",
        ),
        (vec!["roles", "delete", "cli", "--yes"], 1, "part of the profile"),
        (vec!["roles", "delete", "no such", "--yes"], 1, "no role"),
        (vec!["roles", "create", "--name", "x", "--permissions", "org:delete"], 2, "cli_tools:view"),
        (
            vec!["roles", "create", "--name", "cli write custom", "--permissions", "cli_tools:view"],
            1,
            "already",
        ),
        (vec!["roles", "create", "--name", "CLI", "--permissions", "cli_tools:view"], 1, "profile"),
        (vec!["roles", "create", "--name", "x"], 2, "--permissions"),
        (vec!["roles", "update", "CLI Write Custom"], 2, "--name"),
        (vec!["groups", "create", "--name", "x", "--roles", "no such"], 2, "no role"),
        (vec!["groups", "create", "--name", "key makers", "--roles", "CLI Write Custom"], 1, "already"),
        (vec!["groups", "add", "no such", "dev@example.com"], 1, "no group"),
        (vec!["groups", "add", "Key makers", "nobody@example.com"], 1, "no user"),
        (vec!["groups", "remove", "Key makers", ADMIN], 1, "no member"),
        (vec!["keys", "create", "--user", ADMIN, "--name", "k", "--roles", "no such"], 2, "custom role"),
    ] {
        let outcome = site.cli(&arguments);
        let fine = outcome.code == code && outcome.stdout.is_empty() && outcome.stderr.contains(said);
        wrong.unless(fine, || format!("{arguments:?}: {outcome:?}"));
    }
    wrong.none("a refusal");
    assert_eq!(site.count("audit_events"), events, "nothing was changed");
    site.cli(&["groups", "delete", "CLI writers", "--yes"]).ok();
    site.cli(&["roles", "delete", "CLI Write Custom", "--yes"]).ok();
    let tables = site.plain(&["groups", "list", "--output", "table"], "").ok().stdout;
    assert!(tables.contains("Key makers") && tables.contains("dev@example.com"), "{tables}");
    let tables = site.plain(&["roles", "list", "--output", "table"], "").ok().stdout;
    assert!(tables.contains("instance_admin") && tables.contains("CLI Read-Only Custom"), "{tables}");
}

fn user(gateway: &Gateway, email: &str) -> By {
    let user = gateway.site.cli(&["users", "show", email]).json();
    By::User {
        id: user["id"].as_str().expect("an id").parse::<UserId>().expect("an id"),
        ip: None,
        team: None,
    }
}

fn create(gateway: &Gateway, by: &By, new: &NewKey) -> Result<Created, ServiceError> {
    gateway.control(async |control| control.create_key(by, new).await)
}

fn with_roles(roles: &[&str]) -> NewKey {
    let roles = roles.iter().map(|&role| role.to_owned()).collect();
    NewKey { name: "k".into(), roles: Some(roles), ..NewKey::default() }
}

/// `R001_08`: the built-in CLI roles are the two administrators' to attach to keys; others neither see nor attach them.
#[test]
fn the_built_in_cli_roles_are_the_administrators() {
    let upstream = Upstream::echo();
    let site = site(&upstream);
    path_b(&site, "dev@example.com");
    site.user("second@example.com", "account_admin", None);
    let admin = site.key(&["--roles", "cli_read_only"]);
    let second = site.key_of("second@example.com", &["--roles", "cli"]);
    let create = ["keys", "create", "--user", "dev@example.com", "--name", "k", "--roles", "cli"];
    let refused = site.cli(&create);
    assert!(refused.code == 2 && refused.stdout.is_empty(), "{refused:?}");
    assert!(!refused.stderr.contains("cli_read_only"), "{refused:?}");
    let gateway = Gateway::start(site);
    for (email, may) in [(ADMIN, true), ("second@example.com", true), ("dev@example.com", false)] {
        let by = user(&gateway, email);
        let seen =
            gateway.control(async |control| control.list_roles(&by, None, None, &Page::default()).await);
        let seen: Vec<_> = seen.expect("a list").items.into_iter().map(|role| role.name).collect();
        assert_eq!(seen.iter().any(|name| name == "cli_read_only"), may, "{email}: {seen:?}");
        assert!(seen.iter().any(|name| name == "CLI Write Custom"), "{email}: {seen:?}");
    }
    let reader = gateway.key(&admin.text);
    assert_eq!((reader.verdict("/scans/1"), post(&reader)), ("200".into(), 403));
    assert_eq!(post(&gateway.key(&second.text)), 200);
}

/// `R001_10`: roles, groups and keys are made by those who hold the permission for it; for others it is forbidden.
#[test]
fn making_roles_and_keys_needs_the_permission() {
    let site = site(&Upstream::echo());
    path_b(&site, "dev@example.com");
    site.user("plain@example.com", "CLI Read-Only Custom", None);
    let create_key = ["keys", "create", "--user", "plain@example.com", "--name", "k"];
    let refused = site.cli(&[create_key.as_slice(), &["--scopes", "cli_tools:view"]].concat());
    assert!(refused.code == 1 && refused.stderr.contains("api_key:create"), "{refused:?}");
    let gateway = Gateway::start(site);
    for email in ["plain@example.com", "dev@example.com"] {
        let by = user(&gateway, email);
        let role = NewRole { org: None, name: "Mine".into(), permissions: vec!["cli_tools:view".into()] };
        let group = NewGroup { org: None, name: "Mine".into(), roles: vec!["CLI Read-Only Custom".into()] };
        let role = gateway.control(async |control| control.create_role(&by, &role).await.map(drop));
        let group = gateway.control(async |control| control.create_group(&by, &group).await.map(drop));
        for outcome in [role, group] {
            assert_eq!(outcome.map_err(|error| error.code()), Err("scope_insufficient"), "{email}");
        }
    }
}

/// `R001_02`, `R001_03`: a primary key mints task keys that never have more than it has, at the time of minting and
/// ever after; one with `cli_read_only` reads and does not write. They survive its rotation and end with it.
#[test]
fn minted_keys_stay_within_their_primary_key() {
    let upstream = Upstream::echo();
    let site = site(&upstream);
    let more = ["--rate-limit-per-minute", "1000", "--allowed-ips", "127.0.0.0/8", "--expires-in-days", "30"];
    let scopes = ["--scopes", "public_api:edit,cli_tools:edit"];
    let primary = site.key(&[scopes.as_slice(), more.as_slice()].concat());
    let gateway = Gateway::start(site);
    let by = By::Key { id: primary.id.parse::<KeyId>().expect("an id"), ip: None };
    let reading = create(&gateway, &by, &with_roles(&["cli_read_only"])).expect("a task key");
    let writing = NewKey { scopes: Some(vec!["cli_tools:edit".into()]), roles: None, ..with_roles(&[]) };
    let full = create(&gateway, &by, &writing).expect("a task key");
    assert_eq!(reading.key.parent_id.map(|id| id.to_string()), Some(primary.id.clone()));
    assert_eq!(reading.key.allowed_ips, ["127.0.0.0/8"]);
    assert_eq!(reading.key.rate_limit_per_minute, Some(1000));
    assert!(reading.key.expires_at.is_some());
    for (beyond, change) in [
        ("scopes", NewKey { scopes: Some(vec!["audit:read".into()]), ..writing.clone() }),
        ("expiry", NewKey { expires_in_days: Some(31), ..writing.clone() }),
        ("networks", NewKey { allowed_ips: vec!["10.0.0.0/8".into()], ..writing.clone() }),
        ("rate", NewKey { rate_limit_per_minute: Some(1001), ..writing.clone() }),
    ] {
        let refused = create(&gateway, &by, &change).map(drop).map_err(|error| error.code());
        assert_eq!(refused, Err("forbidden"), "{beyond}");
    }
    let (reader, writer) =
        (gateway.key(reading.full().expect("a key")), gateway.key(full.full().expect("a key")));
    assert_eq!((reader.verdict("/scans/1"), post(&reader)), ("200".into(), 403));
    assert_eq!(upstream.last().header("x-role"), Some("cli_read_only"));
    assert_eq!(post(&writer), 200);

    // What is taken from the primary key is taken from its children, before the change is answered.
    let networks = |list: &[&str]| latchgate::control::service::KeyChanges {
        allowed_ips: Some(list.iter().map(|&network| network.to_owned()).collect()),
        ..Default::default()
    };
    for (list, verdict) in [(["10.0.0.0/8"], "403 ip_not_allowed"), (["127.0.0.1"], "200")] {
        let changes = networks(&list);
        gateway
            .control(async |control| control.update_key(&By::Operator, &primary.id, &changes).await.map(drop))
            .expect("changed");
        assert_eq!(reader.verdict("/scans/1"), verdict);
    }

    let successor = gateway.rotate(&primary);
    assert_eq!((reader.verdict("/scans/1"), post(&writer)), ("200".into(), 200));
    gateway.clock.advance(Duration::from_secs(49 * 3600));
    assert_eq!(gateway.key(&primary.text).verdict("/scans/1"), "401 credential_expired");
    assert_eq!(reader.verdict("/scans/1"), "200", "it stands on the successor now");
    let prefix = &successor[3..11];
    gateway
        .control(async |control| control.revoke_key(&By::Operator, prefix).await.map(drop))
        .expect("revoked");
    for caller in [&reader, &writer, &gateway.key(&successor)] {
        assert_eq!(caller.verdict("/scans/1"), "401 credential_revoked");
    }
}

/// `R002_17`: a key acts with a lower role than its issuer's, and holds single actions or all of them.
#[test]
fn a_key_may_act_with_a_lower_role_and_with_single_actions() {
    let upstream = Upstream::echo();
    let route =
        "name = \"hook\"\npath = \"/hook/{*rest}\"\nupstream = \"app\"\nrequire = \"webhook:receive\"";
    let site = Site::new(Setup::trustedoss(&upstream).route(route));
    let team = site.team();
    site.user("lead@example.com", "team_admin", Some(&team));
    let bound = ["--scope", "team", "--team-id", &team];
    let key = |more: &[&str]| site.key_of("lead@example.com", &[bound.as_slice(), more].concat());
    let lower = key(&["--effective-role", "developer"]);
    let keys = [
        (&lower, "200", "403 scope_insufficient"),
        (&key(&["--scopes", "webhook:receive"]), "403 scope_insufficient", "200"),
        (&key(&["--scopes", "scan:read,webhook:receive"]), "200", "200"),
        (&key(&["--scopes", "*"]), "200", "200"),
    ];
    let higher = ["keys", "create", "--user", "lead@example.com", "--name", "k"];
    let higher = site.cli(&[&higher, bound.as_slice(), &["--effective-role", "super_admin"]].concat());
    assert!(higher.code == 1 && higher.stdout.is_empty(), "{higher:?}");
    let program = site.serve();
    for (key, scans, hooks) in keys {
        let caller = program.bearer(&key.text);
        let verdicts = (caller.verdict("/api/x"), caller.verdict("/hook/x"));
        assert_eq!((verdicts.0.as_str(), verdicts.1.as_str()), (scans, hooks), "{}", key.object);
    }
    assert_eq!(program.bearer(&lower.text).verdict("/api/x"), "200");
    assert_eq!(upstream.last().header("x-role"), Some("developer"));
}
