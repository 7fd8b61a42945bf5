//! Organizations, people and roles.

use super::{Platform, refused, user_id};
use crate::control::service::{Caller, ChainVerdict, GroupChanges, NewKey, NewOrg, NewTeam, NewUser, Page};

const OPERATOR: &Caller = &Caller::Operator;

#[tokio::test]
async fn objects_are_found_by_id_and_by_slug_and_foreign_ones_not_at_all() {
    let platform = Platform::new("offload").await;
    let control = &platform.control;
    let acme = control.find_org(OPERATOR, "acme").await.unwrap();
    assert_eq!(control.find_org(OPERATOR, &acme.id.to_string()).await.unwrap(), acme);
    let other = NewOrg { name: "Acme".into(), slug: None };
    let other = control.create_org(OPERATOR, &other).await.unwrap();
    assert_eq!(other.slug, "acme-2");
    refused(
        control.create_org(OPERATOR, &NewOrg { name: "x".into(), slug: Some("acme".into()) }).await,
        "conflict",
    );
    let team = NewTeam { org: Some("acme-2".into()), name: "Core".into(), slug: None };
    control.create_team(OPERATOR, &team).await.unwrap();
    refused(control.find_team(OPERATOR, "core").await, "invalid_field");

    let ana = platform.person("ana", "admin").await;
    assert_eq!(control.find_team(&ana, "core").await.unwrap().org_id, acme.id);
    refused(control.find_org(&ana, "acme-2").await, "not_found");
    refused(control.delete_org(&ana, "acme-2").await, "not_found");
    refused(
        control.create_org(&ana, &NewOrg { name: "Mine".into(), slug: None }).await,
        "scope_insufficient",
    );
    assert_eq!(control.list_orgs(&ana, &Page::default()).await.unwrap().items, [acme]);
}

#[tokio::test]
async fn people_are_found_by_address_in_any_case_and_the_address_is_theirs_alone() {
    let platform = Platform::new("offload").await;
    let ana = platform.person("ana", "viewer").await;
    let found = platform.control.find_user(OPERATOR, "ANA@acme.example").await.unwrap();
    assert_eq!(found.id, user_id(&ana));
    let again = NewUser {
        email: "Ana@Acme.Example".into(),
        name: "Ana".into(),
        role: Some("viewer".into()),
        ..NewUser::default()
    };
    refused(platform.control.create_user(OPERATOR, &again).await, "conflict");
    let wrong = NewUser { role: Some("king".into()), email: "b@acme.example".into(), ..again };
    let message = refused(platform.control.create_user(OPERATOR, &wrong).await, "invalid_field");
    assert!(message.contains("security_manager"), "{message}");
}

/// Only an administrator makes administrators (R000_06), and nobody gives more than they have.
#[tokio::test]
async fn roles_are_given_by_those_who_may() {
    let platform = Platform::new("offload").await;
    let control = &platform.control;
    let manager = platform.person("mia", "security_manager").await;
    let admin = platform.person("ada", "admin").await;
    let viewer = platform.person("vic", "viewer").await;
    let team = Some("core");
    refused(control.set_role(&manager, "vic@acme.example", team, Some("admin")).await, "forbidden");
    refused(control.set_role(&manager, "ada@acme.example", team, Some("viewer")).await, "forbidden");
    refused(control.set_role(&viewer, "vic@acme.example", team, Some("auditor")).await, "scope_insufficient");
    control.set_role(&manager, "vic@acme.example", team, Some("auditor")).await.unwrap();
    control.set_role(&admin, "vic@acme.example", team, Some("admin")).await.unwrap();
    // With two there, one can go; the last one cannot.
    control.set_role(&admin, "ada@acme.example", team, Some("viewer")).await.unwrap();
    refused(control.set_role(&viewer, "vic@acme.example", team, Some("viewer")).await, "conflict");
    refused(control.remove_member(&viewer, "vic@acme.example", team).await, "conflict");
    refused(control.set_user_active(&viewer, "vic@acme.example", false).await, "conflict");
    // What was taken away no longer counts.
    refused(control.set_role(&admin, "mia@acme.example", team, Some("viewer")).await, "scope_insufficient");
}

/// Roles of one rank stand beside each other: an administrator of the other kind, or by a group, is one who is left
/// (E168).
#[tokio::test]
async fn somebody_is_left_who_administers() {
    let platform = Platform::new("cortex").await;
    let control = &platform.control;
    let ada = platform.person("ada", "instance_admin").await;
    let (ada_is, acc_is, bob_is) = ("ada@acme.example", "acc@acme.example", "bob@acme.example");
    let acc = platform.person("acc", "account_admin").await;
    platform.person("bob", "none").await;
    control.set_role(&ada, ada_is, None, Some("cli")).await.unwrap();
    refused(control.set_role(&acc, acc_is, None, None).await, "conflict");
    platform.group(&acc, "Admins", &["instance_admin"], &["acc", "bob"]).await;
    // Two by the group, one of them directly too: that one may lose what they have beside it.
    control.set_role(&acc, acc_is, None, None).await.unwrap();
    refused(control.delete_group(&acc, "Admins").await, "conflict");
    let changes = GroupChanges { roles: Some(vec!["cli".into()]), ..GroupChanges::default() };
    refused(control.update_group(&acc, "Admins", &changes).await, "conflict");
    control.set_user_active(&acc, bob_is, false).await.unwrap();
    refused(control.remove_from_group(&acc, "Admins", acc_is).await, "conflict");
    refused(control.remove_member(&acc, acc_is, None).await, "conflict");
    control.set_user_active(&acc, bob_is, true).await.unwrap();
    control.remove_from_group(&acc, "Admins", acc_is).await.unwrap();
    refused(control.delete_group(&acc, "Admins").await, "scope_insufficient");
    // The operator can give back what they take.
    control.delete_group(OPERATOR, "Admins").await.unwrap();
    control.set_role(OPERATOR, bob_is, None, Some("account_admin")).await.unwrap();
}

#[tokio::test]
async fn a_deactivated_person_may_not_act() {
    let platform = Platform::new("offload").await;
    let ana = platform.person("ana", "admin").await;
    platform.control.set_user_active(OPERATOR, "ana@acme.example", false).await.unwrap();
    refused(platform.control.find_team(&ana, "core").await, "forbidden");
    platform.control.set_user_active(OPERATOR, "ana@acme.example", true).await.unwrap();
    platform.control.find_team(&ana, "core").await.unwrap();
    platform.control.remove_user(OPERATOR, "ana@acme.example").await.unwrap();
    refused(platform.control.find_team(&ana, "core").await, "forbidden");
    refused(platform.control.find_user(OPERATOR, "ana@acme.example").await, "not_found");
}

#[tokio::test]
async fn every_change_is_in_the_trail_and_the_trail_is_whole() {
    let platform = Platform::new("offload").await;
    platform.person("ana", "viewer").await;
    platform.control.set_role(OPERATOR, "ana@acme.example", None, Some("auditor")).await.unwrap();
    let events: Vec<_> = platform.audit().await;
    let events: Vec<_> = events.iter().map(|event| event.split(' ').next().unwrap()).collect();
    assert_eq!(events, ["member.updated", "user.created", "team.created", "org.created"]);
    let verdict = platform.control.verify_audit(|_| ()).await.unwrap();
    assert!(matches!(verdict, ChainVerdict::Whole { events: 4, .. }), "{verdict:?}");
}

#[tokio::test]
async fn deleting_an_organization_takes_everything_but_the_trail() {
    let platform = Platform::new("reducto").await;
    let owner = platform.person("olga", "owner").await;
    let admin = platform.person("adam", "admin").await;
    refused(platform.control.delete_org(&admin, "acme").await, "scope_insufficient");
    platform.control.delete_org(&owner, "acme").await.unwrap();
    refused(platform.control.find_org(OPERATOR, "acme").await, "not_found");
    refused(platform.control.find_user(OPERATOR, "adam@acme.example").await, "not_found");
    assert!(platform.audit().await[0].starts_with("org.deleted"));
}

/// Keys administer keys, not people, also not those who hold no role any more.
#[tokio::test]
async fn a_key_stops_nobody() {
    let platform = Platform::new("cortex").await;
    let control = &platform.control;
    let ada = platform.person("ada", "instance_admin").await;
    platform.person("cleo", "cli").await;
    let scopes = Some(vec!["member:update".to_owned(), "member:remove".to_owned()]);
    let key = NewKey { name: "k".into(), scopes, ..NewKey::default() };
    let key = Caller::Key { id: platform.key(&ada, key).await.unwrap().key.id, ip: None };
    for _ in 0..2 {
        refused(control.set_user_active(&key, "cleo@acme.example", false).await, "forbidden");
        refused(control.remove_user(&key, "cleo@acme.example").await, "forbidden");
        let _ = control.remove_member(&ada, "cleo@acme.example", None).await;
    }
    control.set_user_active(&ada, "cleo@acme.example", false).await.unwrap();
}
