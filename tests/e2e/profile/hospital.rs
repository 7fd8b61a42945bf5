//! A hospital: the whole product on rules of its own, and not a line of code for it.

use std::time::Duration;

use serde_json::{Value, json};

use super::HOSPITAL;
use crate::support::{
    gateway::Gateway,
    program::{ADMIN, Key, Program, Site},
    rawup::Upstream,
    request::Caller,
    setup::Setup,
    wait,
};

/// The house: charts of a ward by method, the pharmacy for who prescribes.
fn house(upstream: &Upstream) -> Site {
    let charts = r#"
        name = "charts"
        path = "/wards/{ward}/charts/{*rest}"
        upstream = "app"
        team = "{ward}"
        require = { GET = "chart:read", "*" = "chart:write" }
    "#;
    let lab = r#"
        name = "lab"
        path = "/lab/{*rest}"
        upstream = "app"
        require = { GET = "lab:read", POST = "lab:order" }
    "#;
    let setup = Setup::bare(HOSPITAL).upstream("app", &upstream.url()).route(charts).route(lab);
    Site::new(setup)
}

fn with(caller: &Caller, method: &str, path: &str) -> String {
    caller.request(method, path).send().verdict()
}

fn post(caller: &Caller, path: &str, body: &Value) -> crate::support::rawc::Response {
    caller.request("POST", path).header("Content-Type", "application/json").body(body.to_string()).send()
}

/// `init` asks for the highest role and, having wards, makes one; keys have the shape that the file gives them, to the
/// last character of the checksum, live as long as it says and are carried as it says.
#[test]
fn a_file_makes_a_platform() {
    let upstream = Upstream::echo();
    let site = house(&upstream);
    let boss = site.cli(&["users", "show", ADMIN]).json();
    assert_eq!(boss["memberships"][0]["role"], json!("director"));
    let ward = site.team();
    let key = site.key(&["--scope", "team", "--team-id", &ward, "--preset", "monitor"]);
    let body = key.text.strip_prefix("ward_").expect("the literal");
    let (public, secret) = body.split_once('_').expect("two parts");
    let hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    assert!(public.len() == 10 && hex(public) && secret.len() == 46 && hex(&secret[..40]), "{}", key.text);
    assert_eq!(&secret[40..], checksum(&key.text[..key.text.len() - 6]));
    assert_eq!(key.object["scopes"], json!(["chart:read", "chart:write"]));
    let days = ["keys", "create", "--user", ADMIN, "--name", "k", "--preset", "monitor", "--scope", "org"];
    let refused = site.cli(&[days.as_slice(), &["--expires-in-days", "31"]].concat());
    assert!(refused.code == 2 && refused.stderr.contains("1 to 30 days"), "{refused:?}");
    let networks = ["--allowed-ips", "10.0.0.1,10.0.0.2,10.0.0.3"];
    let refused = site.cli(&[days.as_slice(), &networks].concat());
    assert!(refused.code == 2 && refused.stderr.contains("at most 2"), "{refused:?}");

    let program = site.serve();
    let chart = format!("/wards/{ward}/charts/7");
    let monitor = program.bearer(&key.text);
    assert_eq!(monitor.verdict(&chart), "200");
    assert_eq!(upstream.last().header("x-team-id"), Some(ward.as_str()));
    assert_eq!(upstream.last().header("x-scopes"), Some("chart:read chart:write"));
    assert_eq!(with(&monitor, "PUT", &chart), "200");
    assert_eq!(monitor.verdict("/lab/1"), "403 scope_insufficient");
    assert_eq!(program.key(&key.text).verdict(&chart), "401 credential_missing", "in another header");
    let mut typo = key.text.clone().into_bytes();
    typo[7] = if typo[7] == b'0' { b'1' } else { b'0' };
    let typo = String::from_utf8(typo).expect("text");
    assert_eq!(program.bearer(&typo).verdict(&chart), "401 credential_malformed", "by its checksum");
    let whoami = monitor.get("/.latchgate/whoami").json();
    assert_eq!((&whoami["credential"], &whoami["scope"]), (&json!(public), &json!("team")));
}

fn checksum(text: &str) -> String {
    const DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut sum = crc32fast::hash(text.as_bytes());
    let mut digits = [b'0'; 6];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[usize::try_from(sum % 62).expect("small")];
        sum /= 62;
    }
    String::from_utf8(digits.to_vec()).expect("digits")
}

/// Who issues what where is the file's to say; a ward's key stays in its ward.
#[test]
fn roles_issue_what_the_file_says() {
    let upstream = Upstream::echo();
    let site = house(&upstream);
    let ward = site.team();
    let other = site.cli(&["teams", "create", "--name", "Surgery"]).json();
    let other = other["id"].as_str().expect("an id").to_owned();
    for (email, role) in [("ned@h.example", "nurse"), ("phil@h.example", "physician")] {
        site.user(email, role, Some(&ward));
    }
    let create = |user: &str, scope: &[&str], scopes: &str| {
        let base = ["keys", "create", "--user", user, "--name", "k", "--scopes", scopes];
        site.cli(&[base.as_slice(), scope].concat())
    };
    let (in_ward, in_house) = (["--scope", "team", "--team-id", &ward], ["--scope", "org"]);
    for (user, scope, scopes, said) in [
        ("ned@h.example", in_ward.as_slice(), "chart:read", "may not issue keys with scope team"),
        ("phil@h.example", in_house.as_slice(), "chart:read", "may not issue keys with scope org"),
        ("phil@h.example", in_ward.as_slice(), "drug:prescribe", "keys cannot hold drug:prescribe"),
        ("phil@h.example", in_ward.as_slice(), "audit:read", "keys cannot hold audit:read"),
    ] {
        let refused = create(user, scope, scopes);
        assert!(refused.code != 0 && refused.stderr.contains(said), "{user} {scopes}: {refused:?}");
    }
    let lab = Key::from(create("phil@h.example", &in_ward, "lab:order,chart:read,lab:read").json());
    let house_key = Key::from(create(ADMIN, &in_house, "chart:read").json());
    let device = site.key(&["--scope", "org", "--roles", "device"]);
    site.cli(&["roles", "create", "--name", "Lab Robot", "--permissions", "lab:order"]).json();
    let robot = site.key(&["--scope", "org", "--roles", "Lab Robot"]);
    let program = site.serve();
    let chart = |ward: &str| format!("/wards/{ward}/charts/7");
    let at = |key: &Key| program.bearer(&key.text);
    assert_eq!(at(&lab).verdict(&chart(&ward)), "200");
    assert_eq!(at(&lab).verdict(&chart(&other)), "403 boundary_mismatch");
    assert_eq!(at(&lab).post("/lab/1", "blood").status, 200);
    assert_eq!(at(&house_key).verdict(&chart(&other)), "200");
    assert_eq!(with(&at(&device), "PUT", &chart(&other)), "200");
    assert_eq!(at(&device).verdict("/lab/1"), "403 scope_insufficient");
    assert_eq!(at(&robot).post("/lab/1", "blood").status, 200);
    assert_eq!(at(&robot).verdict(&chart(&ward)), "403 scope_insufficient");
}

/// `authority = "key"` and `owner = "org"`: what a key was given it keeps, whatever becomes of who issued it; and it
/// rotates within the hour of this house.
#[test]
fn keys_belong_to_the_house() {
    let upstream = Upstream::echo();
    let site = house(&upstream);
    let ward = site.team();
    site.user("phil@h.example", "physician", Some(&ward));
    let bound = ["--scope", "team", "--team-id", &ward, "--preset", "monitor"];
    let key = site.key_of("phil@h.example", &bound);
    let gateway = Gateway::start(site);
    let chart = format!("/wards/{ward}/charts/7");
    let caller = gateway.door().bearer(&key.text);
    assert_eq!(with(&caller, "PUT", &chart), "200");
    gateway.site.cli(&["users", "set-role", "phil@h.example", "--role", "porter", "--team-id", &ward]).ok();
    gateway.site.cli(&["users", "delete", "phil@h.example", "--yes"]).ok();
    gateway.clock.advance(Duration::from_secs(2));
    assert_eq!(with(&caller, "PUT", &chart), "200", "it survives who made it, with all that it had");
    let successor = gateway.rotate(&key);
    gateway.clock.advance(Duration::from_secs(3599));
    assert_eq!(with(&caller, "PUT", &chart), "200");
    gateway.clock.advance(Duration::from_secs(1));
    assert_eq!(with(&caller, "PUT", &chart), "401 credential_expired");
    assert_eq!(with(&gateway.door().bearer(&successor), "PUT", &chart), "200");
    gateway.clock.advance(Duration::from_secs(7 * 86_400));
    assert_eq!(with(&gateway.door().bearer(&successor), "PUT", &chart), "401 credential_expired", "a week");
}

/// `authority = "issuer"` and `owner = "user"`: two other words in the file, and the same key follows its issuer.
#[test]
fn two_words_make_keys_follow_their_issuer() {
    let upstream = Upstream::echo();
    let site = house(&upstream);
    let text = std::fs::read_to_string(HOSPITAL).expect("the profile");
    let text = text.replace("authority = \"key\"", "authority = \"issuer\"");
    std::fs::write(site.path("own.toml"), text.replace("owner = \"org\"", "owner = \"user\""))
        .expect("write");
    site.configure(&site.setup.clone().set("profile", "own.toml"));
    let ward = site.team();
    site.user("phil@h.example", "physician", Some(&ward));
    let bound = ["--scope", "team", "--team-id", &ward, "--preset", "monitor"];
    let key = site.key_of("phil@h.example", &bound);
    let program = site.serve();
    let (caller, chart) = (program.bearer(&key.text), format!("/wards/{ward}/charts/7"));
    let within_a_second = |reads: &str, writes: &str| {
        let reached = || {
            let verdicts = (caller.verdict(&chart), with(&caller, "PUT", &chart));
            (verdicts == (reads.to_owned(), writes.to_owned())).then_some(())
        };
        wait::within(Duration::from_secs(1), "the key follows", reached);
    };
    within_a_second("200", "200");
    let role = ["users", "set-role", "phil@h.example", "--team-id", &ward, "--role", "porter"];
    program.cli(&role).ok();
    within_a_second("200", "403 scope_insufficient");
    program.cli(&["users", "delete", "phil@h.example", "--yes"]).ok();
    within_a_second("401 credential_revoked", "401 credential_revoked");
}

/// The API and its lists are this platform's.
#[test]
fn the_api_speaks_the_platforms_words() {
    let upstream = Upstream::echo();
    let site = house(&upstream);
    let ward = site.team();
    let scopes = "api_key:create,api_key:read,api_key:rotate,api_key:revoke,chart:write,chart:read";
    let manager = site.key(&["--scope", "team", "--team-id", &ward, "--scopes", scopes]);
    let program: Program = site.serve();
    let caller = program.admin().bearer(&manager.text);
    let names = |path: &str| -> Vec<String> {
        let answer = caller.get(path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        let items = answer.json()["items"].as_array().expect("items").clone();
        items.iter().map(|item| item["name"].as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!(names("/v1/presets"), ["monitor", "everything"]);
    assert!(names("/v1/permissions").contains(&"drug:prescribe".to_owned()));
    assert_eq!(names("/v1/roles"), ["porter", "device", "nurse", "physician", "director"]);
    let made = post(&caller, "/v1/api-keys", &json!({ "name": "bed 7", "preset": "monitor" }));
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    let full = made["key"].as_str().expect("a key");
    assert!(
        full.starts_with("ward_") && made["scope"] == json!("team") && made["created_by"] == json!(ADMIN)
    );
    assert_eq!(program.bearer(full).verdict(&format!("/wards/{ward}/charts/7")), "200");
    let beyond = json!({ "name": "bed 8", "scopes": ["lab:order"] });
    assert_eq!(post(&caller, "/v1/api-keys", &beyond).verdict(), "403 forbidden");
    let unknown = json!({ "name": "bed 8", "scopes": ["scan:read"] });
    let refused = post(&caller, "/v1/api-keys", &unknown);
    assert_eq!(refused.verdict(), "422 invalid_field");
    assert!(refused.text().contains("chart:write"), "it says what there is: {}", refused.text());
    let itself = post(&caller, "/v1/api-keys/self/rotate", &json!({}));
    assert_eq!(itself.status, 201, "{itself:?}");
    let old = caller.get("/v1/org");
    assert_eq!(old.status, 200);
    assert!(old.header("sunset").is_some(), "{old:?}");
    let generate = post(&caller, "/public_api/v1/api_keys/generate", &json!({}));
    assert_eq!(generate.verdict(), "404 not_found");
}
