//! Making keys and changing them: which are refused, and for whom.

use super::{DAY, NOW, Platform, list, reading, refused};
use crate::{
    control::service::{Caller, KeyChanges, KeyFilter, NewKey, Page},
    domain::{boundary::BoundaryKind, key::token::Presented},
    store::keys as stored,
};

const OPERATOR: &Caller = &Caller::Operator;

/// The full key is in the answer alone; what is stored proves it (R000_14, R002_02).
#[tokio::test]
async fn a_new_key_is_proved_by_what_is_stored_and_is_not_stored_itself() {
    let platform = Platform::new("offload").await;
    let ana = platform.person("ana", "admin").await;
    let made = platform.key(&ana, reading()).await.unwrap();
    let shape = &platform.control.profile().keys.shape;
    let presented = shape.parse(made.full().unwrap()).unwrap();
    assert_eq!(presented.public, made.key.prefix);
    let mut conn = platform.control.store().read().await.unwrap();
    let held = stored::find_by_prefix(&mut conn, presented.public).await.unwrap().unwrap();
    assert!(held.key.hash.verify(&presented, false));
    assert!(!held.key.hash.verify(&Presented { text: "x", ..presented }, false));
    assert!(held.key.mac.is_some());
    drop(conn);
    platform.control.store().close().await;
    for file in std::fs::read_dir(platform.directory.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let secret = presented.secret.as_bytes();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret));
    }
}

#[tokio::test]
async fn expiry_follows_the_profile() {
    let platform = Platform::new("offload").await;
    let ana = platform.person("ana", "admin").await;
    let made = platform.key(&ana, reading()).await.unwrap();
    assert_eq!(made.key.expires_at, Some(NOW.after(DAY * 90)));
    for days in [1, 365] {
        let made = platform.key(&ana, NewKey { expires_in_days: Some(days), ..reading() }).await.unwrap();
        assert_eq!(made.key.expires_at, Some(NOW.after(DAY * u32::try_from(days).unwrap())));
    }
    for days in [0, -1, 366, i64::MAX, i64::MIN] {
        refused(
            platform.key(&ana, NewKey { expires_in_days: Some(days), ..reading() }).await,
            "invalid_field",
        );
    }
    for end in [NOW, NOW.before(DAY), NOW.after(DAY * 366)] {
        refused(platform.key(&ana, NewKey { expires_at: Some(end), ..reading() }).await, "invalid_field");
    }
    let endless = Platform::new("trustedoss").await;
    let ada = endless.person("ada", "team_admin").await;
    let made = endless.key(&ada, NewKey { name: "ci".into(), ..NewKey::default() }).await.unwrap();
    assert_eq!((made.key.expires_at, made.key.scope), (None, BoundaryKind::Team));
}

#[tokio::test]
async fn fields_are_checked() {
    let platform = Platform::new("offload").await;
    let ana = platform.person("ana", "admin").await;
    let networks = |count: u8| (0..count).map(|n| format!("10.0.0.{n}")).collect::<Vec<_>>();
    for wrong in [
        NewKey { name: String::new(), ..reading() },
        NewKey { name: "x".repeat(81), ..reading() },
        NewKey { name: "a\u{202E}b".into(), ..reading() },
        NewKey { scopes: None, ..reading() },
        NewKey { scopes: Some(vec![]), ..reading() },
        NewKey { scopes: Some(list("scan:read no:such")), ..reading() },
        NewKey { scopes: Some(list("org:delete")), ..reading() },
        NewKey { preset: Some("ci_basic".into()), ..reading() },
        NewKey { scopes: None, preset: Some("everything".into()), ..reading() },
        NewKey { scopes: None, roles: Some(list("admin")), ..reading() },
        NewKey { scope: Some("galaxy".into()), ..reading() },
        NewKey { allowed_ips: networks(51), ..reading() },
        NewKey { allowed_ips: vec!["10.0.0.0/33".into()], ..reading() },
        NewKey { allowed_ips: vec![String::new()], ..reading() },
        NewKey { rate_limit_per_minute: Some(0), ..reading() },
        NewKey { rate_limit_per_minute: Some(1 << 40), ..reading() },
        NewKey { public_key: Some("x".into()), ..reading() },
        NewKey { security_level: Some("advanced".into()), public_key: Some("x".into()), ..reading() },
        NewKey { security_level: Some("none".into()), ..reading() },
        NewKey { effective_role: Some("viewer".into()), ..reading() },
    ] {
        refused(platform.key(&ana, wrong.clone()).await, "invalid_field");
    }
    refused(platform.key(&ana, NewKey { team_id: Some("elsewhere".into()), ..reading() }).await, "not_found");
    platform.key(&ana, NewKey { allowed_ips: networks(50), ..reading() }).await.unwrap();
    refused(platform.key(OPERATOR, reading()).await, "invalid_field");
}

/// Nobody issues what they do not hold, also not through the operator.
#[tokio::test]
async fn nobody_gives_more_than_they_hold() {
    let platform = Platform::new("offload").await;
    let viewer = platform.person("vic", "viewer").await;
    let full = NewKey { scopes: None, preset: Some("full_access".into()), ..reading() };
    let message = refused(platform.key(&viewer, full.clone()).await, "forbidden");
    assert!(message.contains("scan:trigger"), "{message}");
    let named = NewKey { user: Some("vic@acme.example".into()), ..full.clone() };
    refused(platform.key(OPERATOR, named).await, "forbidden");
    platform.key(&viewer, reading()).await.unwrap();
    let admin = platform.person("ada", "admin").await;
    platform.key(&admin, full).await.unwrap();
    refused(
        platform.key(&admin, NewKey { user: Some("vic@acme.example".into()), ..reading() }).await,
        "forbidden",
    );
}

/// R002_04: org by `super_admin`, team by `team_admin`, project by `developer` too, inside their own team.
#[tokio::test]
async fn who_issues_which_boundary() {
    let platform = Platform::new("trustedoss").await;
    let control = &platform.control;
    let other = platform.team("Other").await;
    for (team, name) in [(platform.team.unwrap(), "Site"), (other, "Elsewhere")] {
        let project =
            crate::control::service::NewProject { team_id: team.to_string(), name: name.into(), slug: None };
        control.create_project(OPERATOR, &project).await.unwrap();
    }
    let org = NewKey { name: "k".into(), scope: Some("org".into()), ..NewKey::default() };
    let team = NewKey { scope: Some("team".into()), team_id: Some("core".into()), ..org.clone() };
    let project = NewKey { scope: Some("project".into()), project_id: Some("site".into()), ..org.clone() };
    let elsewhere = NewKey { project_id: Some("elsewhere".into()), ..project.clone() };
    let boss = platform.person("boss", "super_admin").await;
    let lead = platform.person("lead", "team_admin").await;
    let dev = platform.person("dev", "developer").await;
    for (caller, wanted) in [
        (&boss, [true, true, true, true]),
        (&lead, [false, true, true, false]),
        (&dev, [false, false, true, false]),
    ] {
        for (key, wanted) in [&org, &team, &project, &elsewhere].into_iter().zip(wanted) {
            let made = platform.key(caller, key.clone()).await;
            assert_eq!(made.is_ok(), wanted, "{key:?}: {made:?}");
        }
    }
}

/// R000_21, also when they come at once, and counting a rotation as one.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_five_and_no_more() {
    let platform = Platform::new("offload").await;
    let ana = platform.person("ana", "admin").await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..26 {
        let (control, caller) = (platform.control.clone(), ana.clone());
        tasks.spawn(async move { control.create_key(&caller, &reading()).await });
    }
    let mut made = Vec::new();
    while let Some(result) = tasks.join_next().await {
        match result.unwrap() {
            Ok(created) => made.push(created.key.id),
            Err(error) => assert_eq!(error.code(), "limit_reached"),
        }
    }
    assert_eq!(made.len(), 25);
    let first = made[0].to_string();
    platform.control.rotate_key(&ana, &first, None).await.unwrap();
    refused(platform.key(&ana, reading()).await, "limit_reached");
    platform.control.revoke_key(&ana, &made[1].to_string()).await.unwrap();
    platform.key(&ana, reading()).await.unwrap();
    refused(platform.key(&ana, reading()).await, "limit_reached");
    platform.clock.advance(DAY * 90);
    platform.key(&ana, reading()).await.unwrap();
}

/// Other people's keys are managed by those who manage people, and never gained by rotation.
#[tokio::test]
async fn other_peoples_keys() {
    let platform = Platform::new("offload").await;
    let control = &platform.control;
    let admin = platform.person("ada", "admin").await;
    let manager = platform.person("mia", "security_manager").await;
    let analyst = platform.person("ann", "security_analyst").await;
    let full = NewKey { scopes: None, preset: Some("full_access".into()), ..reading() };
    let strong = platform.key(&admin, full).await.unwrap().key;
    let weak = platform.key(&analyst, reading()).await.unwrap().key;
    refused(control.find_key(&analyst, &strong.prefix).await, "not_found");
    refused(control.revoke_key(&analyst, &strong.prefix).await, "not_found");
    let seen = control.list_keys(&analyst, &KeyFilter::default(), &Page::default()).await.unwrap();
    assert_eq!(seen.items.iter().map(|key| key.id).collect::<Vec<_>>(), [weak.id]);
    // Rotating hands out what the key holds: it is for those who could have made it.
    let same = NewKey { scopes: strong.scopes.clone(), ..reading() };
    refused(platform.key(&manager, same).await, "forbidden");
    refused(control.rotate_key(&manager, &strong.prefix, None).await, "forbidden");
    control.rename_key(&manager, &weak.prefix, "renamed").await.unwrap();
    control.revoke_key(&manager, &strong.prefix).await.unwrap();
}

#[tokio::test]
async fn changes_are_checked_and_recorded() {
    let platform = Platform::new("offload").await;
    let control = &platform.control;
    let ana = platform.person("ana", "admin").await;
    let limited = NewKey {
        rate_limit_per_minute: Some(10),
        allowed_ips: vec!["10.0.0.0/8".into()],
        scopes: Some(list("scan:read")),
        ..reading()
    };
    let key = platform.key(&ana, limited).await.unwrap().key;
    let changes = KeyChanges {
        name: Some("new".into()),
        environment: Some(Some("production".into())),
        rate_limit_per_minute: Some(None),
        allowed_ips: Some(vec!["::ffff:10.1.2.3".into()]),
        ..KeyChanges::default()
    };
    let after = control.update_key(&ana, &key.prefix, &changes).await.unwrap();
    assert_eq!((after.name.as_str(), after.environment.as_deref()), ("new", Some("production")));
    assert_eq!((after.rate_limit_per_minute, after.allowed_ips.len()), (None, 1));
    refused(control.rename_key(&ana, &key.prefix, "").await, "invalid_field");
    // The key itself cannot lift what binds it.
    let itself = Caller::Key { id: key.id, ip: None };
    let lifted = KeyChanges { allowed_ips: Some(vec![]), ..KeyChanges::default() };
    refused(control.update_key(&itself, &key.prefix, &lifted).await, "scope_insufficient");
    assert!(platform.audit().await[0].starts_with("api_key.updated"));
}
