//! The six roles of `offload` against every permission that the platform has, as its upstreams see them.

use std::collections::BTreeSet;

use crate::support::{program::Site, rawup::Upstream, setup::Setup};

/// The table of the requirement: each role, and what it adds to the one before it. What is not named is the last one's.
const ADDS: [(&str, &[&str]); 6] = [
    (
        "viewer",
        &[
            "dashboard:read",
            "scan:read",
            "risk:read",
            "report:read",
            "api_key:create",
            "api_key:read",
            "api_key:update",
            "api_key:rotate",
            "api_key:revoke",
        ],
    ),
    (
        "auditor",
        &[
            "vulnerability:read",
            "assessment:read",
            "cloud_posture:read",
            "audit:read",
            "usage:read",
            "report:export",
        ],
    ),
    ("compliance_officer", &["assessment:manage", "executive_dashboard:read", "compliance_copilot:use"]),
    (
        "security_analyst",
        &[
            "scan:trigger",
            "scan:manage",
            "risk:manage",
            "vulnerability:update",
            "report:generate",
            "ai_assistant:use",
        ],
    ),
    (
        "security_manager",
        &[
            "cloud_account:manage",
            "threat_intelligence:manage",
            "container_security:manage",
            "remediation:manage",
            "remediation:approve",
            "member:invite",
            "member:read",
            "member:update",
        ],
    ),
    ("admin", &[]),
];

/// The only one that no role holds: making organizations is the operator's.
const NOBODYS: &str = "org:create";

/// P373, `R000_02`: each role passes where the table says, and nowhere else; each passes wherever the one before it does.
#[test]
fn six_roles_each_more_than_the_one_before() {
    let upstream = Upstream::echo();
    let platform = Site::new(Setup::bare("offload")).cli(&["permissions", "list"]).json();
    let permissions: BTreeSet<String> =
        platform["items"].as_array().expect("items").iter().map(|one| super::text(one, "name")).collect();
    let mut setup = Setup::bare("offload").upstream("app", &upstream.url());
    for (number, permission) in permissions.iter().enumerate() {
        let route = format!("name = \"r{number}\"\npath = \"/{permission}/{{*rest}}\"\nupstream = \"app\"");
        setup = setup.route(&format!("{route}\nrequire = \"{permission}\""));
    }
    let site = Site::new(setup);
    let team = site.team();
    for (role, _) in ADDS {
        site.user(&format!("{role}@ladder.example"), role, Some(&team));
    }
    let program = site.serve();
    let callers =
        ADDS.map(|(role, _)| program.bearer(&program.admin().token(&format!("{role}@ladder.example"))));

    let named: BTreeSet<&str> = ADDS.iter().flat_map(|(_, adds)| adds.iter().copied()).collect();
    assert!(named.iter().all(|name| permissions.contains(*name)), "the table names what there is");
    let mut table = format!("{:<28}", "");
    table.extend(ADDS.map(|(role, _)| format!(" {role:<22}")));
    let mut before: BTreeSet<&str> = BTreeSet::new();
    let mut passes = vec![BTreeSet::new(); ADDS.len()];
    for permission in &permissions {
        table.push_str(&format!("\n{permission:<28}"));
        for (caller, passed) in callers.iter().zip(&mut passes) {
            let verdict = caller.verdict(&format!("/{permission}/x"));
            table.push_str(&format!(" {verdict:<22}"));
            assert!(matches!(&*verdict, "200" | "403 scope_insufficient"), "{permission}: {verdict}");
            if verdict == "200" {
                passed.insert(permission.as_str());
            }
        }
    }
    for ((role, adds), passed) in ADDS.iter().zip(&passes) {
        let mut expected = before.clone();
        expected.extend(*adds);
        if *role == "admin" {
            expected = permissions.iter().map(String::as_str).filter(|name| *name != NOBODYS).collect();
        }
        assert_eq!(passed, &expected, "{role}");
        assert!(
            passed.is_superset(&before) && passed.len() > before.len(),
            "{role} is more than the one before"
        );
        before.clone_from(passed);
    }
    let table = table.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    println!("{table}");
    insta::assert_snapshot!("ladder", table);
}
