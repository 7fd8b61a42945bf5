//! What becomes of keys: rotation, revocation, minting, import, and what happens when the store fails.

use super::{DAY, HOUR, NOW, Platform, list, reading, refused};
use crate::{
    control::service::{
        Caller, ChainVerdict, Imported, KeyChanges, KeyFilter, KnownSources, NewKey, Page, ServiceError,
    },
    domain::{id::KeyId, key::state::Status},
};

const OPERATOR: &Caller = &Caller::Operator;

#[tokio::test]
async fn rotation_keeps_both_for_the_grace_and_a_lost_answer_locks_nobody_out() {
    let platform = Platform::new("offload").await;
    let control = &platform.control;
    let ana = platform.person("ana", "admin").await;
    let old = platform.key(&ana, reading()).await.unwrap().key;
    platform.clock.advance(HOUR);
    let lost = control.rotate_key(&ana, &old.prefix, None).await.unwrap().key;
    platform.clock.advance(HOUR);
    let kept = control.rotate_key(&ana, &old.prefix, None).await.unwrap().key;
    let old = control.find_key(&ana, &old.prefix).await.unwrap();
    assert_eq!(old.status, Status::Rotating);
    assert_eq!(old.grace_until, Some(NOW.after(HOUR * 49)), "the second rotation does not extend the grace");
    assert_eq!((old.rotated_to, kept.rotated_from), (Some(kept.id), Some(old.id)));
    assert_eq!(control.find_key(&ana, &lost.prefix).await.unwrap().status, Status::Revoked);
    assert_eq!((kept.scopes.clone(), kept.name.clone()), (old.scopes.clone(), old.name.clone()));
    assert_eq!(kept.expires_at, Some(NOW.after(HOUR * 2 + DAY * 90)));

    let used = crate::store::usage::Used { key: kept.id, ip: None, count: 1, last: NOW };
    control.write_uses(&[used], &[], &mut KnownSources::default(), None).await.unwrap();
    refused(control.rotate_key(&ana, &old.prefix, None).await, "conflict");
    platform.clock.advance(HOUR * 47);
    assert_eq!(control.find_key(&ana, &old.prefix).await.unwrap().status, Status::Expired);
    refused(control.rotate_key(&ana, &old.prefix, None).await, "conflict");
    control.revoke_key(&ana, &kept.prefix).await.unwrap();
    refused(control.rotate_key(&ana, &kept.prefix, None).await, "conflict");
}

#[tokio::test]
async fn revoking_is_for_ever_and_takes_what_is_left_of_the_key_along() {
    let platform = Platform::new("offload").await;
    let control = &platform.control;
    let ana = platform.person("ana", "admin").await;
    let old = platform.key(&ana, reading()).await.unwrap().key;
    let new = control.rotate_key(&ana, &old.prefix, None).await.unwrap().key;
    let revoked = control.revoke_key(&ana, &new.prefix).await.unwrap();
    assert_eq!(revoked.status, Status::Revoked);
    assert_eq!(control.find_key(&ana, &old.prefix).await.unwrap().status, Status::Revoked);
    let trail = platform.audit().await;
    assert_eq!(control.revoke_key(&ana, &new.prefix).await.unwrap(), revoked);
    assert_eq!(platform.audit().await, trail, "revoking again says and changes nothing");
    assert!(trail.contains(&format!("api_key.revoked {}", old.prefix)));

    let old = platform.key(&ana, reading()).await.unwrap().key;
    let new = control.rotate_key(&ana, &old.prefix, None).await.unwrap().key;
    control.revoke_key(&ana, &old.prefix).await.unwrap();
    assert_eq!(control.find_key(&ana, &new.prefix).await.unwrap().status, Status::Active);
}

/// E156: what a key made of itself goes with it, however often and with however little grace; a successor that a
/// person made does not, and neither does what has been a key in its own right for longer than a grace.
#[tokio::test]
async fn a_key_does_not_outrun_its_revocation() {
    let platform = Platform::new("offload").await;
    let control = &platform.control;
    let ana = platform.person("ana", "admin").await;
    let status = async |id: KeyId| control.find_key(&ana, &id.to_string()).await.unwrap().status;
    let renew = async |id: KeyId, grace| {
        let by = Caller::Key { id, ip: None };
        control.rotate_key(&by, &id.to_string(), grace).await.unwrap().key.id
    };
    for grace in [None, Some(std::time::Duration::ZERO)] {
        let first = platform.key(&ana, reading()).await.unwrap().key.id;
        let second = renew(first, grace).await;
        let third = renew(second, grace).await;
        control.revoke_key(&ana, &first.to_string()).await.unwrap();
        for id in [first, second, third] {
            assert_eq!(status(id).await, Status::Revoked);
        }
        assert!(platform.audit().await[0].starts_with("api_key.revoked"));
    }
    // A person took it over: from there on it is theirs.
    let first = platform.key(&ana, reading()).await.unwrap().key.id;
    let second = renew(first, None).await;
    let third = control.rotate_key(&ana, &second.to_string(), None).await.unwrap().key.id;
    control.revoke_key(&ana, &first.to_string()).await.unwrap();
    assert_eq!((status(second).await, status(third).await), (Status::Revoked, Status::Active));
    // Long ago.
    let first = platform.key(&ana, reading()).await.unwrap().key.id;
    let second = renew(first, None).await;
    platform.clock.advance(HOUR * 48);
    control.revoke_key(&ana, &first.to_string()).await.unwrap();
    assert_eq!((status(first).await, status(second).await), (Status::Revoked, Status::Active));
}

/// Whichever of the two comes first, there is no working key without the one who revoked knowing of it.
#[tokio::test(flavor = "multi_thread")]
async fn rotating_and_revoking_at_once_have_one_outcome() {
    let platform = Platform::new("offload").await;
    let ana = platform.person("ana", "admin").await;
    for _ in 0..5 {
        let key = platform.key(&ana, reading()).await.unwrap().key;
        let named = key.prefix.clone();
        let (rotated, revoked) = tokio::join!(
            platform.control.rotate_key(&ana, &named, None),
            platform.control.revoke_key(&ana, &named)
        );
        assert_eq!(revoked.unwrap().status, Status::Revoked);
        let after = platform.control.find_key(&ana, &named).await.unwrap();
        assert_eq!(after.status, Status::Revoked);
        match rotated {
            Ok(successor) => assert_eq!(after.rotated_to, Some(successor.key.id)),
            Err(error) => assert_eq!((error.code(), after.rotated_to), ("conflict", None)),
        }
    }
}

/// R001_01, R001_02: a key that may create keys mints, never beyond itself, and its children end with it.
#[tokio::test]
async fn a_key_mints_within_itself_and_its_children_end_with_it() {
    let platform = Platform::new("cortex").await;
    let control = &platform.control;
    let ada = platform.person("ada", "instance_admin").await;
    let primary = NewKey {
        name: "primary".into(),
        scopes: Some(list("cli_tools:view public_api:edit")),
        expires_in_days: Some(30),
        allowed_ips: vec!["10.0.0.0/8".into()],
        ..NewKey::default()
    };
    let primary = platform.key(&ada, primary).await.unwrap().key;
    let minter = Caller::Key { id: primary.id, ip: None };
    let wanted = NewKey { name: "task".into(), scopes: Some(list("cli_tools:view")), ..NewKey::default() };
    let child = platform.key(&minter, wanted.clone()).await.unwrap().key;
    assert_eq!(
        (child.parent_id, child.allowed_ips.as_slice()),
        (Some(primary.id), &["10.0.0.0/8".to_owned()][..])
    );
    assert!(child.expires_at <= primary.expires_at && child.expires_at.is_some());
    for beyond in [
        NewKey { scopes: Some(list("cli_tools:edit")), ..wanted.clone() },
        NewKey { expires_in_days: Some(31), ..wanted.clone() },
        NewKey { allowed_ips: vec!["192.0.2.0/24".into()], ..wanted.clone() },
    ] {
        refused(platform.key(&minter, beyond).await, "forbidden");
    }
    let unable = Caller::Key { id: child.id, ip: None };
    refused(platform.key(&unable, wanted).await, "scope_insufficient");
    refused(control.revoke_key(&unable, &primary.prefix).await, "not_found");
    control.revoke_key(&ada, &primary.prefix).await.unwrap();
    assert_eq!(control.find_key(&ada, &child.prefix).await.unwrap().status, Status::Revoked);
    refused(control.find_key(&minter, &child.prefix).await, "forbidden");
}

/// R000_21: replacing a successor that was itself rotated would leave two working keys that count as one, and so
/// any number of them.
#[tokio::test]
async fn a_family_has_one_key_that_goes_on() {
    let platform = Platform::new("offload").await;
    let control = &platform.control;
    let ana = platform.person("ana", "admin").await;
    let first = platform.key(&ana, reading()).await.unwrap().key;
    let second = control.rotate_key(&ana, &first.prefix, None).await.unwrap().key;
    let third = control.rotate_key(&ana, &second.prefix, None).await.unwrap().key;
    refused(control.rotate_key(&ana, &first.prefix, None).await, "conflict");
    let active = KeyFilter { status: Some(Status::Active), ..KeyFilter::default() };
    let found = control.list_keys(&ana, &active, &Page::default()).await.unwrap();
    assert_eq!(found.items.iter().map(|key| key.id).collect::<Vec<_>>(), [third.id]);
}

/// R001_02: whatever became of the key between, what it minted ends with the chain, also what it minted in its grace.
#[tokio::test]
async fn minted_keys_end_with_the_chain_that_minted_them() {
    let platform = Platform::new("cortex").await;
    let control = &platform.control;
    let ada = platform.person("ada", "instance_admin").await;
    let scopes = Some(list("cli_tools:view public_api:edit"));
    let primary =
        platform.key(&ada, NewKey { name: "primary".into(), scopes, ..NewKey::default() }).await.unwrap().key;
    let minter = Caller::Key { id: primary.id, ip: None };
    let wanted = NewKey { name: "task".into(), scopes: Some(list("cli_tools:view")), ..NewKey::default() };
    let before = platform.key(&minter, wanted.clone()).await.unwrap().key;
    control.rotate_key(&ada, &primary.prefix, None).await.unwrap();
    let kept = control.rotate_key(&ada, &primary.prefix, None).await.unwrap().key;
    let meanwhile = platform.key(&minter, wanted).await.unwrap().key;
    for child in [&before, &meanwhile] {
        assert_eq!(control.find_key(&ada, &child.prefix).await.unwrap().status, Status::Active);
    }
    control.revoke_key(&ada, &kept.prefix).await.unwrap();
    for ended in [&primary, &before, &meanwhile] {
        assert_eq!(control.find_key(&ada, &ended.prefix).await.unwrap().status, Status::Revoked);
    }
}

/// R001_02: what a key minted is not lifted beyond it afterwards, by nobody.
#[tokio::test]
async fn a_minted_key_stays_within_its_primary() {
    let platform = Platform::new("cortex").await;
    let control = &platform.control;
    let ada = platform.person("ada", "instance_admin").await;
    let primary = NewKey {
        name: "primary".into(),
        scopes: Some(list("cli_tools:view public_api:edit")),
        allowed_ips: vec!["10.0.0.0/8".into()],
        rate_limit_per_minute: Some(60),
        ..NewKey::default()
    };
    let primary = platform.key(&ada, primary).await.unwrap().key;
    let minter = Caller::Key { id: primary.id, ip: None };
    let wanted = NewKey { name: "task".into(), scopes: Some(list("cli_tools:view")), ..NewKey::default() };
    let child = platform.key(&minter, wanted).await.unwrap().key.prefix;
    let anywhere = KeyChanges { allowed_ips: Some(vec![]), ..KeyChanges::default() };
    let faster = KeyChanges { rate_limit_per_minute: Some(Some(61)), ..KeyChanges::default() };
    let unlimited = KeyChanges { rate_limit_per_minute: Some(None), ..KeyChanges::default() };
    for caller in [&ada, OPERATOR] {
        for lifted in [&anywhere, &faster, &unlimited] {
            refused(control.update_key(caller, &child, lifted).await, "forbidden");
        }
    }
    let narrower = KeyChanges { allowed_ips: Some(list("10.1.2.3")), ..KeyChanges::default() };
    control.update_key(&ada, &child, &narrower).await.unwrap();
    control.update_key(&ada, &primary.prefix, &anywhere).await.unwrap();
}

/// R001_02: a key that may rotate others gains by it what they hold, for as long and from where they hold it.
#[tokio::test]
async fn a_key_gains_nothing_by_rotating_another() {
    let platform = Platform::new("cortex").await;
    let ada = platform.person("ada", "instance_admin").await;
    let scopes = Some(list("cli_tools:view public_api:edit member:update"));
    let free = NewKey { name: "free".into(), scopes, ..NewKey::default() };
    let wide = platform.key(&ada, free.clone()).await.unwrap().key;
    for bound in [
        NewKey { expires_in_days: Some(1), ..free.clone() },
        NewKey { allowed_ips: vec!["10.0.0.0/8".into()], ..free.clone() },
        NewKey { rate_limit_per_minute: Some(1), ..free.clone() },
    ] {
        let narrow = platform.key(&ada, bound).await.unwrap().key;
        let narrow = Caller::Key { id: narrow.id, ip: None };
        refused(platform.control.rotate_key(&narrow, &wide.prefix, None).await, "forbidden");
    }
    let equal = platform.key(&ada, free).await.unwrap().key;
    let equal = Caller::Key { id: equal.id, ip: None };
    platform.control.rotate_key(&equal, &wide.prefix, None).await.unwrap();
}

/// R000_12: what came from elsewhere may live long; what is made here in its place may not.
#[tokio::test]
async fn a_successor_lives_no_longer_than_a_new_key() {
    let platform = Platform::new("offload").await;
    let ana = platform.person("ana", "admin").await;
    let old = Imported {
        name: "old".into(),
        user: Some("ana@acme.example".into()),
        prefix: Some("a1b2c3d4".into()),
        hash: format!("sha256:{}", "ab".repeat(32)),
        scopes: vec!["scan:read".into()],
        expires_at: Some("2099-01-01T00:00:00Z".into()),
        ..Imported::default()
    };
    platform.control.import_keys(OPERATOR, &[old]).await.unwrap().remove(0).unwrap();
    let new = platform.control.rotate_key(&ana, "a1b2c3d4", None).await.unwrap().key;
    assert_eq!(new.expires_at, Some(NOW.after(DAY * 365)));
}

/// R003_03: the organization's keys survive the person who made them; a person's own do not.
#[tokio::test]
async fn whose_key_it_is_decides_what_it_survives() {
    let platform = Platform::new("reducto").await;
    let adam = platform.person("adam", "admin").await;
    let key = platform.key(&adam, NewKey { name: "k".into(), ..NewKey::default() }).await.unwrap().key;
    platform.control.remove_user(OPERATOR, "adam@acme.example").await.unwrap();
    let after = platform.control.find_key(OPERATOR, &key.prefix).await.unwrap();
    assert_eq!((after.status, after.created_by.as_deref()), (Status::Active, Some("adam@acme.example")));

    let platform = Platform::new("offload").await;
    let ana = platform.person("ana", "admin").await;
    let key = platform.key(&ana, reading()).await.unwrap().key;
    platform.control.remove_user(OPERATOR, "ana@acme.example").await.unwrap();
    assert_eq!(platform.control.find_key(OPERATOR, &key.prefix).await.unwrap().status, Status::Revoked);
}

#[tokio::test]
async fn imported_keys_are_taken_one_by_one() {
    let platform = Platform::new("offload").await;
    platform.person("ana", "admin").await;
    let good = Imported {
        name: "old".into(),
        team: Some("core".into()),
        user: Some("ana@acme.example".into()),
        prefix: Some("osk_a1b2c3d4".into()),
        hash: format!("sha256:{}", "ab".repeat(32)),
        scopes: vec!["scan:read".into()],
        ..Imported::default()
    };
    let batch = [
        good.clone(),
        good.clone(),
        Imported { hash: "md5".into(), prefix: Some("a1b2c3d5".into()), ..good.clone() },
        Imported { prefix: Some("sk_live_abc".into()), ..good.clone() },
        Imported { prefix: Some("a1b2c3d6".into()), team: Some("none".into()), ..good.clone() },
        Imported {
            prefix: Some("a1b2c3d7".into()),
            expires_at: Some("2001-01-01T00:00:00Z".into()),
            ..good.clone()
        },
        Imported { prefix: Some("a1b2c3d8".into()), ..good.clone() },
    ];
    let answers = platform.control.import_keys(OPERATOR, &batch).await.unwrap();
    let codes: Vec<_> =
        answers.iter().map(|answer| answer.as_ref().map_or_else(ServiceError::code, |_| "ok")).collect();
    let field = "invalid_field";
    assert_eq!(codes, ["ok", "conflict", field, field, "not_found", field, "ok"]);
    let found = platform.control.find_key(OPERATOR, "osk_a1b2c3d4").await.unwrap();
    assert_eq!((found.prefix.as_str(), found.status), ("a1b2c3d4", Status::Active));
    let id: KeyId = *answers[0].as_ref().unwrap();
    assert_eq!(found.id, id);
}

/// What fails at its last step has not happened at all.
#[tokio::test]
async fn nothing_half_done_is_kept() {
    let platform = Platform::new("offload").await;
    let control = &platform.control;
    let ana = platform.person("ana", "admin").await;
    let key = platform.key(&ana, reading()).await.unwrap().key;
    let trail = platform.audit().await;
    let fault = "CREATE TRIGGER fault BEFORE INSERT ON changes BEGIN SELECT RAISE(ABORT, 'fault'); END";
    control.store().raw(fault).await.unwrap();
    refused(platform.key(&ana, reading()).await, "store_unavailable");
    refused(control.rotate_key(&ana, &key.prefix, None).await, "store_unavailable");
    refused(control.revoke_key(&ana, &key.prefix).await, "store_unavailable");
    refused(control.remove_user(OPERATOR, "ana@acme.example").await, "store_unavailable");
    let found = control.list_keys(&ana, &KeyFilter::default(), &Page::default()).await.unwrap();
    assert_eq!(found.items, [key]);
    assert_eq!(platform.audit().await, trail);
    control.store().raw("DROP TRIGGER fault").await.unwrap();
    platform.key(&ana, reading()).await.unwrap();
    let verdict = control.verify_audit(|_| ()).await.unwrap();
    assert!(matches!(verdict, ChainVerdict::Whole { .. }), "{verdict:?}");
}
