//! Keys as rows: reading, listing, counting, and damage.

use sqlx::Row as _;

use super::{Acme, MINUTE, NOW, Scratch, acme, add, key};
use crate::{
    domain::{id::KeyId, key::state::Status, key::token::Digest},
    store::{
        StoreError,
        keys::{self, Filter, Lookup},
        usage::{self, Used},
        users,
    },
};

async fn two(scratch: &Scratch) -> (Acme, keys::Key, keys::Key) {
    let acme = acme(&scratch.store).await;
    let (whole, damaged) = (key(acme, "aaaaaaaa"), key(acme, "bbbbbbbb"));
    add(&scratch.store, &whole).await;
    add(&scratch.store, &damaged).await;
    (acme, whole, damaged)
}

#[tokio::test]
async fn a_key_is_read_as_it_was_written_with_those_it_stands_on() {
    let scratch = Scratch::new().await;
    let acme = acme(&scratch.store).await;
    let written = key(acme, "aaaaaaaa");
    add(&scratch.store, &written).await;
    let mut conn = scratch.store.read().await.unwrap();
    let held = keys::find_by_prefix(&mut conn, "aaaaaaaa").await.unwrap().unwrap();
    assert_eq!(held.key, written);
    let owner = held.owner.unwrap();
    assert_eq!((owner.id, owner.active), (acme.ana, true));
    assert_eq!(owner.in_team.unwrap().role.as_deref(), Some("viewer"));
    assert!(owner.in_org.is_none());
    assert_eq!(keys::find(&mut conn, written.id).await.unwrap().unwrap().key, written);
    assert!(keys::find_by_prefix(&mut conn, "cccccccc").await.unwrap().is_none());
    assert!(keys::find(&mut conn, KeyId::new(NOW)).await.unwrap().is_none());
}

/// Many at once are what each is alone: unknown ones, damaged ones, minted ones with those above them, in any number.
#[tokio::test]
async fn keys_that_are_read_together_are_what_they_are_alone() {
    let scratch = Scratch::new().await;
    let acme = acme(&scratch.store).await;
    let mut publics = Vec::new();
    let mut above = None;
    for number in 0..20 {
        let public = format!("key{number:05}");
        let written = keys::Key { parent: above, ..key(acme, &public) };
        add(&scratch.store, &written).await;
        // Every third one was minted by the one before it.
        above = (number % 3 == 1).then_some(written.id);
        publics.extend([public, format!("nil{number:05}")]);
    }
    scratch.raw("UPDATE api_keys SET hash = 'x' WHERE prefix = 'key00006'").await.unwrap();
    let mut conn = scratch.store.read().await.unwrap();
    for count in [0, 1, 2, 4, 5, 16, 17, 40] {
        let publics: Vec<&str> = publics.iter().take(count).map(String::as_str).collect();
        let together = keys::find_by_prefixes(&mut conn, &publics).await.unwrap();
        assert_eq!(together.len(), count);
        for (public, together) in publics.iter().zip(together) {
            let alone = keys::find_by_prefix(&mut conn, public).await;
            assert_eq!(format!("{together:?}"), format!("{alone:?}"));
            assert_eq!(together.is_err(), *public == "key00006");
        }
    }
    let minted = keys::find_by_prefixes(&mut conn, &["key00002"]).await.unwrap().remove(0).unwrap().unwrap();
    assert_eq!(minted.minters.len(), 1);
}

/// One damaged row refuses itself; lists and the other keys go on.
#[tokio::test]
async fn a_damaged_row_harms_only_itself() {
    for damage in [
        "UPDATE api_keys SET hash = 'x' WHERE prefix = 'bbbbbbbb'",
        "UPDATE api_keys SET hash = '' WHERE prefix = 'bbbbbbbb'",
        "UPDATE api_keys SET hash = '$2b$31$abcdefghijklmnopqrstuuJb4RYZrOKMrHsPXOYyoJ0wTKCVqnb7G' WHERE prefix = 'bbbbbbbb'",
        "UPDATE api_keys SET scopes = '[1' WHERE prefix = 'bbbbbbbb'",
        "UPDATE api_keys SET scopes = '{}' WHERE prefix = 'bbbbbbbb'",
        "UPDATE api_keys SET security_level = 'none' WHERE prefix = 'bbbbbbbb'",
        "UPDATE api_keys SET expires_at = -1 WHERE prefix = 'bbbbbbbb'",
        "UPDATE api_keys SET expires_at = 'soon' WHERE prefix = 'bbbbbbbb'",
        "UPDATE api_keys SET environment = CAST(x'ff' AS TEXT) WHERE prefix = 'bbbbbbbb'",
        "UPDATE api_keys SET description = hex(zeroblob(5000000)) WHERE prefix = 'bbbbbbbb'",
        "UPDATE api_keys SET allowed_ips = '[\"everywhere\"]' WHERE prefix = 'bbbbbbbb'",
        "UPDATE api_keys SET mac = 'xy' WHERE prefix = 'bbbbbbbb'",
        "UPDATE api_keys SET rate_limit_per_minute = 99999999999 WHERE prefix = 'bbbbbbbb'",
    ] {
        let scratch = Scratch::new().await;
        let (_, whole, damaged) = two(&scratch).await;
        assert_eq!(scratch.raw(damage).await.unwrap(), 1, "{damage}");
        let mut conn = scratch.store.read().await.unwrap();
        let found = keys::find_by_prefix(&mut conn, "bbbbbbbb").await;
        let Err(StoreError::Corrupt { table: "api_keys", id, .. }) = found else {
            panic!("{damage}: {found:?}");
        };
        assert_eq!(id, damaged.id.to_string());
        assert!(keys::find_by_prefix(&mut conn, "aaaaaaaa").await.unwrap().is_some());
        let page = keys::list(&mut conn, &Filter::default(), NOW, None, 10).await.unwrap();
        assert_eq!(page.items.iter().map(|item| item.key.id).collect::<Vec<_>>(), [whole.id]);
        let mut tx = scratch.store.write().await.unwrap();
        assert!(keys::revoke(&mut tx, damaged.id, NOW).await.unwrap(), "a damaged key can be revoked");
    }
}

#[tokio::test]
async fn impossible_rows_are_refused_by_the_database() {
    let scratch = Scratch::new().await;
    two(&scratch).await;
    for wrong in [
        "UPDATE api_keys SET scope = 'org' WHERE prefix = 'bbbbbbbb'",
        "UPDATE api_keys SET team_id = NULL WHERE prefix = 'bbbbbbbb'",
        "UPDATE api_keys SET name = '' WHERE prefix = 'bbbbbbbb'",
        "UPDATE api_keys SET rate_limit_per_minute = 0 WHERE prefix = 'bbbbbbbb'",
        "UPDATE api_keys SET org_id = 'nobody' WHERE prefix = 'bbbbbbbb'",
        "UPDATE api_keys SET prefix = 'aaaaaaaa' WHERE prefix = 'bbbbbbbb'",
    ] {
        assert!(scratch.raw(wrong).await.is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn foreign_keys_are_found_by_digest_or_by_their_beginning() {
    let scratch = Scratch::new().await;
    let acme = acme(&scratch.store).await;
    let text = "sk_live_0123456789abcdef";
    let mut by_digest = key(acme, "sk_live_");
    by_digest.lookup = Lookup::Foreign(keys::digest_lookup(&Digest::of(text)));
    let mut by_beginning = key(acme, "sk_live_0123");
    by_beginning.lookup = Lookup::Foreign("sk_live_0123".into());
    add(&scratch.store, &by_digest).await;
    add(&scratch.store, &by_beginning).await;
    let mut conn = scratch.store.read().await.unwrap();
    let found = keys::find_foreign(&mut conn, &Digest::of(text), &text[..20.min(text.len())]).await.unwrap();
    let ids: Vec<_> = found.iter().map(|held| held.key.id).collect();
    assert_eq!(ids, [by_digest.id, by_beginning.id]);
    assert!(
        keys::find_foreign(&mut conn, &Digest::of("sk_live_9999999999"), "sk_live_9999999999")
            .await
            .unwrap()
            .is_empty()
    );
    assert!(keys::find_foreign(&mut conn, &Digest::of("sk"), "sk").await.unwrap().is_empty());
    assert!(keys::find_by_prefix(&mut conn, "sk_live_0123").await.unwrap().is_none());
}

/// Only the longer of two nested names would ever be found.
#[tokio::test]
async fn a_foreign_name_that_begins_another_is_taken() {
    let scratch = Scratch::new().await;
    let acme = acme(&scratch.store).await;
    let foreign = |name: &str| {
        let mut foreign = key(acme, name);
        foreign.lookup = Lookup::Foreign(name.into());
        foreign
    };
    add(&scratch.store, &foreign("legacy-01")).await;
    let mut conn = scratch.store.read().await.unwrap();
    for (name, taken) in [
        ("legacy-01", true),
        ("legacy-0", true),
        ("lega", true),
        ("legacy-01x", true),
        ("legacy-02", false),
        ("legacy-", true),
        ("xlegacy-01", false),
    ] {
        assert_eq!(keys::is_taken(&mut conn, &foreign(name)).await.unwrap(), taken, "{name}");
    }
}

#[tokio::test]
async fn lists_filter_by_state_and_text_and_page_to_the_end() {
    let scratch = Scratch::new().await;
    let acme = acme(&scratch.store).await;
    for number in 0..7 {
        let mut key = key(acme, &format!("prefix{number:02}"));
        key.name = format!("50% key {number}");
        add(&scratch.store, &key).await;
    }
    let mut conn = scratch.store.read().await.unwrap();
    let (mut seen, mut next) = (Vec::new(), None);
    loop {
        let page = keys::list(&mut conn, &Filter::default(), NOW, next, 3).await.unwrap();
        seen.extend(page.items.into_iter().map(|item| item.key.id));
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 7);
    assert!(seen.is_sorted_by(|one, other| one > other));

    let count = async |status, text: Option<&str>, now| {
        let filter = Filter { status, text: text.map(Into::into), ..Filter::default() };
        let mut conn = scratch.store.read().await.unwrap();
        keys::list(&mut conn, &filter, now, None, 10).await.unwrap().items.len()
    };
    assert_eq!(count(Some(Status::Active), None, NOW).await, 7);
    assert_eq!(count(Some(Status::Expired), None, NOW.after(MINUTE * 60)).await, 7);
    assert_eq!(count(None, Some("50% KEY 3"), NOW).await, 1);
    assert_eq!(count(None, Some("5_"), NOW).await, 0);
    assert_eq!(count(None, Some("PREFIX05"), NOW).await, 1);
}

#[tokio::test]
async fn the_census_counts_every_key_once() {
    let scratch = Scratch::new().await;
    two(&scratch).await;
    let mut conn = scratch.store.read().await.unwrap();
    let census = keys::census(&mut conn, NOW).await.unwrap();
    assert_eq!((census.by_status, census.expiring), ([2, 0, 0, 0], [2, 2, 2]));
    let census = keys::census(&mut conn, NOW.after(MINUTE * 60)).await.unwrap();
    assert_eq!((census.by_status, census.expiring), ([0, 0, 2, 0], [0, 0, 0]));
}

/// Ten million rows are gigabytes: nobody walks through them every half minute.
#[tokio::test]
async fn the_census_reads_no_rows() {
    let scratch = Scratch::new().await;
    let mut conn = scratch.store.read().await.unwrap();
    let plan = format!("EXPLAIN QUERY PLAN {}", keys::CENSUS);
    let steps = sqlx::query(sqlx::AssertSqlSafe(plan)).fetch_all(&mut *conn).await.unwrap();
    let steps: Vec<String> = steps.iter().map(|step| step.get("detail")).collect();
    let walks: Vec<_> = steps.iter().filter(|step| step.contains("api_keys")).collect();
    assert_eq!(walks.len(), 2, "{steps:?}");
    assert!(walks.iter().all(|step| step.contains("USING COVERING INDEX")), "{steps:?}");
    assert!(walks.iter().any(|step| step.ends_with("api_keys_dated")), "{steps:?}");
}

#[tokio::test]
async fn the_census_tells_keys_with_an_end_from_those_without() {
    let scratch = Scratch::new().await;
    let acme = acme(&scratch.store).await;
    let day = NOW.after(MINUTE).micros();
    for (prefix, [expires, grace, revoked]) in [
        ("active00", [None, None, None]),
        ("active01", [Some(day), None, None]),
        ("rotating", [None, Some(day), None]),
        ("expired0", [Some(day), Some(NOW.micros()), None]),
        ("revoked0", [None, None, Some(day)]),
        ("revoked1", [Some(day), None, Some(day)]),
    ] {
        let key = key(acme, prefix);
        add(&scratch.store, &key).await;
        let mut tx = scratch.store.write().await.unwrap();
        let dates =
            "UPDATE api_keys SET expires_at = $2, grace_until = $3, revoked_at = $4 WHERE prefix = $1";
        sqlx::query(dates)
            .bind(prefix)
            .bind(expires)
            .bind(grace)
            .bind(revoked)
            .execute(&mut *tx)
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }
    let mut conn = scratch.store.read().await.unwrap();
    let census = keys::census(&mut conn, NOW).await.unwrap();
    assert_eq!((census.by_status, census.expiring), ([2, 1, 1, 2], [2, 2, 2]));
}

#[tokio::test]
async fn usage_adds_up_and_a_missing_key_costs_nobody_a_count() {
    let scratch = Scratch::new().await;
    let (_, one, _) = two(&scratch).await;
    let used = |key, ip: &str, last| Used { key, ip: ip.parse().ok(), count: 3, last };
    let later = NOW.after(MINUTE);
    let batch = [
        used(KeyId::new(NOW), "192.0.2.1", NOW),
        used(one.id, "192.0.2.1", later),
        used(one.id, "192.0.2.9", NOW),
    ];
    let position = *scratch.store.changed().borrow();
    for _ in 0..2 {
        let mut tx = scratch.store.write().await.unwrap();
        usage::add(&mut tx, &batch).await.unwrap();
        let whose = usage::whose(&mut tx, &[batch[0].key, one.id]).await.unwrap();
        assert_eq!(whose.values().map(|whose| &whose.prefix).collect::<Vec<_>>(), [&one.prefix]);
        tx.commit().await.unwrap();
    }
    let mut conn = scratch.store.read().await.unwrap();
    let key = keys::find(&mut conn, one.id).await.unwrap().unwrap().key;
    assert_eq!((key.usage_count, key.last_used_at), (12, Some(later)));
    assert_eq!(key.last_used_ip, "192.0.2.1".parse().ok());
    let minutes = usage::of_key(&mut conn, one.id, NOW).await.unwrap();
    assert_eq!(minutes.iter().map(|minute| minute.count).collect::<Vec<_>>(), [6, 6]);
    assert_eq!(*scratch.store.changed().borrow(), position, "use is no change of state");
    let sources = ["192.0.2.8", "192.0.2.9", "unknown"].map(|ip| (one.id, ip.parse().ok()));
    let seen = usage::seen_before(&mut conn, &sources).await.unwrap();
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [sources[1]]);
    assert_eq!(usage::prune(&scratch.store, later, 10).await.unwrap(), 1);
}

#[tokio::test]
async fn a_removed_person_frees_the_address_and_is_still_named() {
    let scratch = Scratch::new().await;
    let (acme, one, _) = two(&scratch).await;
    let mut tx = scratch.store.write().await.unwrap();
    assert!(users::find_by_email(&mut tx, "ANA@ACME.example").await.unwrap().is_some());
    assert!(users::remove(&mut tx, acme.ana, NOW).await.unwrap());
    assert_eq!(keys::revoke_of_owner(&mut tx, acme.ana, NOW).await.unwrap().len(), 2);
    assert!(users::find_by_email(&mut tx, "ana@acme.example").await.unwrap().is_none());
    tx.commit().await.unwrap();
    let mut conn = scratch.store.read().await.unwrap();
    let held = keys::find(&mut conn, one.id).await.unwrap().unwrap();
    let owner = held.owner.unwrap();
    assert_eq!((owner.active, owner.in_team, owner.email.as_str()), (false, None, "Ana@acme.example"));
}
