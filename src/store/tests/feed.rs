//! The feed of changes and its followers.

use super::{NOW, Scratch, about, acme, add, key};
use crate::{
    domain::id::ChangeId,
    store::changes::{self, Feed},
};

#[tokio::test]
async fn followers_get_what_comes_after_them_and_are_woken_on_commit() {
    let scratch = Scratch::new().await;
    let acme = acme(&scratch.store).await;
    let mut woken = scratch.store.changed();
    let before = *woken.borrow_and_update();
    let key = key(acme, "aaaaaaaa");
    add(&scratch.store, &key).await;
    assert!(woken.has_changed().unwrap());
    let mut conn = scratch.store.read().await.unwrap();
    let Feed::Next(changes) = changes::since(&mut conn, before, 10).await.unwrap() else { panic!() };
    assert_eq!(changes.iter().map(|change| &change.subject).collect::<Vec<_>>(), [&key.changed()]);
    let latest = changes::latest(&mut conn).await.unwrap();
    assert_eq!(changes::since(&mut conn, latest, 10).await.unwrap(), Feed::Next(vec![]));
}

/// What was rolled back was never announced, and takes no position.
#[tokio::test]
async fn nothing_of_an_abandoned_change_is_kept() {
    let scratch = Scratch::new().await;
    let acme = acme(&scratch.store).await;
    let mut woken = scratch.store.changed();
    woken.mark_unchanged();
    let mut tx = scratch.store.write().await.unwrap();
    changes::append(&mut tx, NOW, &about(acme)).await.unwrap();
    drop(tx);
    assert!(!woken.has_changed().unwrap());
    let mut conn = scratch.store.read().await.unwrap();
    assert_eq!(changes::latest(&mut conn).await.unwrap(), ChangeId(0));
}

#[tokio::test]
async fn a_follower_with_a_gap_is_told_to_drop_everything() {
    let scratch = Scratch::new().await;
    let acme = acme(&scratch.store).await;
    let mut tx = scratch.store.write().await.unwrap();
    for _ in 0..4 {
        changes::append(&mut tx, NOW, &about(acme)).await.unwrap();
    }
    tx.commit().await.unwrap();
    scratch.raw("DELETE FROM changes WHERE id <= 2").await.unwrap();
    let mut conn = scratch.store.read().await.unwrap();
    let lost = Feed::Lost { latest: ChangeId(4) };
    assert_eq!(changes::since(&mut conn, ChangeId(1), 10).await.unwrap(), lost);
    assert!(
        matches!(changes::since(&mut conn, ChangeId(2), 10).await.unwrap(), Feed::Next(next) if next.len() == 2)
    );
    assert_eq!(
        changes::since(&mut conn, ChangeId(9), 10).await.unwrap(),
        lost,
        "a restored backup is behind"
    );
    drop(conn);
    scratch.raw("DELETE FROM changes").await.unwrap();
    let mut conn = scratch.store.read().await.unwrap();
    assert_eq!(changes::since(&mut conn, ChangeId(3), 10).await.unwrap(), lost);
}
