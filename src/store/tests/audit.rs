//! The chain of the audit trail.

use super::{NOW, Scratch};
use crate::{
    domain::{
        audit::{Actor, ActorKind, Event},
        id::AuditId,
    },
    store::audit::{self, Filter, Progress, Verdict},
};

fn event(number: usize) -> Event {
    Event {
        id: AuditId::new(NOW),
        at: NOW,
        org: None,
        team: None,
        target_table: "api_keys".into(),
        target: format!("key{number}"),
        action: if number.is_multiple_of(2) { "create" } else { "revoke" }.into(),
        event: "api_key.created".into(),
        actor: Actor { kind: ActorKind::Operator, name: "operator".into() },
        ip: None,
        detail: "{}".into(),
    }
}

async fn write(scratch: &Scratch, count: usize) {
    let events: Vec<Event> = (0..count).map(event).collect();
    let mut tx = scratch.store.write().await.unwrap();
    audit::append(&mut tx, &events).await.unwrap();
    tx.commit().await.unwrap();
}

async fn verdict(scratch: &Scratch) -> Verdict {
    let mut conn = scratch.store.read().await.unwrap();
    let mut progress = Progress::START;
    loop {
        if let Some(verdict) = audit::verify(&mut conn, &mut progress, 3).await.unwrap() {
            return verdict;
        }
    }
}

#[tokio::test]
async fn a_whole_chain_verifies_across_pages() {
    let scratch = Scratch::new().await;
    assert!(matches!(verdict(&scratch).await, Verdict::Whole { events: 0, .. }));
    write(&scratch, 9).await;
    assert!(matches!(verdict(&scratch).await, Verdict::Whole { events: 9, .. }));
    write(&scratch, 1).await;
    assert!(matches!(verdict(&scratch).await, Verdict::Whole { events: 10, .. }));
    // Nothing adds nothing; more than one statement takes is one chain all the same.
    write(&scratch, 0).await;
    write(&scratch, 1201).await;
    assert!(matches!(verdict(&scratch).await, Verdict::Whole { events: 1211, .. }));
}

#[tokio::test]
async fn the_database_refuses_to_rewrite_the_past() {
    let scratch = Scratch::new().await;
    write(&scratch, 3).await;
    for attack in ["UPDATE audit_events SET actor = 'nobody'", "DELETE FROM audit_events WHERE seq = 2"] {
        let refusal = scratch.raw(attack).await.unwrap_err();
        assert!(refusal.to_string().contains("append-only"), "{refusal}");
    }
}

/// Somebody with the file in hand can drop the triggers; the chain still tells.
#[tokio::test]
async fn tampering_is_named_by_its_first_row() {
    for (attack, first) in [
        ("UPDATE audit_events SET actor = 'nobody' WHERE seq = 4", 4),
        ("UPDATE audit_events SET at = at + 1 WHERE seq = 1", 1),
        ("UPDATE audit_events SET org_id = 'not an id' WHERE seq = 5", 5),
        ("UPDATE audit_events SET hash = (SELECT hash FROM audit_events WHERE seq = 1) WHERE seq = 2", 2),
        ("DELETE FROM audit_events WHERE seq = 3", 3),
        ("DELETE FROM audit_events WHERE seq > 7", 8),
        ("DELETE FROM audit_events", 1),
        ("UPDATE counters SET value = 5 WHERE name = 'audit_events'", 6),
    ] {
        let scratch = Scratch::new().await;
        write(&scratch, 9).await;
        scratch
            .raw("DROP TRIGGER audit_events_no_update; DROP TRIGGER audit_events_no_delete")
            .await
            .unwrap();
        scratch.raw(attack).await.unwrap();
        let verdict = verdict(&scratch).await;
        assert!(matches!(verdict, Verdict::Broken { seq, .. } if seq == first), "{attack}: {verdict:?}");
    }
}

/// A broken chain is for people to look into; it does not stop the work.
#[tokio::test]
async fn a_broken_chain_can_still_be_written() {
    let scratch = Scratch::new().await;
    write(&scratch, 3).await;
    scratch.raw("DROP TRIGGER audit_events_no_update").await.unwrap();
    scratch.raw("UPDATE audit_events SET hash = 'x' WHERE seq = 3").await.unwrap();
    write(&scratch, 2).await;
    assert!(matches!(verdict(&scratch).await, Verdict::Broken { seq: 3, .. }));
}

#[tokio::test]
async fn lists_filter_and_page_newest_first() {
    let scratch = Scratch::new().await;
    write(&scratch, 9).await;
    let mut conn = scratch.store.read().await.unwrap();
    let filter = Filter { action: Some("create".into()), ..Filter::default() };
    let first = audit::list(&mut conn, &filter, None, 3).await.unwrap();
    let second = audit::list(&mut conn, &filter, first.next, 3).await.unwrap();
    let places = |page: &audit::Page| page.items.iter().map(|entry| entry.seq).collect::<Vec<_>>();
    assert_eq!((places(&first), places(&second)), (vec![9, 7, 5], vec![3, 1]));
    assert_eq!(second.next, None);
    let filter = Filter { target: Some("key4".into()), ..Filter::default() };
    assert_eq!(places(&audit::list(&mut conn, &filter, None, 9).await.unwrap()), [5]);
}
