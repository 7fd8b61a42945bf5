//! Uses of keys as events.

use std::net::IpAddr;

use super::{HOUR, NOW, Platform, reading};
use crate::{
    config::KeyUseEvents,
    control::service::{KeyUsed, KnownSources},
    domain::{id::KeyId, time::Timestamp},
    store::usage::Used,
};

async fn events(platform: &Platform) -> Vec<String> {
    let mut events = platform.audit().await;
    events.retain(|event| event.starts_with("api_key.use"));
    events.reverse();
    events
}

fn from(key: KeyId, ip: u8, last: Timestamp) -> Used {
    Used { key, ip: Some(IpAddr::from([192, 0, 2, ip])), count: 2, last }
}

/// R002_16: the first use from an address is an event once, also when another program, or this one after a restart,
/// writes the next.
#[tokio::test]
async fn the_first_use_from_an_address_is_one_event() {
    let platform = Platform::with("offload", |settings| settings.key_use = KeyUseEvents::FirstPerIp).await;
    let ana = platform.person("ana", "viewer").await;
    let key = platform.key(&ana, reading()).await.unwrap().key;
    let (control, mut known) = (&platform.control, KnownSources::default());
    let write =
        async |known: &mut KnownSources, used: &[Used]| control.write_uses(used, &[], known).await.unwrap();
    write(&mut known, &[from(key.id, 1, NOW), from(key.id, 2, NOW), from(KeyId::new(NOW), 3, NOW)]).await;
    write(&mut known, &[from(key.id, 1, NOW.after(HOUR)), Used { ip: None, ..from(key.id, 0, NOW) }]).await;
    assert_eq!(
        events(&platform).await,
        [
            format!("api_key.used {}", key.prefix),
            format!("api_key.used {}", key.prefix),
            format!("api_key.used {}", key.prefix)
        ]
    );
    write(&mut KnownSources::default(), &[from(key.id, 1, NOW), from(key.id, 2, NOW)]).await;
    assert_eq!(events(&platform).await.len(), 3, "the store remembers");
    assert_eq!(control.find_key(&ana, &key.prefix).await.unwrap().usage_count, 12);
}

/// Events of several workers stand in the order of time, and what is missing is said.
#[tokio::test]
async fn each_use_is_an_event_and_a_gap_says_so() {
    let platform = Platform::new("offload").await;
    let ana = platform.person("ana", "viewer").await;
    let key = platform.key(&ana, reading()).await.unwrap().key;
    let used = |seconds: u64| KeyUsed {
        at: NOW.after(std::time::Duration::from_secs(seconds)),
        ip: None,
        request_id: Some(format!("r{seconds}")),
        prefix: key.prefix.clone(),
        org: key.org_id,
        team: platform.team,
    };
    let each = [used(3), used(1), used(2)];
    platform.control.write_uses(&[], &each, &mut KnownSources::default()).await.unwrap();
    platform.control.write_missing_uses(&[(key.org_id, 7)]).await.unwrap();
    let page = super::super::Page { limit: Some(4), cursor: None };
    let filter = super::super::AuditFilter { action: Some("use".into()), ..Default::default() };
    let list = platform.control.list_audit(&super::Caller::Operator, &filter, &page).await.unwrap();
    let told: Vec<_> = list.items.iter().map(|event| event.detail.to_string()).collect();
    assert_eq!(
        told,
        [
            r#"{"because":"more than could be written down","uses":7}"#,
            r#"{"request_id":"r3"}"#,
            r#"{"request_id":"r2"}"#,
            r#"{"request_id":"r1"}"#
        ]
    );
    let verdict = platform.control.verify_audit(|_| ()).await.unwrap();
    assert!(matches!(verdict, super::super::ChainVerdict::Whole { .. }), "{verdict:?}");
}
