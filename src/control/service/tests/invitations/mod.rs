//! Invitations against a real store.

mod rules;

use std::time::Duration;

use tokio::task::JoinSet;

use super::{DAY, Platform, refused};
use crate::{
    control::service::{
        Acceptance, Accepted, Caller, InvitationView, InviteTo, NewInvitation, NewOrg, NewRole, NewTeam,
        NewUser, Page, ServiceError,
    },
    domain::{invitation::Status, role::Level},
};

const OPERATOR: &Caller = &Caller::Operator;
const MICROSECOND: Duration = Duration::from_micros(1);
const PASSWORD: &str = "correct horse battery staple";

/// Where the role is held.
fn to(platform: &Platform, email: &str, role: &str) -> NewInvitation {
    let level = platform.control.profile().roles.get(role).map(|role| role.level);
    let in_team = level == Some(Level::Team);
    NewInvitation {
        to: if in_team { InviteTo::Team("core".into()) } else { InviteTo::Org(Some("acme".into())) },
        email: email.into(),
        role: Some(role.to_owned()).filter(|role| role != "none"),
        message: None,
    }
}

fn sent(token: &str) -> Acceptance {
    Acceptance {
        token: token.into(),
        name: Some("Nina".into()),
        password: Some(PASSWORD.into()),
        ..Acceptance::default()
    }
}

async fn accept(platform: &Platform, token: &str) -> Result<Accepted, ServiceError> {
    platform.control.accept_invitation(&sent(token)).await
}

/// R000_07: who accepts has an account, a password, and the role that was chosen; the trail says so.
#[tokio::test]
async fn who_accepts_is_a_member_with_the_chosen_role() {
    let platform = Platform::new("offload").await;
    let ada = platform.person("ada", "admin").await;
    let view = platform.control.invite(&ada, &to(&platform, "Nina@Acme.example", "viewer")).await.unwrap();
    assert_eq!((view.status, view.invited_by.as_str()), (Status::Pending, "ada@acme.example"));
    assert_eq!(view.team_id, platform.team);
    let token = platform.token().await;
    let open = platform.control.open_invitation(&token).await.unwrap();
    assert_eq!((open.org.as_str(), open.team.as_deref(), open.account), ("Acme", Some("Core"), false));
    let accepted = accept(&platform, &token).await.unwrap();
    assert!(accepted.created);
    assert_eq!(accepted.user.memberships[0].role.as_deref(), Some("viewer"));
    let user = platform.control.find_user(OPERATOR, "nina@acme.example").await.unwrap();
    assert_eq!((user.id, user.name.as_str()), (accepted.user.id, "Nina"));
    refused(accept(&platform, &token).await, "credential_invalid");
    let events: Vec<_> = platform.audit().await.into_iter().take(3).collect();
    assert!(
        events[0].starts_with("invitation.accepted") && events[1].starts_with("user.created"),
        "{events:?}"
    );
    assert!(events[2].starts_with("invitation.created"), "{events:?}");
    // Nothing of the token, and nothing that could be guessed into it, is kept.
    let bytes = std::fs::read(platform.directory.path().join("latchgate.db-wal")).unwrap();
    assert!(!bytes.windows(20).any(|part| token.as_bytes().starts_with(part)));
}

/// R000_10: a link lives for seven days to the microsecond; a new invitation works.
#[tokio::test]
async fn an_old_link_is_refused_and_a_new_one_works() {
    let platform = Platform::new("offload").await;
    let ada = platform.person("ada", "admin").await;
    platform.control.invite(&ada, &to(&platform, "nina@acme.example", "viewer")).await.unwrap();
    let token = platform.token().await;
    platform.clock.advance((DAY * 7).saturating_sub(MICROSECOND));
    platform.control.open_invitation(&token).await.unwrap();
    platform.clock.advance(MICROSECOND);
    refused(accept(&platform, &token).await, "credential_expired");
    refused(platform.control.open_invitation(&token).await, "credential_expired");
    platform.control.invite(&ada, &to(&platform, "nina@acme.example", "viewer")).await.unwrap();
    refused(accept(&platform, &token).await, "credential_expired");
    accept(&platform, &platform.token().await).await.unwrap();
}

/// Inviting again replaces: one link works, the newest. What is taken back is dead, its mail unsent if it was.
#[tokio::test]
async fn one_link_at_a_time_and_none_after_it_was_taken_back() {
    let platform = Platform::new("offload").await;
    let ada = platform.person("ada", "admin").await;
    platform.control.invite(&ada, &to(&platform, "nina@acme.example", "viewer")).await.unwrap();
    let old = platform.token().await;
    let second = platform.control.invite(&ada, &to(&platform, "NINA@acme.example", "auditor")).await.unwrap();
    let new = platform.token().await;
    let unknown = refused(accept(&platform, "lgi_nobody").await, "credential_invalid");
    assert_eq!(
        refused(accept(&platform, &old).await, "credential_invalid"),
        unknown,
        "told apart by nothing"
    );
    platform.control.revoke_invitation(&ada, &second.id.to_string()).await.unwrap();
    platform.control.revoke_invitation(&ada, &second.id.to_string()).await.unwrap();
    assert_eq!(refused(accept(&platform, &new).await, "credential_invalid"), unknown);
    assert_eq!(refused(accept(&platform, "").await, "credential_invalid"), unknown);
    let third = platform.control.invite(&ada, &to(&platform, "nina@acme.example", "viewer")).await.unwrap();
    platform.control.revoke_invitation(&ada, &third.id.to_string()).await.unwrap();
    assert_eq!(platform.mails().await.len(), 2, "the third was taken back before it left");
    let statuses: Vec<_> = platform
        .control
        .list_invitations(&ada, None, Some("core"), &Page::default())
        .await
        .unwrap()
        .items
        .iter()
        .map(|invitation| invitation.status)
        .collect();
    assert_eq!(statuses, [Status::Revoked; 3]);
    refused(
        platform.control.revoke_invitation(&ada, "0192f7c4-5b1e-7c3a-9d2e-1f0a2b3c4d5e").await,
        "not_found",
    );
}

/// What was true at the invitation is judged again at the acceptance, in every way in which it can have ended.
#[tokio::test]
async fn an_invitation_is_worth_what_its_inviter_is() {
    let platform = Platform::new("offload").await;
    let ada = platform.person("ada", "admin").await;
    platform.person("bea", "admin").await;
    platform.control.invite(&ada, &to(&platform, "nina@acme.example", "admin")).await.unwrap();
    let token = platform.token().await;
    let control = &platform.control;
    control.set_role(OPERATOR, "ada@acme.example", Some("core"), Some("security_manager")).await.unwrap();
    refused(accept(&platform, &token).await, "forbidden");
    control.set_role(OPERATOR, "ada@acme.example", Some("core"), Some("viewer")).await.unwrap();
    refused(accept(&platform, &token).await, "forbidden");
    control.set_role(OPERATOR, "ada@acme.example", Some("core"), Some("admin")).await.unwrap();
    control.set_user_active(OPERATOR, "ada@acme.example", false).await.unwrap();
    refused(accept(&platform, &token).await, "forbidden");
    refused(control.open_invitation(&token).await, "forbidden");
    control.set_user_active(OPERATOR, "ada@acme.example", true).await.unwrap();
    control.remove_user(OPERATOR, "ada@acme.example").await.unwrap();
    refused(accept(&platform, &token).await, "forbidden");
    // Case 368: another person of the same address is not who invited.
    platform.person("ada", "admin").await;
    refused(accept(&platform, &token).await, "forbidden");
    refused(control.find_user(OPERATOR, "nina@acme.example").await, "not_found");
}

/// A custom role that somebody is invited to is not deleted, and renamed with everything that carries it.
#[tokio::test]
async fn a_role_that_is_waited_for_stays() {
    let platform = Platform::new("cortex").await;
    let ivy = platform.person("ivy", "instance_admin").await;
    let reader = NewRole { org: None, name: "Reader".into(), permissions: vec!["cli_tools:view".into()] };
    let reader = platform.control.create_role(&ivy, &reader).await.unwrap();
    platform.control.invite(&ivy, &to(&platform, "nina@acme.example", "Reader")).await.unwrap();
    let token = platform.token().await;
    refused(platform.control.delete_role(&ivy, &reader.id).await, "conflict");
    let changes = crate::control::service::RoleChanges { name: Some("Watcher".into()), ..Default::default() };
    platform.control.update_role(&ivy, &reader.id, &changes).await.unwrap();
    let accepted = accept(&platform, &token).await.unwrap();
    assert_eq!(accepted.user.memberships[0].role.as_deref(), Some("Watcher"));
    platform.control.invite(&ivy, &to(&platform, "old@acme.example", "Watcher")).await.unwrap();
    platform.control.remove_user(&ivy, "nina@acme.example").await.unwrap();
    platform.clock.advance(DAY * 7);
    platform.control.delete_role(&ivy, &reader.id).await.unwrap();
}

/// P368: a link that still lies in somebody's mail brings nobody back who was removed.
#[tokio::test]
async fn who_was_removed_stays_out() {
    let platform = Platform::new("offload").await;
    let ada = platform.person("ada", "admin").await;
    platform.person("nina", "viewer").await;
    let team = NewTeam { org: None, name: "Other".into(), slug: None };
    let other = platform.control.create_team(OPERATOR, &team).await.unwrap();
    let into = |team: &str| NewInvitation {
        to: InviteTo::Team(team.to_owned()),
        ..to(&platform, "nina@acme.example", "viewer")
    };
    refused(platform.control.invite(&ada, &into("core")).await, "conflict");
    platform.control.invite(OPERATOR, &into(&other.slug)).await.unwrap();
    let token = platform.token().await;
    platform.control.remove_user(OPERATOR, "nina@acme.example").await.unwrap();
    refused(accept(&platform, &token).await, "credential_invalid");
    // The same for one team: added by hand while an invitation was open, then removed.
    platform.person("lea", "viewer").await;
    let lea = NewInvitation {
        to: InviteTo::Team(other.slug.clone()),
        ..to(&platform, "lea@acme.example", "viewer")
    };
    platform.control.invite(OPERATOR, &lea).await.unwrap();
    let token = platform.token().await;
    platform.control.set_role(OPERATOR, "lea@acme.example", Some(&other.slug), Some("viewer")).await.unwrap();
    platform.control.remove_member(OPERATOR, "lea@acme.example", Some(&other.slug)).await.unwrap();
    refused(accept(&platform, &token).await, "credential_invalid");
    // A team that is gone takes its invitations with it; a later one of the same name has none.
    platform.control.invite(OPERATOR, &lea).await.unwrap();
    let token = platform.token().await;
    platform.control.delete_team(OPERATOR, &other.slug).await.unwrap();
    platform.control.create_team(OPERATOR, &team).await.unwrap();
    refused(accept(&platform, &token).await, "credential_invalid");
}

/// P372: an account that exists proves itself, by its password or by having signed in; another one does not do.
#[tokio::test]
async fn an_account_that_exists_proves_itself() {
    let platform = Platform::new("offload").await;
    let eve = platform.person("eve", "viewer").await;
    let lea = NewUser {
        org: Some("acme".into()),
        email: "lea@acme.example".into(),
        name: "Lea".into(),
        password: Some(PASSWORD.into()),
        role: Some("viewer".into()),
        ..NewUser::default()
    };
    let lea = platform.control.create_user(OPERATOR, &lea).await.unwrap();
    let team = NewTeam { org: None, name: "Other".into(), slug: None };
    let other = platform.control.create_team(OPERATOR, &team).await.unwrap();
    let into =
        NewInvitation { to: InviteTo::Team(other.slug), ..to(&platform, "lea@acme.example", "auditor") };
    platform.control.invite(OPERATOR, &into).await.unwrap();
    let token = platform.token().await;
    assert!(platform.control.open_invitation(&token).await.unwrap().account);
    let with = |password: Option<&str>, signed_in| Acceptance {
        password: password.map(str::to_owned),
        signed_in,
        ..sent(&token)
    };
    for (acceptance, code) in [
        (with(None, None), "invalid_field"),
        (with(Some("wrong horse battery staple"), None), "credential_invalid"),
        (with(Some(PASSWORD), Some(super::user_id(&eve))), "forbidden"),
    ] {
        refused(platform.control.accept_invitation(&acceptance).await, code);
    }
    let accepted = platform.control.accept_invitation(&with(None, Some(lea.id))).await.unwrap();
    assert_eq!(
        (accepted.created, accepted.user.name.as_str(), accepted.user.memberships.len()),
        (false, "Lea", 2)
    );
    // Somebody else's session accepts no invitation to a new account either.
    let nina =
        NewInvitation { to: InviteTo::Team("core".into()), ..to(&platform, "nina@acme.example", "viewer") };
    platform.control.invite(OPERATOR, &nina).await.unwrap();
    let token = platform.token().await;
    let acceptance = Acceptance { signed_in: Some(super::user_id(&eve)), ..sent(&token) };
    refused(platform.control.accept_invitation(&acceptance).await, "forbidden");
    let short = Acceptance { password: Some("short".into()), ..sent(&token) };
    refused(platform.control.accept_invitation(&short).await, "invalid_field");
    accept(&platform, &token).await.unwrap();
}

/// L317: the inviter is not told that an address has an account elsewhere; who reads its mail is.
#[tokio::test]
async fn an_account_elsewhere_is_its_owners_secret() {
    let platform = Platform::new("reducto").await;
    let olga = platform.person("olga", "owner").await;
    platform.control.create_org(OPERATOR, &NewOrg { name: "Other".into(), slug: None }).await.unwrap();
    let zoe = NewUser {
        org: Some("other".into()),
        email: "zoe@other.example".into(),
        name: "Zoe".into(),
        role: Some("member".into()),
        ..NewUser::default()
    };
    platform.control.create_user(OPERATOR, &zoe).await.unwrap();
    let view = |view: InvitationView| (view.email, view.role, view.status, view.invited_by);
    let known =
        view(platform.control.invite(&olga, &to(&platform, "zoe@other.example", "member")).await.unwrap());
    let told = refused(accept(&platform, &platform.token().await).await, "conflict");
    assert!(told.contains("another organization"), "{told}");
    let unknown =
        view(platform.control.invite(&olga, &to(&platform, "yan@other.example", "member")).await.unwrap());
    assert_eq!((known.1, known.2, known.3), (unknown.1, unknown.2, unknown.3));
    assert_eq!(platform.mails().await.len(), 2);
}

/// Of two who accept at once, one does; and it is never both accepted and taken back.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn races_have_one_outcome() {
    let platform = Platform::new("offload").await;
    let eve = platform.person("eve", "viewer").await;
    let team = NewTeam { org: None, name: "Other".into(), slug: None };
    let other = platform.control.create_team(OPERATOR, &team).await.unwrap();
    let into = NewInvitation {
        to: InviteTo::Team(other.slug.clone()),
        ..to(&platform, "eve@acme.example", "viewer")
    };
    for round in 0..40 {
        let invited = platform.control.invite(OPERATOR, &into).await.unwrap();
        let token = platform.token().await;
        let mut racing = JoinSet::new();
        let accepting = || {
            let control = platform.control.clone();
            let acceptance = Acceptance { signed_in: Some(super::user_id(&eve)), ..sent(&token) };
            async move { control.accept_invitation(&acceptance).await.is_ok() }
        };
        racing.spawn(accepting());
        if round % 2 == 0 {
            racing.spawn(accepting());
        } else {
            let (control, id) = (platform.control.clone(), invited.id.to_string());
            racing.spawn(async move { control.revoke_invitation(OPERATOR, &id).await.is_ok() });
        }
        let outcomes = racing.join_all().await;
        assert_eq!(outcomes.iter().filter(|done| **done).count(), 1, "round {round}: {outcomes:?}");
        let member = platform.control.remove_member(OPERATOR, "eve@acme.example", Some(&other.slug)).await;
        assert!(round % 2 == 1 || member.is_ok(), "round {round}: {member:?}");
    }
}
