//! Two organizations on one gateway: nothing of one shows in the other.

use serde_json::Value;

use crate::support::{
    program::{Key, PASSWORD, Site},
    rawup::Upstream,
    setup::Setup,
};

fn id(object: &Value) -> String {
    object["id"].as_str().expect("an id").to_owned()
}

/// P361, P367: keys carry their own tenant, open their own teams alone, and are listed with their own organization.
#[test]
fn organizations_are_apart() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::trustedoss(&upstream));
    let home = site.key(&["--scope", "org", "--name", "home"]);
    let other = id(&site.cli(&["orgs", "create", "--name", "Other", "--slug", "other"]).json());
    let team = id(&site.cli(&["teams", "create", "--org", "other", "--name", "Theirs"]).json());
    let create = ["users", "create", "--email", "boss@other.example", "--name", "Boss", "--org", "other"];
    let more = ["--role", "super_admin", "--password-stdin"];
    site.cli_with(&[create.as_slice(), more.as_slice()].concat(), &format!("{PASSWORD}\n")).json();
    let theirs = site.key_of("boss@other.example", &["--scope", "org", "--name", "theirs"]);
    let their_team = site.key_of("boss@other.example", &["--scope", "team", "--team-id", &team]);
    let (own_team, own_org) = (site_team(&site), home.object["org_id"].clone());
    let program = site.serve();
    for (key, tenant) in
        [(&home, own_org.as_str()), (&theirs, Some(other.as_str())), (&their_team, Some(other.as_str()))]
    {
        assert_eq!(program.bearer(&key.text).verdict("/any/x"), "200");
        assert_eq!(upstream.last().header("x-tenant-id"), tenant);
    }
    assert_eq!(
        program.bearer(&their_team.text).verdict(&format!("/teams/{own_team}/x")),
        "403 boundary_mismatch"
    );
    assert_eq!(program.bearer(&their_team.text).verdict(&format!("/teams/{team}/x")), "200");
    let listed = |org: &str| program.cli(&["keys", "list", "--org", org]).ok().stdout;
    assert!(listed("other").contains(&theirs.prefix) && !listed("other").contains(&home.prefix));
    assert!(listed("default").contains(&home.prefix) && !listed("default").contains(&theirs.prefix));
}

/// P371: a tenant, or a team, that calls itself by another's id is told to the upstream by its own.
#[test]
fn a_name_is_not_an_id() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::trustedoss(&upstream));
    let (org, team) = (site.org(), site_team(&site));
    let other = id(&site.cli(&["orgs", "create", "--name", &org, "--slug", "other"]).json());
    let theirs = id(&site.cli(&["teams", "create", "--org", &other, "--name", &team]).json());
    let create = ["users", "create", "--email", "boss@other.example", "--name", &org, "--org", &other];
    let more = ["--role", "super_admin", "--password-stdin"];
    site.cli_with(&[create.as_slice(), more.as_slice()].concat(), &format!("{PASSWORD}\n")).json();
    let key = site.key_of("boss@other.example", &["--scope", "team", "--team-id", &theirs, "--name", &org]);
    let program = site.serve();
    assert_eq!(program.bearer(&key.text).verdict("/any/x"), "200");
    let seen = upstream.last();
    assert_eq!((seen.header("x-tenant-id"), seen.header("x-team-id")), (Some(&*other), Some(&*theirs)));
    assert!(!upstream.record().contains(&org) && !upstream.record().contains(&team), "in no other header");
    assert_eq!(program.bearer(&key.text).verdict(&format!("/teams/{team}/x")), "403 boundary_mismatch");
}

/// E147, P364: a person of one organization cannot be given a key in another's team.
#[test]
fn a_key_cannot_cross_organizations() {
    let site = Site::new(Setup::trustedoss(&Upstream::echo()));
    site.cli(&["orgs", "create", "--name", "Other", "--slug", "other"]).ok();
    let team = id(&site.cli(&["teams", "create", "--org", "other", "--name", "Theirs"]).json());
    let project = id(&site.cli(&["projects", "create", "--team-id", &team, "--name", "Secret"]).json());
    for place in [["--scope", "team", "--team-id", &team], ["--scope", "project", "--project-id", &project]] {
        let create = ["keys", "create", "--user", crate::support::program::ADMIN, "--name", "k"];
        let refused = site.cli(&[create.as_slice(), place.as_slice()].concat());
        assert!(matches!(refused.code, 1 | 2) && refused.stdout.is_empty(), "{place:?}: {refused:?}");
    }
    assert_eq!(site.cli(&["keys", "list"]).json()["items"], serde_json::json!([]));
}

/// The team that `init` made, of several.
fn site_team(site: &Site) -> String {
    let teams = site.cli(&["teams", "list", "--org", "default"]).json();
    id(&teams["items"][0])
}

/// D139, P368: what belongs to a removed person stops for good; the address can be taken by somebody new, without the keys.
#[test]
fn a_removed_persons_keys_do_not_come_back() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let team = site.team();
    site.user("ana@example.com", "viewer", Some(&team));
    let old: Key = site.key_of("ana@example.com", &["--scopes", "scan:read"]);
    site.plain(&["users", "delete", "ana@example.com", "--yes"], "").ok();
    site.user("ana@example.com", "viewer", Some(&team));
    let new = site.key_of("ana@example.com", &["--scopes", "scan:read"]);
    let program = site.serve();
    assert_eq!(program.key(&old.text).verdict("/api/x"), "401 credential_revoked");
    assert_eq!(program.key(&new.text).verdict("/api/x"), "200");
}
