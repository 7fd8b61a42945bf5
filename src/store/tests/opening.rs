//! Opening: schema, versions, locks.

use std::os::unix::fs::PermissionsExt as _;

use super::{NOW, Scratch, acme, add, key};
use crate::store::{OpenError, Options, Store, StoreError, keys, orgs};

#[tokio::test]
async fn opening_again_changes_nothing() {
    let scratch = Scratch::new().await;
    let acme = acme(&scratch.store).await;
    add(&scratch.store, &key(acme, "aaaaaaaa")).await;
    let again = scratch.again().await;
    let mut conn = again.read().await.unwrap();
    assert!(keys::find_by_prefix(&mut conn, "aaaaaaaa").await.unwrap().is_some());
    let mode = std::fs::metadata(scratch.directory.path().join("latchgate.db")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn programs_that_start_at_once_make_one_schema() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options::sqlite(directory.path().join("latchgate.db")).create(true).migrate(true);
    let mut starts = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let options = options.clone();
        starts.spawn(async move { Store::open(&options, NOW).await });
    }
    while let Some(start) = starts.join_next().await {
        let store = start.unwrap().unwrap();
        let mut conn = store.read().await.unwrap();
        assert!(orgs::list(&mut conn, None, 1).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn another_programs_schema_is_refused() {
    let scratch = Scratch::new().await;
    let options = Options::sqlite(scratch.directory.path().join("latchgate.db")).migrate(true);
    scratch.raw("UPDATE schema_migrations SET checksum = 'x' WHERE version = 1").await.unwrap();
    assert!(matches!(Store::open(&options, NOW).await, Err(OpenError::SchemaDiffers { version: 1 })));
    scratch.raw("INSERT INTO schema_migrations VALUES (99, 'future', 'x', 0)").await.unwrap();
    scratch.raw("DELETE FROM schema_migrations WHERE version < 99").await.unwrap();
    assert!(matches!(Store::open(&options, NOW).await, Err(OpenError::SchemaTooNew { found: 99, .. })));
}

#[tokio::test]
async fn nothing_is_created_or_migrated_unasked() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("latchgate.db");
    assert!(matches!(Store::open(&Options::sqlite(&path), NOW).await, Err(OpenError::Missing(_))));
    assert!(!path.exists());
    let unmigrated = Store::open(&Options::sqlite(&path).create(true), NOW).await;
    assert!(matches!(unmigrated, Err(OpenError::SchemaTooOld { found: 0, .. })));
    std::fs::write(&path, "this is not a database, whatever its name says, and long enough").unwrap();
    assert!(matches!(
        Store::open(&Options::sqlite(&path).migrate(true), NOW).await,
        Err(OpenError::Unavailable { .. })
    ));
}

/// Readers go on beside a writer; a second writer gives up in time and says that the store is busy, nothing else.
#[tokio::test]
async fn a_held_lock_is_an_outage_for_writers_only() {
    let scratch = Scratch::new().await;
    let acme = acme(&scratch.store).await;
    let other = scratch.again().await;
    let held = other.write().await.unwrap();
    let mut conn = scratch.store.read().await.unwrap();
    assert!(orgs::find(&mut conn, acme.org).await.unwrap().is_some());
    assert!(matches!(scratch.store.write().await, Err(StoreError::Unavailable(_))));
    drop(held);
    scratch.store.write().await.unwrap();
}

#[tokio::test]
async fn readers_cannot_write() {
    let scratch = Scratch::new().await;
    let mut conn = scratch.store.read().await.unwrap();
    let refusal = sqlx::query("DELETE FROM orgs").execute(&mut *conn).await.unwrap_err();
    assert!(refusal.to_string().contains("readonly"), "{refusal}");
}

/// When the disk is full SQLite ends the transaction by itself. The next change finds a writer that works.
#[tokio::test]
async fn a_full_disk_is_an_outage_that_heals() {
    let scratch = Scratch::new().await;
    let acme = acme(&scratch.store).await;
    scratch.raw("PRAGMA max_page_count = 1").await.unwrap();
    let mut tx = scratch.store.write().await.unwrap();
    let mut failure = None;
    for number in 0..10_000 {
        if let Err(error) = keys::insert(&mut tx, &key(acme, &format!("full{number}"))).await {
            failure = Some(error);
            break;
        }
    }
    assert!(matches!(failure, Some(StoreError::Unavailable(_))), "{failure:?}");
    drop(tx);
    add(&scratch.store, &key(acme, "aaaaaaaa")).await;
    let mut conn = scratch.store.read().await.unwrap();
    assert!(keys::find_by_prefix(&mut conn, "full0").await.unwrap().is_none());
}

/// Connections keep the file they opened: what is read there would be a past that nobody changes any more.
#[tokio::test]
async fn another_file_in_its_place_is_no_store() {
    let scratch = Scratch::new().await;
    let acme = acme(&scratch.store).await;
    add(&scratch.store, &key(acme, "aaaaaaaa")).await;
    let path = scratch.directory.path().join("latchgate.db");
    let aside = scratch.directory.path().join("aside.db");
    let refused = || async {
        let (read, write) = (scratch.store.read().await, scratch.store.write().await);
        assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
        assert!(matches!(write, Err(StoreError::Unavailable(_))), "{write:?}");
    };
    std::fs::rename(&path, &aside).unwrap();
    refused().await;
    std::fs::copy(&aside, &path).unwrap();
    refused().await;
    std::fs::rename(&aside, &path).unwrap();
    let mut conn = scratch.store.read().await.unwrap();
    assert!(keys::find_by_prefix(&mut conn, "aaaaaaaa").await.unwrap().is_some());
}
