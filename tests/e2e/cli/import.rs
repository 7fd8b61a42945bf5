//! `keys import`: keys from elsewhere, with the hashes they had there.

use std::{fs, thread};

use latchgate::domain::key::secret::{MacKey, RootSecret};
use sha2::Digest as _;

use crate::support::{
    program::{ADMIN, Output, Program, Site},
    rawup::Upstream,
    setup::Setup,
    wait,
};

const COLUMNS: &str =
    "name,org,team,user,prefix,hash,scopes,expires_at,environment,allowed_ips,rate_limit_per_minute";

fn sha256(key: &str) -> String {
    let hex: String = sha2::Sha256::digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn import(site: &Site, name: &str, text: &str) -> Output {
    fs::write(site.path(name), text).expect("write the file");
    site.cli(&["keys", "import", site.path(name).to_str().expect("a path")])
}

/// Keys of our own shape, by bcrypt in its three spellings or by SHA-256, from CSV.
#[test]
fn keys_of_our_shape_are_imported_from_csv() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::trustedoss(&upstream));
    let keys: Vec<String> = (0..4)
        .map(|number| format!("tos_imported{number}_{number:032}").replace("imported", "importe"))
        .collect();
    let bcrypt =
        |key: &str, version: &str| bcrypt::hash(key, 4).expect("a hash").replacen("$2b$", version, 1);
    let hashes =
        [bcrypt(&keys[0], "$2a$"), bcrypt(&keys[1], "$2b$"), bcrypt(&keys[2], "$2y$"), sha256(&keys[3])];
    let mut text = format!("{COLUMNS}\n");
    for (key, hash) in keys.iter().zip(&hashes) {
        text.push_str(&format!(
            "old key,default,default,{ADMIN},{},{hash},scan:read,,legacy,203.0.113.0/24;127.0.0.1,600\n",
            &key[4..12]
        ));
    }
    import(&site, "keys.csv", &text).ok();
    let listed = site.cli(&["keys", "list"]).json();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(4));
    assert_eq!(listed["items"][0]["allowed_ips"], serde_json::json!(["203.0.113.0/24", "127.0.0.1"]));
    let program = site.serve();
    for key in &keys {
        assert_eq!(program.bearer(key).verdict("/api/x"), "200", "{key}");
        let wrong = format!("{}x", &key[..key.len() - 1]);
        assert_eq!(program.bearer(&wrong).verdict("/api/x"), "401 credential_invalid", "{wrong}");
    }
    for key in &keys {
        assert_eq!(program.bearer(key).verdict("/api/x"), "200", "proven again, now from memory");
    }
}

/// Keys of foreign shapes, from JSON lines, by SHA-256 or by the characters they begin with.
#[test]
fn keys_of_foreign_shape_are_imported_where_accepted() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream).set("keys.accept_foreign", true));
    let (hashed, prefixed) = ("legacy.0123456789.abcdefghijklmnop", "old-abcdefgh-secret-part-of-the-key");
    let rows = [
        serde_json::json!({"name": "by hash", "org": "default", "team": "default", "user": ADMIN, "prefix": "legacy.0", "hash": sha256(hashed), "scopes": ["scan:read"]}),
        serde_json::json!({"name": "by prefix", "org": "default", "team": "default", "user": ADMIN, "prefix": "old-abcdefgh", "hash": bcrypt::hash(prefixed, 4).expect("a hash"), "scopes": ["scan:read"]}),
    ];
    import(&site, "keys.jsonl", &rows.map(|row| row.to_string()).join("\n")).ok();
    let program = site.serve();
    for (key, verdict) in [
        (hashed, "200"),
        (prefixed, "200"),
        ("legacy.0123456789.abcdefghijklmnoq", "401 credential_invalid"),
        ("old-abcdefgh-another-secret-part-of", "401 credential_invalid"),
        ("entirely-unknown-foreign-key", "401 credential_invalid"),
    ] {
        assert_eq!(program.key(key).verdict("/api/x"), verdict, "{key}");
    }
    wait::until("the log lines", || program.log().len() >= 5);
    assert!(!program.everything_written().contains("secret-part"), "a foreign key was logged");
}

/// D134: how often a foreign key may be guessed at does not tell whether it begins like one that exists.
#[test]
fn guesses_at_foreign_keys_tell_no_beginnings() {
    let upstream = Upstream::echo();
    let setup =
        Setup::offload(&upstream).set("keys.accept_foreign", true).set("auth.failures_per_minute.prefix", 3);
    let site = Site::new(setup);
    let row = serde_json::json!({"name": "by prefix", "org": "default", "team": "default", "user": ADMIN, "prefix": "old-abcdefgh", "hash": sha256("old-abcdefgh-secret-part-of-the-key"), "scopes": ["scan:read"]});
    import(&site, "keys.jsonl", &row.to_string()).ok();
    let program = site.serve();
    let guesses = |beginning: &str| -> Vec<String> {
        (0..6).map(|guess| program.key(&format!("{beginning}-guessed-{guess}")).verdict("/api/x")).collect()
    };
    let (there, nowhere) = (guesses("old-abcdefgh"), guesses("old-hgfedcba"));
    assert_eq!(there, nowhere);
    assert_eq!(there[5], "429 too_many_failures");
    assert_eq!(program.key("old-abcdefgh-secret-part-of-the-key").verdict("/api/x"), "200");
}

/// What is wrong with a record is told with its line, nothing of it is kept, and the others are not held up; foreign
/// shapes are refused without `accept_foreign`.
#[test]
fn a_wrong_record_is_refused_with_its_line() {
    let site = Site::new(Setup::trustedoss(&Upstream::echo()));
    let good = format!(
        "good,default,default,{ADMIN},importe0,{},scan:read,,,,\n",
        sha256("tos_importe0_00000000000000000000000000000000")
    );
    let rows = [
        format!("foreign,default,default,{ADMIN},old-abc,{},scan:read,,,,\n", sha256("x")),
        format!("bad hash,default,default,{ADMIN},importe1,$2b$99$nonsense,scan:read,,,,\n"),
        format!(
            "cost,default,default,{ADMIN},importe1,$2b$31$ABCDEFGHIJKLMNOPQRSTUuABCDEFGHIJKLMNOPQRSTUVWXYZ01234,scan:read,,,,\n"
        ),
        format!(
            "plain,default,default,{ADMIN},importe1,tos_importe1_00000000000000000000000000000000,scan:read,,,,\n"
        ),
        format!("scope,default,default,{ADMIN},importe1,{},scan:raed,,,,\n", sha256("x")),
        format!("nobody,default,default,nobody@example.com,importe1,{},scan:read,,,,\n", sha256("x")),
        format!("net,default,default,{ADMIN},importe1,{},scan:read,,,10.0.0.0/99,\n", sha256("x")),
        format!("date,default,default,{ADMIN},importe1,{},scan:read,yesterday,,,\n", sha256("x")),
        "too,few\n".to_owned(),
    ];
    for row in rows {
        let refused = import(&site, "keys.csv", &format!("{COLUMNS}\n{row}"));
        assert!(matches!(refused.code, 1 | 2), "{row}: {refused:?}");
        let told: serde_json::Value = serde_json::from_str(&refused.stdout).expect("a summary");
        assert_eq!((told["imported"].as_u64(), told["failed"].as_u64()), (Some(0), Some(1)), "{row}: {told}");
        assert_eq!(told["errors"][0]["line"], 2, "{row}: {told}");
        assert_eq!(site.cli(&["keys", "list"]).json()["items"], serde_json::json!([]), "{row}");
    }
    let mixed = import(&site, "keys.csv", &format!("{COLUMNS}\n{good}too,few\n{good}"));
    let told: serde_json::Value = serde_json::from_str(&mixed.stdout).expect("a summary");
    assert_eq!(
        (told["imported"].as_u64(), told["failed"].as_u64(), mixed.code),
        (Some(1), Some(2), 1),
        "{told}"
    );
    for (name, text) in [
        ("keys.txt", good.as_str()),
        ("keys.csv", "name;org\n"),
        ("keys.jsonl", "{\"name\": \"x\", \"unknown\": 1}"),
        ("keys.jsonl", "[]"),
    ] {
        assert!(matches!(import(&site, name, text).code, 1 | 2), "{name}");
    }
}

/// Cold start: 10,000 stored keys are each proven without bcrypt; with the secret file lost, bcrypt proves them and the
/// store heals.
#[test]
fn ten_thousand_cold_keys_need_no_bcrypt() {
    const COUNT: usize = 10_000;
    let upstream = Upstream::start(|_| crate::support::rawup::Answer::ok(""));
    let site = Site::new(Setup::trustedoss(&upstream));
    // Imported by SHA-256, a key gets its MAC with its first proof; bcrypt rows are made by the program itself.
    let keys: Vec<String> = (0..COUNT).map(|number| format!("tos_k{number:07}_{number:032}")).collect();
    let mut text = format!("{COLUMNS}\n");
    let hash = |key: &str| bcrypt::non_truncating_hash(key, 4).expect("a hash");
    let hashes: Vec<String> = thread::scope(|scope| {
        let parts: Vec<_> = keys
            .chunks(COUNT / 4)
            .map(|part| scope.spawn(move || part.iter().map(|key| hash(key)).collect::<Vec<_>>()))
            .collect();
        parts.into_iter().flat_map(|part| part.join().expect("hashes")).collect()
    });
    for (key, hash) in keys.iter().zip(hashes) {
        text.push_str(&format!("k,default,default,{ADMIN},{},{hash},scan:read,,,,\n", &key[4..12]));
    }
    import(&site, "keys.csv", &text).ok();
    // Each key once, on several connections; how often bcrypt ran for them.
    let visit = |site: Site, keys: &[String]| {
        let program = site.serve();
        let count = |program: &Program| program.metric("latchgate_bcrypt_duration_seconds_count", &[]);
        let before = count(&program);
        thread::scope(|scope| {
            for part in keys.chunks(keys.len().div_ceil(4)) {
                let program = &program;
                scope.spawn(move || {
                    let mut client = program.gateway().connect();
                    for key in part {
                        let answer = program.bearer(key).request("GET", "/api/x").on(&mut client);
                        assert_eq!(answer.status, 200, "{key}");
                    }
                });
            }
        });
        // What bcrypt proved gets its MAC beside the requests; the next start is the one that counts.
        let secret = fs::read(program.site.path("secret.key")).expect("the secret");
        let secret = RootSecret::parse(&secret).expect("a secret");
        let fingerprint: String = MacKey::derive(&secret).mac("").to_bytes()[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let healed = format!("api_keys WHERE mac LIKE '{fingerprint}%'");
        wait::until("a MAC for each key", || program.site.count(&healed) >= keys.len() as u64);
        // A hash is counted by the thread that made it, which may not have come to that when its key is answered.
        let hashed = count(&program) - before;
        (program.stop(), hashed)
    };
    let (site, first) = visit(site, &keys);
    assert!(first >= COUNT as f64, "imported keys are proven by bcrypt once: {first}");
    let (site, second) = visit(site, &keys);
    assert!(second < 0.5, "a cold start ran bcrypt {second} times for {COUNT} keys");

    fs::write(site.path("secret.key"), [7_u8; 32]).expect("another secret");
    let some = &keys[..500];
    let (site, healing) = visit(site, some);
    assert!(healing >= 500.0, "with the secret lost bcrypt proves them: {healing}");
    let (_, healed) = visit(site, some);
    assert!(healed < 0.5, "the store has healed, and yet bcrypt ran {healed} times");
}

/// H213, H214, D128: keys that begin alike, beyond what bcrypt or a careless cache would read, are different keys.
#[test]
fn keys_that_begin_alike_are_different_keys() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream).set("keys.accept_foreign", true));
    let begin = format!("legacy-{}", "x".repeat(80));
    let keys: Vec<String> = ["a", "b", "ab", "ba"].iter().map(|end| format!("{begin}{end}")).collect();
    let mut text = format!("{COLUMNS}\n");
    for (number, key) in keys.iter().enumerate() {
        let scope = if number == 0 { "scan:read" } else { "risk:read" };
        text.push_str(&format!(
            "key {number},default,default,{ADMIN},,{},{scope},,env{number},,\n",
            sha256(key)
        ));
    }
    import(&site, "keys.csv", &text).ok();
    let program = site.serve();
    for _ in 0..2 {
        for (number, key) in keys.iter().enumerate() {
            let expected = if number == 0 { "200" } else { "403 scope_insufficient" };
            assert_eq!(program.key(key).verdict("/api/x"), expected, "{number}");
        }
        for other in [format!("{begin}c"), begin.clone(), format!("{begin}aa")] {
            assert_eq!(program.key(&other).verdict("/api/x"), "401 credential_invalid");
        }
    }
}

/// M343: what somebody wrote into the file does not drive the terminal of whoever imports it.
#[test]
fn words_of_the_file_are_shown_harmless() {
    let site = Site::new(Setup::bare("offload"));
    let text = format!("name,user,hash,prefix\nk,a\u{1b}[2J@x,{},aaaaaaaa\n", sha256("k"));
    let refused = import(&site, "keys.csv", &text);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("\\u{1b}[2J"), "{refused:?}");
}
