//! Making keys: what they are made of, what is refused, what is kept.

use std::{collections::HashSet, thread};

use serde_json::Value;

use super::{create, days_until};
use crate::support::{
    program::{Key, Output, Site},
    rawup::Upstream,
    setup::Setup,
    wrong::Wrong,
};

/// `R000_12`: a key has a name, a description, scopes, an expiry (90 days by default, at most 365), an environment and a rate.
#[test]
fn a_key_is_made_as_described() {
    let site = Site::new(Setup::offload(&Upstream::echo()));
    let flags = [
        "--name",
        "ci",
        "--description",
        "nightly",
        "--scopes",
        "scan:read,scan:trigger",
        "--expires-in-days",
        "30",
        "--environment",
        "production",
    ];
    let key = create(
        &site,
        &[flags.as_slice(), &["--rate-limit-per-minute", "100", "--allowed-ips", "203.0.113.0/24"]].concat(),
    )
    .json();
    let expected = [
        ("name", "ci".into()),
        ("description", "nightly".into()),
        ("scopes", serde_json::json!(["scan:read", "scan:trigger"])),
        ("environment", "production".into()),
        ("rate_limit_per_minute", 100.into()),
        ("allowed_ips", serde_json::json!(["203.0.113.0/24"])),
        ("status", "active".into()),
        ("usage_count", 0.into()),
        ("revoked_at", Value::Null),
        ("last_used_at", Value::Null),
        ("security_level", "standard".into()),
    ];
    for (field, value) in expected {
        assert_eq!(key[field], value, "{field}");
    }
    assert_eq!(days_until(&key["expires_at"]), 30);
    assert_eq!(
        days_until(&create(&site, &["--name", "default", "--scopes", "scan:read"]).json()["expires_at"]),
        90
    );
    assert_eq!(
        days_until(
            &create(&site, &["--name", "longest", "--scopes", "scan:read", "--expires-in-days", "365"])
                .json()["expires_at"]
        ),
        365
    );
}

/// `R000_12`, E148, E161, E163: what is no expiry, name or scope is refused, and nothing is created.
#[test]
fn wrong_values_create_nothing() {
    let site = Site::new(Setup::offload(&Upstream::echo()));
    let long = "n".repeat(81);
    let huge = "n".repeat(10 << 10);
    let mut wrong = Wrong::default();
    for arguments in [
        ["--name", "a", "--scopes", "scan:read", "--expires-in-days", "0"].as_slice(),
        &["--name", "a", "--scopes", "scan:read", "--expires-in-days", "-1"],
        &["--name", "a", "--scopes", "scan:read", "--expires-in-days", "366"],
        &["--name", "a", "--scopes", "scan:read", "--expires-in-days", "1000000000000000000"],
        &["--name", "a", "--scopes", "scan:read", "--expires-in-days", "1.5"],
        &["--name", "a", "--scopes", "scan:read", "--expires-in-days", "never"],
        &["--name", "a", "--scopes", "scan:read", "--expires-at", "2020-01-01T00:00:00Z"],
        &["--name", "a", "--scopes", "scan:read", "--expires-at", "tomorrow"],
        &["--name", "", "--scopes", "scan:read"],
        &["--name", "   ", "--scopes", "scan:read"],
        &["--name", "a\nb", "--scopes", "scan:read"],
        &["--name", "a\u{202e}b", "--scopes", "scan:read"],
        &["--name", "a\u{1b}[2Jb", "--scopes", "scan:read"],
        &["--name", &long, "--scopes", "scan:read"],
        &["--name", &huge, "--scopes", "scan:read"],
        &["--name", "a", "--scopes", "scan:readall"],
        &["--name", "a", "--scopes", "Scan:Read"],
        &["--name", "a", "--scopes", "scan:*"],
        &["--name", "a", "--scopes", "sc\u{430}n:read"],
        &["--name", "a", "--scopes", "scan:read,,scan:trigger"],
        &["--name", "a", "--scopes", "team:manage"],
        &["--name", "a", "--preset", "everything"],
        &["--name", "a", "--preset", "ci_basic", "--scopes", "scan:read"],
        &["--name", "a", "--scopes", "scan:read", "--scope", "galaxy"],
        &["--name", "a", "--scopes", "scan:read", "--team-id", "0192f7c4-5b1e-7c3a-9d2e-1f0a2b3c4d5e"],
        &["--name", "a", "--scopes", "scan:read", "--user-id", "x"],
    ] {
        let refused = create(&site, arguments);
        wrong.unless(
            matches!(refused.code, 1 | 2) && refused.stdout.is_empty() && !refused.stderr.is_empty(),
            || format!("{arguments:.60?}: {refused:.200?}"),
        );
    }
    wrong.none("a value");
    assert_eq!(site.cli(&["keys", "list"]).json()["items"], serde_json::json!([]), "something was created");
    for name in [
        "emoji \u{1f680}",
        "<script>alert(1)</script>",
        "=cmd|'/c calc'!A1",
        "O'Brien; DROP TABLE api_keys",
        "ci",
        "ci",
    ] {
        assert_eq!(
            create(&site, &["--name", name, "--scopes", "scan:read"]).json()["name"],
            name,
            "odd but harmless, also twice"
        );
    }
}

/// In `trustedoss` a key may live without an end, or for 1 to 1825 days.
#[test]
fn the_profile_sets_the_bounds_of_expiry() {
    let site = Site::new(Setup::trustedoss(&Upstream::echo()));
    assert_eq!(site.key(&["--scope", "org", "--name", "endless"]).object["expires_at"], Value::Null);
    let longest = site.key(&["--scope", "org", "--name", "longest", "--expires-in-days", "1825"]);
    assert_eq!(days_until(&longest.object["expires_at"]), 1825);
    for days in ["0", "1826"] {
        let refused = create(&site, &["--name", "k", "--scope", "org", "--expires-in-days", days]);
        assert!(matches!(refused.code, 1 | 2), "{days} days: {refused:?}");
    }
}

/// E148: no scopes are never all scopes.
#[test]
fn no_scopes_are_not_all_scopes() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let outcomes = [create(&site, &["--name", "none"]), create(&site, &["--name", "empty", "--scopes", ""])];
    let program = site.serve();
    for outcome in outcomes {
        if outcome.code == 0 {
            let key = Key::from(outcome.json());
            assert_eq!(key.object["scopes"], serde_json::json!([]), "{}", key.object);
            assert_eq!(program.key(&key.text).verdict("/api/x"), "403 scope_insufficient");
        }
    }
    assert_eq!(upstream.count(), 0);
}

/// `R000_14`, `R002_02`, `R002_12`: the full key is shown once; the store holds a bcrypt hash and nothing that gives the key back.
#[test]
fn the_full_key_is_shown_once_and_never_stored() {
    for setup in [Setup::offload as fn(&Upstream) -> Setup, Setup::trustedoss] {
        let upstream = Upstream::echo();
        let site = Site::new(setup(&upstream));
        let key = site.key(&["--scopes", "scan:read"]);
        let secret = key.text.rsplit('_').next().expect("a secret").to_owned();
        let program = site.serve();
        assert_eq!(program.key(&key.text).verdict("/api/x"), "200");
        for arguments in [
            ["keys", "show", &key.id].as_slice(),
            &["keys", "list"],
            &["audit", "list"],
            &["keys", "rename", &key.id, "new name"],
        ] {
            let shown = program.cli(arguments).ok();
            assert!(!shown.stdout.contains(&secret) && !shown.stderr.contains(&secret), "{arguments:?}");
            assert!(!shown.stdout.contains("$2b$"), "{arguments:?} shows the hash");
        }
        assert!(program.cli(&["keys", "show", &key.id]).json().get("key").is_none());
        let site = program.stop();
        let bytes = site.store_bytes();
        let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!holds(&secret) && !holds(&secret[..16]), "the secret is in the store");
        assert!(holds(&key.prefix) && holds("$2b$"), "the prefix and a bcrypt hash are");
    }
}

/// `R000_14`, `R002_01`, E164: the shape of keys, and that no two are alike.
#[test]
fn keys_have_the_shape_of_their_profile() {
    let base62 = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    for (profile, literal, public, secret, checked) in [
        ("offload", "osk", 8, 38, true),
        ("trustedoss", "tos", 8, 32, false),
        ("reducto", "rdk", 8, 38, true),
    ] {
        let site = Site::new(Setup::bare(profile));
        let mut seen = HashSet::new();
        for number in 0..20 {
            let scopes = if profile == "offload" { ["--scopes", "scan:read"].as_slice() } else { &[] };
            let key = site.key(&[&["--name", &format!("key {number}")], scopes].concat());
            let parts: Vec<&str> = key.text.split('_').collect();
            assert_eq!(parts.len(), 3, "{}", key.text);
            assert_eq!((parts[0], parts[1].len(), parts[2].len()), (literal, public, secret), "{}", key.text);
            assert_eq!(parts[1], key.prefix);
            assert!(base62(parts[1]) && base62(parts[2]), "{}", key.text);
            if checked {
                let (body, sum) = key.text.split_at(key.text.len() - 6);
                assert_eq!(sum, crate::proxy::checksum(body));
            }
            assert!(seen.insert(parts[1].to_owned()) && seen.insert(parts[2].to_owned()), "twice the same");
        }
    }
    let cortex = Site::new(Setup::bare("cortex")).key(&["--scopes", "cli_tools:view"]);
    assert_eq!((cortex.prefix.len(), cortex.prefix.starts_with('0')), (8, false));
    assert!(
        cortex.prefix.bytes().all(|byte| byte.is_ascii_digit())
            && cortex.text.starts_with(&format!("cx_{}_", cortex.prefix)),
        "{}",
        cortex.text
    );
}

/// `R000_21`, E158: of 26 keys made at once for one user exactly 25 are made; by 26 processes as well as by one.
#[test]
fn twenty_six_at_once_make_twenty_five() {
    let site = Site::new(Setup::offload(&Upstream::echo()));
    let made: usize = thread::scope(|scope| {
        let creators: Vec<_> = (0..26)
            .map(|number| {
                let site = &site;
                scope.spawn(move || {
                    create(site, &["--name", &format!("key {number}"), "--scopes", "scan:read"])
                })
            })
            .collect();
        let outcomes: Vec<Output> =
            creators.into_iter().map(|creator| creator.join().expect("a creator")).collect();
        let refused: Vec<&Output> = outcomes.iter().filter(|outcome| outcome.code != 0).collect();
        assert!(
            refused.iter().all(|outcome| outcome.stderr.contains("25")),
            "the refusal names the limit: {refused:?}"
        );
        outcomes.len() - refused.len()
    });
    assert_eq!(made, 25);
    assert_eq!(site.cli(&["keys", "list"]).json()["items"].as_array().map(Vec::len), Some(25));
}
