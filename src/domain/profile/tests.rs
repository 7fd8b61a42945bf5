//! The shipped profiles against the tables that they were ordered from. The tables are written out here once
//! more, by hand, so that a slip in a file cannot also slip into its test.

mod hostile;
mod matrix;
mod rules;

use super::*;
use crate::domain::role::Level;

fn shipped(name: &str) -> Profile {
    Profile::parse(Profile::shipped(name).unwrap(), name).unwrap_or_else(|errors| panic!("{errors}"))
}

const CONTROL: &str = "org:create org:update org:delete team:manage project:manage member:read member:invite \
     member:update member:remove role:manage group:manage api_key:create api_key:read api_key:update \
     api_key:rotate api_key:revoke audit:read usage:read webhook:manage billing:manage";
const API_KEY: &str = "api_key:create api_key:read api_key:update api_key:rotate api_key:revoke";
const MEMBER: &str = "member:read member:invite member:update member:remove";
const OFFLOAD: &str = "dashboard:read scan:read risk:read report:read vulnerability:read assessment:read \
     cloud_posture:read report:export assessment:manage executive_dashboard:read compliance_copilot:use \
     scan:trigger scan:manage risk:manage vulnerability:update report:generate ai_assistant:use \
     cloud_account:manage threat_intelligence:manage container_security:manage remediation:manage \
     remediation:approve integration:manage";

fn sorted(lists: &[&str]) -> Vec<String> {
    let mut names: Vec<_> =
        lists.iter().flat_map(|list| list.split_whitespace()).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

fn without(mut names: Vec<String>, taken: &[&str]) -> Vec<String> {
    names.retain(|name| !taken.contains(&name.as_str()));
    names
}

#[track_caller]
fn assert_role(profile: &Profile, name: &str, level: Level, expected: &[String]) {
    let role = profile.roles.get(name).unwrap_or_else(|| panic!("no role {name}"));
    assert_eq!(role.level, level, "{name}");
    assert_eq!(profile.permissions.names(role.permissions), expected, "{name}");
}

fn role_names(profile: &Profile) -> Vec<&str> {
    profile.roles.iter().map(|role| &*role.name).collect()
}

#[test]
fn every_shipped_profile_parses_under_its_name_and_knows_the_control_planes_rights() {
    for (name, _) in Profile::SHIPPED {
        let profile = shipped(name);
        assert_eq!(&*profile.name, name);
        profile.permissions.parse_set(CONTROL.split_whitespace()).unwrap();
    }
    assert_eq!(Profile::shipped("Offload"), None);
}

#[test]
fn vocabularies_hold_what_the_documents_name_and_no_more() {
    for (name, own) in [
        ("offload", OFFLOAD),
        ("cortex", "cli_tools:view cli_tools:edit public_api:view public_api:edit"),
        ("trustedoss", "scan:trigger scan:read report:download webhook:receive *"),
        ("reducto", "studio:use api:call"),
    ] {
        let vocabulary = shipped(name).permissions;
        assert_eq!(vocabulary.names(vocabulary.all()), sorted(&[CONTROL, own]), "{name}");
    }
}

/// R000_02.
#[test]
fn offload_has_six_additive_roles() {
    let profile = shipped("offload");
    let adds = [
        ("viewer", "dashboard:read scan:read risk:read report:read"),
        (
            "auditor",
            "vulnerability:read assessment:read cloud_posture:read audit:read usage:read report:export",
        ),
        ("compliance_officer", "assessment:manage executive_dashboard:read compliance_copilot:use"),
        (
            "security_analyst",
            "scan:trigger scan:manage risk:manage vulnerability:update report:generate ai_assistant:use",
        ),
        (
            "security_manager",
            "cloud_account:manage threat_intelligence:manage container_security:manage remediation:manage \
             remediation:approve member:invite member:read member:update",
        ),
    ];
    let mut held = vec![API_KEY];
    for (name, more) in adds {
        held.push(more);
        assert_role(&profile, name, Level::Team, &sorted(&held));
    }
    assert_role(&profile, "admin", Level::Team, &without(sorted(&[CONTROL, OFFLOAD]), &["org:create"]));
    let order: Vec<_> = adds.iter().map(|(name, _)| *name).chain(["admin"]).collect();
    assert_eq!(role_names(&profile), order);
    assert_eq!(&*profile.roles.highest().name, "admin");
}

/// R000_13.
#[test]
fn offload_has_the_five_presets() {
    let profile = shipped("offload");
    let every_scope = sorted(&[OFFLOAD, API_KEY, "member:read audit:read usage:read"]).join(" ");
    let expected = [
        ("ci_basic", "CI/CD Pipeline (Basic)", "scan:trigger scan:read"),
        ("ci_full", "CI/CD Pipeline (Full)", "scan:trigger scan:read scan:manage vulnerability:read"),
        (
            "read_only",
            "Read Only",
            "scan:read vulnerability:read assessment:read cloud_posture:read risk:read report:read",
        ),
        (
            "security_automation",
            "Security Automation",
            "scan:trigger scan:read scan:manage vulnerability:read vulnerability:update cloud_posture:read \
             report:read report:generate",
        ),
        ("full_access", "Full Access", every_scope.as_str()),
    ];
    assert_eq!(profile.presets.iter().count(), expected.len());
    for (preset, (name, title, scopes)) in profile.presets.iter().zip(expected) {
        assert_eq!((&*preset.name, &*preset.title), (name, title));
        assert_eq!(profile.permissions.names(preset.scopes), sorted(&[scopes]), "{name}");
        assert_eq!(profile.presets.get(name), Some(preset));
    }
    assert_eq!(profile.presets.get("full_access").map(|preset| preset.scopes), Some(profile.keys.grantable));
    for other in ["cortex", "trustedoss", "reducto"] {
        assert_eq!(shipped(other).presets.iter().count(), 0, "{other}");
    }
}

/// R001_06, R001_08.
#[test]
fn cortex_has_two_equal_administrators_and_two_roles_that_only_they_give() {
    let profile = shipped("cortex");
    assert_eq!(role_names(&profile), ["cli_read_only", "cli", "instance_admin", "account_admin"]);
    let all = profile.permissions.names(profile.permissions.all()).into_iter().map(str::to_owned).collect();
    let all = without(all, &["org:create"]);
    assert_role(&profile, "instance_admin", Level::Org, &all);
    assert_role(&profile, "account_admin", Level::Org, &all);
    assert_role(&profile, "cli", Level::Org, &sorted(&["cli_tools:view cli_tools:edit"]));
    assert_role(&profile, "cli_read_only", Level::Org, &sorted(&["cli_tools:view"]));
    for role in &profile.roles {
        let built_in = role.name.starts_with("cli");
        assert_eq!(role.on_keys, built_in, "{}", role.name);
        assert!(role.is_visible_to(Some("instance_admin")) && role.is_visible_to(Some("account_admin")));
        assert_eq!(role.is_visible_to(None), !built_in, "{}", role.name);
        assert_eq!(role.is_visible_to(Some("cli")), !built_in, "{}", role.name);
    }
    assert!(profile.members.role_optional && profile.members.groups && profile.members.custom_roles_on_keys);
    let custom = "cli_tools:view cli_tools:edit public_api:view public_api:edit role:manage group:manage";
    let allowed = profile.members.custom_roles.unwrap();
    assert_eq!(profile.permissions.names(allowed), sorted(&[custom, MEMBER]));
}

#[test]
fn cortex_implies_what_its_table_says() {
    let profile = shipped("cortex");
    for (name, brings) in [
        ("cli_tools:view", ""),
        ("cli_tools:edit", "cli_tools:view"),
        ("public_api:view", "api_key:read"),
        (
            "public_api:edit",
            "public_api:view api_key:read api_key:create api_key:update api_key:rotate api_key:revoke",
        ),
    ] {
        let closed = profile.permissions.closure(profile.permissions.parse_set([name]).unwrap());
        assert_eq!(profile.permissions.names(closed), sorted(&[name, brings]), "{name}");
    }
    assert_eq!(profile.compat, [Compat::Cortex]);
}

/// R002_17.
#[test]
fn trustedoss_has_three_roles_and_an_action_that_stands_for_all() {
    let profile = shipped("trustedoss");
    assert_eq!(role_names(&profile), ["developer", "team_admin", "super_admin"]);
    let developer = "scan:trigger scan:read report:download usage:read";
    let team_admin = "webhook:receive project:manage audit:read";
    assert_role(&profile, "developer", Level::Team, &sorted(&[developer, API_KEY]));
    assert_role(&profile, "team_admin", Level::Team, &sorted(&[developer, team_admin, API_KEY, MEMBER]));
    let own = "scan:trigger scan:read report:download webhook:receive *";
    assert_role(&profile, "super_admin", Level::Org, &sorted(&[CONTROL, own]));
    let everything = profile.permissions.parse_set(["*"]).unwrap();
    assert_eq!(everything.len(), 1, "in a request `*` is a name, not a pattern");
    assert_eq!(profile.permissions.closure(everything), profile.permissions.all());
    for (role, expected) in [("developer", false), ("team_admin", false), ("super_admin", true)] {
        assert_eq!(
            everything.is_subset_of(&profile.roles.get(role).unwrap().permissions),
            expected,
            "{role}"
        );
    }
}

/// R003_01.
#[test]
fn reducto_has_owner_admin_and_member() {
    let profile = shipped("reducto");
    assert_eq!(role_names(&profile), ["member", "admin", "owner"]);
    let all = sorted(&[CONTROL, "studio:use api:call"]);
    let member = "studio:use api:call usage:read api_key:read member:read";
    assert_role(&profile, "member", Level::Org, &sorted(&[member]));
    assert_role(&profile, "admin", Level::Org, &without(all.clone(), &["org:create", "org:delete"]));
    assert_role(&profile, "owner", Level::Org, &without(all, &["org:create"]));
}

#[test]
fn organizations_are_made_by_operators_and_one_role() {
    for (name, _) in Profile::SHIPPED {
        for role in &shipped(name).roles {
            let makes = role.permissions.contains(control::ORG_CREATE);
            assert_eq!(makes, (name, &*role.name) == ("trustedoss", "super_admin"), "{name} {}", role.name);
        }
    }
}

/// R000_05, R000_06, R003_06.
#[test]
fn nobody_gives_a_role_above_their_own() {
    type Table = &'static [(&'static str, &'static str)];
    let tables: [(&str, Table); 4] = [
        (
            "offload",
            &[
                ("admin", "viewer auditor compliance_officer security_analyst security_manager admin"),
                ("security_manager", "viewer auditor compliance_officer security_analyst security_manager"),
            ],
        ),
        (
            "cortex",
            &[
                ("instance_admin", "instance_admin account_admin cli cli_read_only"),
                ("account_admin", "instance_admin account_admin cli cli_read_only"),
            ],
        ),
        (
            "trustedoss",
            &[("super_admin", "super_admin team_admin developer"), ("team_admin", "team_admin developer")],
        ),
        ("reducto", &[("owner", "owner admin member"), ("admin", "admin member")]),
    ];
    for (name, table) in tables {
        let profile = shipped(name);
        let roles = role_names(&profile);
        for by in &roles {
            let gives = table.iter().find(|(giver, _)| giver == by).map_or("", |(_, gives)| *gives);
            for to in &roles {
                let expected = gives.split_whitespace().any(|role| role == *to);
                let invitations = &profile.invitations;
                assert_eq!(invitations.may_give(Some(by), to), expected, "{name}: {by} gives {to}");
                assert_eq!(
                    invitations.may_change(Some(by), Some(to), None),
                    expected,
                    "{name}: {by} takes {to}"
                );
                assert!(!invitations.may_give(None, to), "{name}: nobody gives {to}");
            }
        }
    }
    let invitations = shipped("offload").invitations;
    assert!(invitations.may_change(Some("security_manager"), Some("viewer"), Some("auditor")));
    assert!(
        !invitations.may_change(Some("security_manager"), Some("admin"), Some("viewer")),
        "an admin stays one"
    );
    assert!(!invitations.may_change(Some("security_manager"), Some("viewer"), Some("admin")));
}
