//! The request log.

use std::time::Duration;

use super::{MINUTE, NOW, Scratch};
use crate::{
    domain::{
        access::Method,
        id::{OrgId, TeamId},
        time::Timestamp,
    },
    store::requests::{self, Filter},
    telemetry::access_log::KeptRequest,
};

fn request(org: OrgId, at: Timestamp, status: u16) -> KeptRequest {
    KeptRequest {
        at,
        org,
        team: Some(TeamId::new(NOW)),
        request_id: "r".into(),
        method: "GET".into(),
        host: Some("gw.example".into()),
        path: Some("/v1/scans/1".into()),
        status,
        duration: Duration::from_micros(1500),
        upstream: Some("app".into()),
        route: Some("api".into()),
        client_ip: "192.0.2.1".parse().ok(),
        auth_method: Some(Method::ApiKey),
        credential: Some("a1b2c3d4".into()),
        outcome: if status == 200 { "ok" } else { "scope_insufficient" },
        bytes_in: 0,
        bytes_out: 7,
    }
}

async fn statuses(scratch: &Scratch, filter: &Filter) -> Vec<u64> {
    let mut conn = scratch.store.read().await.unwrap();
    let page = requests::list(&mut conn, filter, None, 5000).await.unwrap();
    page.items.iter().map(|request| request.status).collect()
}

/// More than one statement takes, newest first, found by each filter, cut and forgotten by organization and by age.
#[tokio::test]
async fn requests_come_back_filtered_and_are_cut() {
    let scratch = Scratch::new().await;
    let (org, other) = (OrgId::new(NOW), OrgId::new(NOW));
    let many: Vec<_> =
        (0..1201_u16).map(|n| request(org, NOW.after(MINUTE), if n == 700 { 403 } else { 200 })).collect();
    requests::append(&scratch.store, &[]).await.unwrap();
    requests::append(&scratch.store, &[request(other, NOW, 500), request(org, NOW, 201)]).await.unwrap();
    requests::append(&scratch.store, &many).await.unwrap();
    let of_org = Filter { org: Some(org), ..Filter::default() };
    assert_eq!(statuses(&scratch, &of_org).await.len(), 1202);
    assert_eq!(statuses(&scratch, &of_org).await.last(), Some(&201));
    for (filter, count) in [
        (Filter { status: Some(403), ..of_org.clone() }, 1),
        (Filter { outcome: Some("scope_insufficient".into()), ..Filter::default() }, 3),
        (Filter { credential: Some("a1b2c3d4".into()), ..Filter::default() }, 1203),
        (Filter { credential: Some("other".into()), ..Filter::default() }, 0),
        (Filter { since: Some(NOW.after(MINUTE)), ..Filter::default() }, 1201),
        (Filter { team: Some(TeamId::new(NOW)), ..Filter::default() }, 0),
    ] {
        assert_eq!(statuses(&scratch, &filter).await.len(), count, "{filter:?}");
    }
    let mut conn = scratch.store.read().await.unwrap();
    let first = requests::list(&mut conn, &of_org, None, 3).await.unwrap();
    let second = requests::list(&mut conn, &of_org, first.next, 3).await.unwrap();
    assert!(second.next < first.next && second.items.len() == 3);
    assert_eq!(requests::orgs(&mut conn).await.unwrap().len(), 2);
    drop(conn);
    assert_eq!(requests::trim(&scratch.store, org, 1000).await.unwrap(), 202);
    assert_eq!(requests::trim(&scratch.store, org, 1000).await.unwrap(), 0);
    assert_eq!(statuses(&scratch, &of_org).await.len(), 1000, "the newest");
    assert_eq!(requests::prune(&scratch.store, NOW.after(MINUTE), 10).await.unwrap(), 1);
    assert_eq!(requests::prune(&scratch.store, NOW.after(MINUTE), 10).await.unwrap(), 0);
    assert_eq!(statuses(&scratch, &Filter::default()).await.len(), 1000);
}

/// A connection keeps what it prepared, so few different statements write batches of any size.
#[tokio::test]
async fn batches_of_any_size_take_few_statements() {
    let scratch = Scratch::new().await;
    let (org, mut count) = (OrgId::new(NOW), 0);
    for size in (1..40).chain([63, 64, 65, 300, 600]) {
        let batch: Vec<_> = (0..size).map(|_| request(org, NOW, 200)).collect();
        requests::append(&scratch.store, &batch).await.unwrap();
        count += size;
    }
    assert_eq!(statuses(&scratch, &Filter::default()).await.len(), count);
    let tx = scratch.store.write().await.unwrap();
    let kept = sqlx::Connection::cached_statements_size(&*tx);
    assert!(kept < 20, "{kept} statements");
}
