//! What a key may do follows those it stands on (R002_05).

use super::{Platform, reading, refused};
use crate::{
    control::service::{Caller, NewKey},
    domain::{access::Holder, id::KeyId, key::standing::Standing},
    store::keys as stored,
};

const OPERATOR: &Caller = &Caller::Operator;

impl Platform {
    pub(super) async fn standing(&self, key: KeyId) -> Standing {
        let mut conn = self.control.store().read().await.unwrap();
        let held = stored::find(&mut conn, key).await.unwrap().unwrap();
        held.standing(self.control.profile())
    }

    pub(super) fn names(&self, standing: &Standing) -> String {
        self.control.profile().permissions.names(standing.permissions).join(" ")
    }
}

fn plain() -> NewKey {
    NewKey { name: "ci".into(), ..NewKey::default() }
}

#[tokio::test]
async fn a_key_follows_its_issuer_down_and_out() {
    let platform = Platform::new("trustedoss").await;
    let control = &platform.control;
    let lead = platform.person("lead", "team_admin").await;
    let key = platform.key(&lead, plain()).await.unwrap().key.id;
    let before = platform.standing(key).await;
    assert!(platform.names(&before).contains("project:manage"), "{before:?}");
    assert_eq!(before.role.as_deref(), Some("team_admin"));

    control.set_role(OPERATOR, "lead@acme.example", Some("core"), Some("developer")).await.unwrap();
    let after = platform.standing(key).await;
    assert!(!platform.names(&after).contains("project:manage"));
    assert!(platform.names(&after).contains("scan:trigger"));
    assert_eq!((after.role.as_deref(), after.holder), (Some("developer"), Holder::Present));

    control.set_user_active(OPERATOR, "lead@acme.example", false).await.unwrap();
    assert_eq!(platform.standing(key).await.holder, Holder::Gone);
    control.set_user_active(OPERATOR, "lead@acme.example", true).await.unwrap();
    assert_eq!(platform.standing(key).await.holder, Holder::Present);
    control.remove_member(OPERATOR, "lead@acme.example", Some("core")).await.unwrap();
    let gone = platform.standing(key).await;
    assert!(gone.holder == Holder::Gone && gone.permissions.is_empty());
}

/// R002_04: rotating is issuing, so those who may no longer issue such keys cannot renew the ones they have.
#[tokio::test]
async fn who_may_not_issue_may_not_renew() {
    let platform = Platform::new("trustedoss").await;
    let control = &platform.control;
    let lead = platform.person("lead", "team_admin").await;
    let boss = platform.person("boss", "super_admin").await;
    let key = platform.key(&lead, plain()).await.unwrap().key;
    control.set_role(OPERATOR, "lead@acme.example", Some("core"), Some("developer")).await.unwrap();
    refused(control.rotate_key(&lead, &key.prefix, None).await, "forbidden");
    control.rotate_key(&boss, &key.prefix, None).await.unwrap();
}

/// A role in one team says nothing in another (R000_03), and nothing in the organization.
#[tokio::test]
async fn a_key_of_one_team_gains_nothing_from_roles_elsewhere() {
    let platform = Platform::new("offload").await;
    let ana = platform.person("ana", "viewer").await;
    let key = platform.key(&ana, reading()).await.unwrap().key.id;
    platform.team("Other").await;
    platform.control.set_role(OPERATOR, "ana@acme.example", Some("other"), Some("admin")).await.unwrap();
    let rights = platform.standing(key).await;
    assert_eq!(platform.names(&rights), "scan:read");
    platform.control.remove_member(OPERATOR, "ana@acme.example", Some("core")).await.unwrap();
    assert_eq!(platform.standing(key).await.holder, Holder::Gone);
}

/// R002_17: a key may act with less than its issuer's role, never with more, and never with more than is left of it.
#[tokio::test]
async fn a_keys_own_role_only_narrows() {
    let platform = Platform::new("trustedoss").await;
    let lead = platform.person("lead", "team_admin").await;
    let lower = NewKey { effective_role: Some("developer".into()), ..plain() };
    let key = platform.key(&lead, lower).await.unwrap().key.id;
    let rights = platform.standing(key).await;
    assert_eq!(rights.role.as_deref(), Some("developer"));
    assert!(!platform.names(&rights).contains("project:manage"));
    let higher = NewKey { effective_role: Some("super_admin".into()), ..plain() };
    refused(platform.key(&lead, higher).await, "forbidden");
}

/// The organization's keys hold what they were given, whoever comes and goes (R003_03).
#[tokio::test]
async fn an_organizations_key_stands_on_itself() {
    let platform = Platform::new("reducto").await;
    let adam = platform.person("adam", "admin").await;
    let key = platform.key(&adam, plain()).await.unwrap().key;
    let before = platform.standing(key.id).await;
    assert!(!before.permissions.is_empty());
    assert!(key.scopes.is_some(), "fixed when it was made");
    platform.control.remove_user(OPERATOR, "adam@acme.example").await.unwrap();
    assert_eq!(platform.standing(key.id).await, before);
    let member = platform.person("mel", "member").await;
    refused(platform.key(&member, plain()).await, "forbidden");
}
