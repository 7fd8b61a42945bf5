//! How often somebody may invite, and who may into a new organization.

use std::time::Duration;

use tokio::task::JoinSet;

use super::{MICROSECOND, OPERATOR, Platform, accept, refused, to};
use crate::control::service::{Caller, InviteTo, NewInvitation, NewOrg, Page, ServiceError};

/// R000_09: twenty in a rolling hour; the next passes when the first is an hour old, and not a moment before.
#[tokio::test]
async fn the_hour_rolls() {
    let platform = Platform::new("offload").await;
    let ada = platform.person("ada", "admin").await;
    let invite = async |number: u32| {
        platform.control.invite(&ada, &to(&platform, &format!("p{number}@acme.example"), "viewer")).await
    };
    for number in 0..20 {
        invite(number).await.unwrap();
        platform.clock.advance(Duration::from_secs(60));
    }
    let Err(ServiceError::RateLimited { wait, .. }) = invite(20).await else { panic!("the 21st passed") };
    assert_eq!(wait, Duration::from_secs(40 * 60));
    // What was taken back was a mail all the same.
    let open = platform.control.list_invitations(&ada, None, Some("core"), &Page::default()).await.unwrap();
    platform.control.revoke_invitation(&ada, &open.items[0].id.to_string()).await.unwrap();
    refused(invite(21).await, "rate_limited");
    platform.clock.advance(wait.saturating_sub(MICROSECOND));
    refused(invite(22).await, "rate_limited");
    platform.clock.advance(MICROSECOND);
    invite(23).await.unwrap();
    refused(invite(24).await, "rate_limited");
    // Each inviter has their own hour, and the operator none.
    let bea = platform.person("bea", "admin").await;
    platform.control.invite(&bea, &to(&platform, "b@acme.example", "viewer")).await.unwrap();
    for number in 0..30 {
        platform
            .control
            .invite(OPERATOR, &to(&platform, &format!("o{number}@acme.example"), "viewer"))
            .await
            .unwrap();
    }
}

/// R000_09 also for requests that come together.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_twenty_five_at_once_twenty_pass() {
    let platform = Platform::new("offload").await;
    let ada = platform.person("ada", "admin").await;
    let mut waiting = JoinSet::new();
    for number in 0..25 {
        let new = to(&platform, &format!("p{number}@acme.example"), "viewer");
        let (control, ada) = (platform.control.clone(), ada.clone());
        waiting.spawn(async move {
            let invited = control.invite(&ada, &new).await;
            invited.err().map(|error| error.code())
        });
    }
    let codes = waiting.join_all().await;
    assert_eq!(codes.iter().filter(|code| code.is_none()).count(), 20, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == Some("rate_limited")).count(), 5, "{codes:?}");
    assert_eq!(platform.mails().await.len(), 20);
}

/// A new organization's first administrator comes by mail, invited by one of another organization.
#[tokio::test]
async fn a_new_organization_gets_its_first_administrator() {
    let platform = Platform::new("trustedoss").await;
    let sue = platform.person("sue", "super_admin").await;
    let tom = platform.person("tom", "team_admin").await;
    let new = NewOrg { name: "Beta".into(), slug: None };
    refused(platform.control.found_org(&tom, &new, Some("ben@beta.example")).await, "scope_insufficient");
    refused(platform.control.found_org(&sue, &new, Some("ben@")).await, "invalid_field");
    platform.control.found_org(&sue, &new, Some("ben@beta.example")).await.unwrap();
    let accepted = accept(&platform, &platform.token().await).await.unwrap();
    let ben = Caller::User { id: accepted.user.id, ip: None, team: None };
    assert_eq!(accepted.user.memberships[0].role.as_deref(), Some("super_admin"));
    platform
        .control
        .invite(
            &ben,
            &NewInvitation { to: InviteTo::Org(None), ..to(&platform, "bob@beta.example", "super_admin") },
        )
        .await
        .unwrap();
    // Who may not make organizations any more has invited nobody into one.
    let gamma = NewOrg { name: "Gamma".into(), slug: None };
    platform.control.found_org(&sue, &gamma, Some("gus@gamma.example")).await.unwrap();
    let token = platform.token().await;
    platform.person("sam", "super_admin").await;
    platform.control.remove_user(OPERATOR, "sue@acme.example").await.unwrap();
    refused(accept(&platform, &token).await, "forbidden");
    // Where the highest role is held in a team, there is one.
    let offload = Platform::new("offload").await;
    offload.control.found_org(OPERATOR, &new, Some("ben@beta.example")).await.unwrap();
    let accepted = accept(&offload, &offload.token().await).await.unwrap();
    assert_eq!(accepted.user.memberships[0].role.as_deref(), Some("admin"));
    assert!(accepted.user.memberships[0].team_id.is_some());
}
