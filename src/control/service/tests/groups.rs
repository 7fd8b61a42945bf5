//! Custom roles, groups, and roles on keys.

use super::{Platform, list, refused};
use crate::{
    control::service::{Caller, GroupChanges, KeyFilter, NewGroup, NewKey, NewRole, Page, RoleChanges},
    domain::{access::Holder, id::KeyId},
};

const OPERATOR: &Caller = &Caller::Operator;

impl Platform {
    pub(super) async fn role(&self, caller: &Caller, name: &str, permissions: &str) {
        let new = NewRole { org: None, name: name.into(), permissions: list(permissions) };
        self.control.create_role(caller, &new).await.unwrap();
    }

    pub(super) async fn group(&self, caller: &Caller, name: &str, roles: &[&str], members: &[&str]) {
        let roles = roles.iter().map(|&role| role.to_owned()).collect();
        let new = NewGroup { org: None, name: name.into(), roles };
        self.control.create_group(caller, &new).await.unwrap();
        for member in members {
            self.control.add_to_group(caller, name, &format!("{member}@acme.example")).await.unwrap();
        }
    }

    async fn holds(&self, key: KeyId) -> String {
        let standing = self.standing(key).await;
        self.names(&standing)
    }
}

fn with_roles(names: &[&str]) -> NewKey {
    let roles = names.iter().map(|&name| name.to_owned()).collect();
    NewKey { name: "k".into(), roles: Some(roles), ..NewKey::default() }
}

fn with_scopes(scopes: &str) -> NewKey {
    NewKey { name: "k".into(), scopes: Some(list(scopes)), ..NewKey::default() }
}

fn role(name: &str, permissions: &str) -> NewRole {
    NewRole { org: None, name: name.into(), permissions: list(permissions) }
}

/// R001_06, R001_10: exactly the named permissions, out of what its maker holds, by those who hold role:manage.
#[tokio::test]
async fn custom_roles_are_made_out_of_what_their_maker_holds() {
    let platform = Platform::new("cortex").await;
    let control = &platform.control;
    let ada = platform.person("ada", "account_admin").await;
    let ana = platform.person("ana", "none").await;
    refused(control.create_role(&ana, &role("Mine", "cli_tools:view")).await, "scope_insufficient");
    platform.role(&ada, "Role Maker", "role:manage cli_tools:view member:update group:manage").await;
    control.set_role(&ada, "ana@acme.example", None, Some("Role Maker")).await.unwrap();
    platform.role(&ana, "Viewer", "cli_tools:view").await;
    let message = refused(control.create_role(&ana, &role("Writer", "cli_tools:edit")).await, "forbidden");
    assert!(message.contains("cli_tools:edit"), "{message}");
    let implied = control.create_role(&ana, &role("Minter", "public_api:edit")).await;
    assert!(refused(implied, "forbidden").contains("api_key:create"), "what it implies counts");
    for (name, permissions, code) in [
        ("Deleter", "org:delete", "invalid_field"),
        ("Unknown", "no:such", "invalid_field"),
        ("All", "*", "invalid_field"),
        ("viewer", "cli_tools:view", "conflict"),
        ("CLI", "cli_tools:view", "conflict"),
        ("Instance Admin", "cli_tools:view", "conflict"),
        ("NONE", "cli_tools:view", "invalid_field"),
        ("a,b", "cli_tools:view", "invalid_field"),
        ("a\r\nX-Role: b", "cli_tools:view", "invalid_field"),
        ("Lecture é", "cli_tools:view", "invalid_field"),
        ("0192f7c4-5b1e-7c3a-9d2e-1f0a2b3c4d5e", "cli_tools:view", "invalid_field"),
    ] {
        refused(control.create_role(&ada, &role(name, permissions)).await, code);
    }
    // What one does not hold in full one neither changes nor deletes, nor takes from others.
    platform.role(&ada, "Writer", "cli_tools:edit").await;
    let lower = RoleChanges { permissions: Some(list("cli_tools:view")), ..RoleChanges::default() };
    refused(control.update_role(&ana, "Writer", &lower).await, "forbidden");
    refused(control.delete_role(&ana, "Writer").await, "forbidden");
    let higher = RoleChanges { permissions: Some(list("cli_tools:edit")), ..RoleChanges::default() };
    refused(control.update_role(&ana, "Viewer", &higher).await, "forbidden");
    refused(control.update_role(&ada, "cli", &higher).await, "conflict");
    platform.person("bob", "none").await;
    control.set_role(&ada, "bob@acme.example", None, Some("Writer")).await.unwrap();
    refused(control.set_role(&ana, "bob@acme.example", None, None).await, "forbidden");
    refused(control.set_role(&ana, "bob@acme.example", None, Some("Viewer")).await, "forbidden");
}

#[tokio::test]
async fn platforms_without_custom_roles_and_groups_have_none() {
    let platform = Platform::new("reducto").await;
    let owner = platform.person("olga", "owner").await;
    refused(platform.control.create_role(&owner, &role("Mine", "api:call")).await, "conflict");
    let group = NewGroup { org: None, name: "Team".into(), roles: list("member") };
    refused(platform.control.create_group(&owner, &group).await, "conflict");
}

/// A role in use stays; renamed it goes on being held, by people, groups and keys alike.
#[tokio::test]
async fn a_role_in_use_is_renamed_everywhere_and_not_deleted() {
    let platform = Platform::new("cortex").await;
    let control = &platform.control;
    let ada = platform.person("ada", "instance_admin").await;
    let ana = platform.person("ana", "none").await;
    platform.role(&ada, "Minter", "public_api:edit cli_tools:view").await;
    platform.role(&ada, "Reader", "cli_tools:view").await;
    control.set_role(&ada, "ana@acme.example", None, Some("Minter")).await.unwrap();
    platform.group(&ada, "Readers", &["Reader"], &["ana"]).await;
    let key = platform.key(&ana, with_roles(&["Reader"])).await.unwrap().key;
    let message = refused(control.delete_role(&ada, "Reader").await, "conflict");
    assert!(message.contains("1 groups, 1 keys"), "{message}");
    let renamed = RoleChanges { name: Some("Onlooker".into()), ..RoleChanges::default() };
    control.update_role(&ada, "Reader", &renamed).await.unwrap();
    assert_eq!(control.find_group(&ada, "readers").await.unwrap().roles, ["Onlooker"]);
    assert_eq!(control.find_key(&ana, &key.prefix).await.unwrap().roles, Some(vec!["Onlooker".to_owned()]));
    assert_eq!(platform.holds(key.id).await, "cli_tools:view");
    control.delete_group(&ada, "Readers").await.unwrap();
    control.revoke_key(&ana, &key.prefix).await.unwrap();
    control.delete_role(&ada, "Onlooker").await.unwrap();
    refused(control.find_role(&ada, "Onlooker").await, "not_found");
    let events = platform.audit().await;
    for event in ["role.created", "role.updated", "role.deleted", "group.created", "group.member_added"] {
        assert!(events.iter().any(|row| row.starts_with(event)), "{event}");
    }
}

/// R001_07: direct role and groups add up, and leave with their group; R001_08: nobody puts in what is not theirs.
#[tokio::test]
async fn groups_add_up_and_are_given_like_roles() {
    let platform = Platform::new("cortex").await;
    let control = &platform.control;
    let ada = platform.person("ada", "instance_admin").await;
    let ana = platform.person("ana", "none").await;
    platform.role(&ada, "Minter", "public_api:edit").await;
    platform.role(&ada, "Reader", "cli_tools:view").await;
    platform.role(&ada, "Grouper", "group:manage cli_tools:view").await;
    platform.group(&ada, "Minters", &["Minter"], &["ana"]).await;
    platform.group(&ada, "Readers", &["Reader"], &["ana"]).await;
    assert_eq!(control.find_user(&ada, "ana@acme.example").await.unwrap().groups, ["Minters", "Readers"]);
    let key = platform.key(&ana, with_scopes("cli_tools:view api_key:create")).await.unwrap().key;
    assert_eq!(platform.holds(key.id).await, "api_key:create cli_tools:view");
    control.remove_from_group(&ada, "Readers", "ana@acme.example").await.unwrap();
    assert_eq!(platform.holds(key.id).await, "api_key:create");
    refused(control.remove_from_group(&ada, "Readers", "ana@acme.example").await, "not_found");

    let gus = platform.person("gus", "none").await;
    platform.group(&ada, "Groupers", &["Grouper"], &["gus"]).await;
    refused(control.add_to_group(&gus, "Minters", "gus@acme.example").await, "forbidden");
    refused(control.remove_from_group(&gus, "Minters", "ana@acme.example").await, "forbidden");
    refused(control.delete_group(&gus, "Minters").await, "forbidden");
    for roles in ["Minter", "cli_read_only", "instance_admin", "Reader Minter"] {
        let group = NewGroup { org: None, name: "Mine".into(), roles: list(roles) };
        refused(control.create_group(&gus, &group).await, "forbidden");
        let changes = GroupChanges { roles: Some(list(roles)), ..GroupChanges::default() };
        refused(control.update_group(&gus, "Readers", &changes).await, "forbidden");
    }
    control.add_to_group(&gus, "Readers", "gus@acme.example").await.unwrap();
    platform.group(&gus, "Mine", &["Reader"], &["ana"]).await;
    // Groups give to members: whoever is a member nowhere is in none, also after coming back.
    control.remove_member(&ada, "ana@acme.example", None).await.unwrap();
    assert_eq!(platform.standing(key.id).await.holder, Holder::Gone);
    control.set_role(&ada, "ana@acme.example", None, None).await.unwrap();
    assert_eq!(platform.holds(key.id).await, "");
    refused(platform.key(&ana, with_scopes("cli_tools:view")).await, "scope_insufficient");
}

/// R001_08: the built-in CLI roles are the two administrators' to attach, and nobody else's to see; R001_09.
#[tokio::test]
async fn built_in_cli_roles_are_the_administrators_alone() {
    let platform = Platform::new("cortex").await;
    let control = &platform.control;
    let page = Page::default();
    platform.role(OPERATOR, "Minter", "public_api:edit cli_tools:edit").await;
    for (name, role, may) in
        [("ada", "instance_admin", true), ("abe", "account_admin", true), ("ana", "Minter", false)]
    {
        let caller = platform.person(name, role).await;
        let seen = control.list_roles(&caller, None, None, &page).await.unwrap();
        let seen: Vec<_> = seen.items.iter().map(|role| role.name.as_str()).collect();
        assert_eq!(seen.contains(&"cli_read_only"), may, "{name}: {seen:?}");
        assert!(seen.contains(&"Minter"));
        assert_eq!(control.find_role(&caller, "cli").await.is_ok(), may);
        let made = platform.key(&caller, with_roles(&["cli_read_only"])).await;
        let primary = platform.key(&caller, with_scopes("public_api:edit cli_tools:view")).await.unwrap().key;
        let primary = Caller::Key { id: primary.id, ip: None };
        let minted = platform.key(&primary, with_roles(&["cli_read_only"])).await;
        if may {
            assert_eq!(platform.holds(made.unwrap().key.id).await, "cli_tools:view");
            assert_eq!(minted.unwrap().key.roles, Some(vec!["cli_read_only".to_owned()]));
        } else {
            assert!(!refused(made, "invalid_field").contains("expected `cli"));
            refused(minted, "invalid_field");
        }
        refused(platform.key(&caller, with_roles(&["instance_admin"])).await, "invalid_field");
        platform.key(&caller, with_roles(&["Minter"])).await.unwrap();
    }
    let keys = control.list_keys(OPERATOR, &KeyFilter::default(), &page).await.unwrap();
    assert!(keys.items.iter().any(|key| key.roles == Some(vec!["Minter".to_owned()])));
}

/// R001_01, R001_02: children stay within their parent whatever becomes of it, and survive its rotation.
#[tokio::test]
async fn minted_keys_follow_their_minter() {
    let platform = Platform::new("cortex").await;
    let control = &platform.control;
    let ada = platform.person("ada", "instance_admin").await;
    let primary = NewKey { expires_in_days: Some(10), ..with_scopes("public_api:edit cli_tools:edit") };
    let primary = platform.key(&ada, primary).await.unwrap().key;
    let minter = Caller::Key { id: primary.id, ip: None };
    let child = platform.key(&minter, with_scopes("public_api:edit cli_tools:view")).await.unwrap().key;
    let below = Caller::Key { id: child.id, ip: None };
    let grandchild = platform.key(&below, with_scopes("cli_tools:view")).await.unwrap().key;
    assert_eq!(control.find_key(&minter, &child.prefix).await.unwrap().parent_id, Some(primary.id));

    // Narrowing the parent narrows what stands under it.
    let narrow = crate::control::service::KeyChanges {
        rate_limit_per_minute: Some(Some(3)),
        allowed_ips: Some(vec!["10.0.0.0/8".into()]),
        ..Default::default()
    };
    control.update_key(&ada, &primary.prefix, &narrow).await.unwrap();
    let standing = platform.standing(grandchild.id).await;
    assert_eq!(standing.rate.map(|rate| rate.get().get()), Some(3));
    assert_eq!(standing.networks.to_strings(), ["10.0.0.0/8"]);

    // Rotated twice, the first answer lost: the children go along with what replaces it.
    control.rotate_key(&ada, &primary.prefix, None).await.unwrap();
    let next = control.rotate_key(&ada, &primary.prefix, None).await.unwrap().key;
    assert_eq!(control.find_key(&ada, &child.prefix).await.unwrap().parent_id, Some(next.id));
    assert_eq!(platform.holds(grandchild.id).await, "cli_tools:view");
    platform.clock.advance(super::DAY * 3);
    assert_eq!(platform.holds(grandchild.id).await, "cli_tools:view", "the old one's grace is over");

    control.revoke_key(&ada, &next.prefix).await.unwrap();
    for minted in [&child, &grandchild] {
        assert!(control.find_key(&ada, &minted.prefix).await.unwrap().revoked_at.is_some());
        assert!(platform.standing(minted.id).await.life.revoked_at.is_some());
    }
    refused(platform.key(&below, with_scopes("cli_tools:view")).await, "forbidden");
}

/// A line of keys has an end, so that what checks the last one never asks for more than a few.
#[tokio::test]
async fn keys_are_minted_in_short_lines() {
    let platform = Platform::new("cortex").await;
    let ada = platform.person("ada", "instance_admin").await;
    let mut caller = ada;
    let mut made = 0;
    loop {
        match platform.key(&caller, with_scopes("public_api:edit")).await {
            Ok(created) => caller = Caller::Key { id: created.key.id, ip: None },
            Err(error) => {
                assert_eq!(error.code(), "limit_reached");
                break;
            }
        }
        made += 1;
    }
    assert_eq!(made, 8);
    // A line that goes round in a circle stands on nothing.
    platform.control.store().raw("UPDATE api_keys SET parent_id = id").await.unwrap();
    let Caller::Key { id, .. } = caller else { unreachable!() };
    assert_eq!(platform.standing(id).await.holder, Holder::Gone);
}

/// Keys administer keys: not people, not roles, not groups, whatever they hold.
#[tokio::test]
async fn keys_administer_keys_alone() {
    let platform = Platform::new("cortex").await;
    let control = &platform.control;
    let ada = platform.person("ada", "instance_admin").await;
    platform.role(&ada, "Reader", "cli_tools:view").await;
    platform.group(&ada, "Readers", &["Reader"], &[]).await;
    let key = platform.key(&ada, with_scopes("role:manage group:manage member:update cli_tools:edit")).await;
    let key = Caller::Key { id: key.unwrap().key.id, ip: None };
    refused(control.create_role(&key, &role("Mine", "cli_tools:view")).await, "forbidden");
    refused(control.delete_role(&key, "Reader").await, "forbidden");
    refused(control.add_to_group(&key, "Readers", "ada@acme.example").await, "forbidden");
    refused(control.delete_group(&key, "Readers").await, "forbidden");
    let renamed = GroupChanges { name: Some("x".into()), ..GroupChanges::default() };
    refused(control.update_group(&key, "Readers", &renamed).await, "forbidden");
    refused(control.set_role(&key, "ada@acme.example", None, Some("Reader")).await, "forbidden");
}

/// Another organization's roles and groups are not there.
#[tokio::test]
async fn organizations_have_roles_of_their_own() {
    let platform = Platform::new("cortex").await;
    let control = &platform.control;
    let other = crate::control::service::NewOrg { name: "Other".into(), slug: None };
    control.create_org(OPERATOR, &other).await.unwrap();
    let theirs = NewRole { org: Some("other".into()), ..role("Reader", "cli_tools:view") };
    let theirs = control.create_role(OPERATOR, &theirs).await.unwrap();
    let mine = NewRole { org: Some("acme".into()), ..role("Reader", "cli_tools:edit") };
    control.create_role(OPERATOR, &mine).await.unwrap();
    let group = NewGroup { org: Some("other".into()), name: "Theirs".into(), roles: list("Reader") };
    control.create_group(OPERATOR, &group).await.unwrap();
    let new = crate::control::service::NewUser {
        org: Some("acme".into()),
        email: "ada@acme.example".into(),
        name: "Ada".into(),
        role: Some("instance_admin".into()),
        ..Default::default()
    };
    let ada = control.create_user(OPERATOR, &new).await.unwrap();
    let ada = Caller::User { id: ada.id, ip: None, team: None };
    for named in [theirs.id.as_str(), "no such role"] {
        refused(control.find_role(&ada, named).await, "not_found");
        refused(control.delete_role(&ada, named).await, "not_found");
    }
    refused(control.find_group(&ada, "Theirs").await, "not_found");
    refused(control.add_to_group(&ada, "Theirs", "ada@acme.example").await, "not_found");
    let seen = control.list_roles(&ada, None, None, &Page::default()).await.unwrap();
    assert_eq!(seen.items.iter().filter(|role| role.custom).count(), 1);
    refused(control.add_to_group(OPERATOR, "Theirs", "ada@acme.example").await, "not_found");
    refused(control.find_role(OPERATOR, "Reader").await, "conflict");
}

/// Who may take nobody out of a group may not do so by taking them out of everything.
#[tokio::test]
async fn whom_a_group_makes_more_is_not_removed_by_less() {
    let platform = Platform::new("cortex").await;
    let control = &platform.control;
    let ada = platform.person("ada", "account_admin").await;
    let (bo, cyd) = (platform.person("bo", "none").await, platform.person("cyd", "none").await);
    platform.role(&ada, "Clerk", "member:remove member:update member:read").await;
    control.set_role(&ada, "bo@acme.example", None, Some("Clerk")).await.unwrap();
    platform.group(&ada, "Heads", &["account_admin"], &["cyd"]).await;
    refused(control.remove_member(&bo, "cyd@acme.example", None).await, "forbidden");
    assert!(control.list_groups(&cyd, None, None, &Page::default()).await.is_ok(), "she is who she was");
    // Whoever may give what the group carries may.
    control.remove_member(&ada, "cyd@acme.example", None).await.unwrap();
}
