//! Uses of keys as events.

use std::net::IpAddr;

use super::{HOUR, NOW, Platform, reading};
use crate::{
    config::KeyUseEvents,
    control::service::{KeyUsed, KnownSources},
    domain::{id::KeyId, time::Timestamp},
    store::usage::{Used, waiting},
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
    let write = async |known: &mut KnownSources, used: &[Used]| {
        control.write_uses(used, &[], known, None).await.unwrap()
    };
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
    platform.control.write_uses(&[], &each, &mut KnownSources::default(), None).await.unwrap();
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

/// SECURITY 173: where many keys are in use they wait to be counted, and nobody who looks notices: neither before nor
/// after, nor when the program has ended in between.
#[tokio::test]
async fn uses_that_wait_are_told_as_if_they_were_counted() {
    let platform = Platform::new("offload").await;
    let ana = platform.person("ana", "viewer").await;
    let (control, key) = (&platform.control, platform.key(&ana, reading()).await.unwrap().key);
    let mut many: Vec<Used> = (0..300).map(|_| from(KeyId::new(NOW), 1, NOW)).collect();
    many.extend([
        from(key.id, 1, NOW),
        from(key.id, 2, NOW.after(HOUR)),
        Used { ip: None, ..from(key.id, 0, NOW) },
    ]);
    let write =
        async |share| control.write_uses(&many, &[], &mut KnownSources::default(), share).await.unwrap();
    assert!(write(None).await && write(None).await, "they wait");
    let few = control.write_uses(&many[300..], &[], &mut KnownSources::default(), None).await.unwrap();
    assert!(!few, "a few do not");
    platform.clock.advance(HOUR * 2);
    let told = async || {
        let page = super::super::Page { limit: Some(10), cursor: None };
        let listed = control
            .list_keys(&super::Caller::Operator, &super::super::KeyFilter::default(), &page)
            .await
            .unwrap();
        let found = control.find_key(&ana, &key.prefix).await.unwrap();
        assert_eq!(listed.items, std::slice::from_ref(&found));
        let usage = control.key_usage(&ana, &key.prefix, Some("1d")).await.unwrap();
        let buckets: Vec<_> = usage.buckets.iter().map(|bucket| bucket.count).collect();
        let sources: Vec<_> = usage.sources.iter().map(|source| (source.ip, source.count)).collect();
        (found.usage_count, found.last_used_at, found.last_used_ip, buckets, sources)
    };
    let ip = |last| Some(IpAddr::from([192, 0, 2, last]));
    let expected = (18, Some(NOW.after(HOUR)), ip(2), vec![12, 6], vec![(None, 6), (ip(1), 6), (ip(2), 6)]);
    assert_eq!(told().await, expected);
    for share in 0..waiting::SHARES {
        control.write_uses(&[], &[], &mut KnownSources::default(), Some(share)).await.unwrap();
        assert_eq!(told().await, expected);
    }
    let mut tx = control.store().write().await.unwrap();
    assert!(waiting::of(&mut tx, &[key.id]).await.unwrap().is_empty(), "all of it is counted");
}
