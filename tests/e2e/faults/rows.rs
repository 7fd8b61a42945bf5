//! Damaged rows: each refuses its own key and is reported once; the others keep working.

use crate::support::{
    program::{Key, Site},
    rawup::Upstream,
    setup::Setup,
    wrong::Wrong,
};

/// J281, J282: whatever is wrong with a row, its key fails closed with 401 or 503, nothing panics, all others pass.
#[test]
fn a_damaged_row_refuses_its_own_key() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::trustedoss(&upstream));
    let damages = [
        "hash = ''",
        "hash = 'x'",
        "hash = '$2b$31$ABCDEFGHIJKLMNOPQRSTUuABCDEFGHIJKLMNOPQRSTUVWXYZ01234', mac = NULL",
        "hash = '$2b$04$short', mac = NULL",
        "hash = CAST(x'ff00ff' AS TEXT), mac = NULL",
        "mac = 'zz'",
        "scopes = 'not json'",
        "scopes = '{\"a\": 1}'",
        "scopes = '[1, 2]'",
        "allowed_ips = ''",
        "allowed_ips = '[\"10.0.0.0/99\"]'",
        "allowed_ips = 'null'",
        "scope = 'galaxy'",
        "security_level = 'none'",
        "created_at = 'yesterday'",
        "expires_at = 'never'",
        "expires_at = -1",
        "rate_limit_per_minute = 99999999999999",
        "org_id = 'nobody'",
        "org_id = '0192f7c4-5b1e-7c3a-9d2e-1f0a2b3c4d5e'",
        "owner_user_id = 'nobody'",
        "id = 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'",
        "family_id = 'x'",
        "name = CAST(x'ff' AS TEXT)",
        "environment = printf('%.*c', 10000000, 'x')",
        "roles = 'x'",
        "effective_role = 'emperor'",
    ];
    let healthy = site.key(&["--scope", "org", "--name", "healthy"]);
    let user = |number: usize| format!("user{number}@example.com");
    let keys: Vec<Key> = damages
        .iter()
        .enumerate()
        .map(|(number, _)| {
            if number % 20 == 0 {
                site.user(&user(number / 20), "super_admin", None);
            }
            site.key_of(&user(number / 20), &["--scope", "org", "--name", "to be damaged"])
        })
        .collect();
    let mut wrong = Wrong::default();
    for (damage, key) in damages.iter().zip(&keys) {
        // Some damages the database itself forbids; they cannot happen this way.
        site.sql(&format!(
            "PRAGMA ignore_check_constraints = ON; UPDATE api_keys SET {damage} WHERE prefix = '{}'",
            key.prefix
        ));
    }
    let program = site.serve();
    for (damage, key) in damages.iter().zip(&keys) {
        for round in 0..2 {
            let answer = program.bearer(&key.text).get("/admin/x");
            wrong.unless(matches!(answer.status, 401 | 403 | 503), || {
                format!("{damage}, round {round}: {}", answer.verdict())
            });
        }
        let status = program.bearer(&healthy.text).get("/admin/x").status;
        wrong.unless(status == 200, || format!("beside {damage} a healthy key gets {status}"));
    }
    wrong.none("a damaged row");
    let listed = program.cli(&["keys", "list"]);
    assert_eq!(listed.code, 0, "{listed:?}");
    assert!(listed.stdout.contains(&healthy.prefix));
    let errors: Vec<_> = program.messages().into_iter().filter(|line| line["level"] == "error").collect();
    assert!(!errors.is_empty(), "damage is reported");
    let about_first = errors.iter().filter(|line| line.to_string().contains(&keys[0].id)).count();
    assert_eq!(about_first, 1, "once for each row: {errors:#?}");
}

/// What is left out of a list on the command line is said on standard error.
#[test]
fn a_list_says_what_it_leaves_out() {
    let site = Site::new(Setup::bare("offload"));
    let damaged = site.key(&["--scopes", "scan:read"]);
    let sound = site.key(&["--scopes", "scan:read", "--name", "sound"]);
    site.sql(&format!("UPDATE api_keys SET hash = 'x' WHERE id = '{}'", damaged.id));
    let listed = site.cli(&["keys", "list"]);
    assert!(listed.stderr.contains(&damaged.id) && listed.stderr.contains("hash"), "{listed:?}");
    let items = listed.json();
    assert_eq!((items["items"][0]["id"].as_str(), items["items"][1].as_str()), (Some(&*sound.id), None));
}
