//! The second factor: what it asks for, and every way around it that is none.

mod around;
mod guess;

use std::time::Duration;

use latchgate::control::service::{AuditFilter, Caller as By, Page};
use serde_json::{Value, json};

use crate::support::{
    authenticator::{App, enrolled, send},
    gateway::Gateway,
    program::{ADMIN, PASSWORD, Site},
    rawc::Response,
    rawup::Upstream,
    request::{Caller, Door},
    setup::Setup,
};

const ANA: &str = "ana@example.com";
const FACTOR: &str = "/v1/session/second-factor";
const STEP: Duration = Duration::from_secs(30);

/// A gateway on a clock that the test turns, with Ana on it.
fn gateway(change: impl FnOnce(Setup) -> Setup) -> Gateway {
    let site = Site::new(change(Setup::offload(&Upstream::echo())));
    site.user(ANA, "viewer", None);
    Gateway::start(site)
}

fn ana(gateway: &Gateway) -> Caller {
    gateway.session(ANA).at(gateway.admin())
}

/// Signs in with a code.
fn sign_in(door: Door, email: &str, code: &str) -> Response {
    let body = json!({ "email": email, "password": PASSWORD, "code": code });
    send(&door.anonymous(), "/v1/session", &body)
}

fn events(gateway: &Gateway) -> Vec<String> {
    let page = Page { limit: Some(200), cursor: None };
    let trail = gateway.control(async |control| {
        control.list_audit(&By::Operator, &AuditFilter::default(), &page).await.expect("the trail")
    });
    trail.items.into_iter().rev().map(|event| event.event).collect()
}

/// From the first look to the last recovery code; nothing that was shown once is ever shown again, or lies anywhere.
#[test]
#[expect(clippy::too_many_lines, reason = "one story, step by step")]
fn a_second_factor_from_its_beginning_to_its_end() {
    let gateway = gateway(|setup| setup.set("listen.public_url", "https://gate.example.com:8443"));
    let (door, clock) = (gateway.admin(), &gateway.clock);
    let (here, there) = (ana(&gateway), ana(&gateway));
    let off = json!({ "enabled": false, "enabled_at": null, "recovery_codes_left": 0 });
    assert_eq!(here.get(FACTOR).json(), off);

    // Begun with the password alone, and without a code not in force.
    let wrong = send(&here, FACTOR, &json!({ "password": "not the right password" }));
    assert_eq!(wrong.verdict(), "401 credential_invalid");
    let abandoned = send(&here, FACTOR, &json!({ "password": PASSWORD })).json();
    let begun = send(&here, FACTOR, &json!({ "password": PASSWORD }));
    assert_eq!((begun.status, begun.header("cache-control")), (200, Some("no-store")));
    let begun = begun.json();
    assert_ne!(begun["secret"], abandoned["secret"], "each time another one");
    let uri = begun["uri"].as_str().expect("an address");
    assert!(uri.starts_with("otpauth://totp/gate.example.com:ana%40example.com?secret="), "{uri}");
    let app = App::scan(uri);
    assert!(uri.contains(begun["secret"].as_str().expect("a secret")));
    assert_eq!((door.sign_in(ANA, PASSWORD).status, here.get(FACTOR).json()), (200, off.clone()));

    // Confirmed by its own code alone.
    let confirm = |code: &str| send(&here, &format!("{FACTOR}/confirm"), &json!({ "code": code }));
    let stale = App::scan(abandoned["uri"].as_str().expect("an address"));
    for wrong in [&stale.code(clock.now()), &app.wrong_code(clock.now()), "", "x"] {
        assert_eq!(confirm(wrong).verdict(), "401 credential_invalid", "{wrong}");
    }
    let confirmed = confirm(&app.code(clock.now()));
    assert_eq!(confirmed.status, 200, "{confirmed:?}");
    let codes: Vec<String> =
        serde_json::from_value(confirmed.json()["recovery_codes"].clone()).expect("codes");
    assert_eq!(codes.len(), 10);
    assert_eq!(confirm(&app.code_after(clock.now(), 1)).verdict(), "409 conflict", "once");
    assert_eq!(send(&here, FACTOR, &json!({ "password": PASSWORD })).verdict(), "409 conflict");
    let on = here.get(FACTOR).json();
    assert_eq!((&on["enabled"], &on["recovery_codes_left"]), (&json!(true), &json!(10)));
    // ASVS 7.4.3: sessions that never showed it are over.
    assert_eq!(there.verdict("/v1/session"), "401 session_expired");
    assert_eq!(here.verdict("/v1/session"), "200");

    // What it is for.
    let refused = door.sign_in(ANA, PASSWORD);
    assert_eq!(refused.verdict(), "401 second_factor_required");
    assert!(refused.header("set-cookie").is_none() && !refused.text().contains("lgs_"), "{refused:?}");
    assert_eq!(sign_in(door, ANA, " ").verdict(), "401 second_factor_required");
    assert_eq!(
        sign_in(door, ANA, &app.code(clock.now())).verdict(),
        "401 credential_invalid",
        "confirmed with"
    );
    clock.advance(STEP);
    let code = app.code(clock.now());
    assert_eq!(sign_in(door, ANA, &format!("{} {}", &code[..3], &code[3..])).status, 200);
    assert_eq!(sign_in(door, ANA, &code).verdict(), "401 credential_invalid", "each code once");
    assert_eq!(sign_in(door, ANA, &codes[0].to_uppercase()).status, 200);
    assert_eq!(sign_in(door, ANA, &codes[0]).verdict(), "401 credential_invalid", "each code once");
    assert_eq!(here.get(FACTOR).json()["recovery_codes_left"], 9);

    // Other codes in their place, and off again: with both, or not at all.
    let both = |what: &str, password: &str, code: &str| {
        send(&here, &format!("{FACTOR}/{what}"), &json!({ "password": password, "code": code }))
    };
    for what in ["recovery-codes", "remove"] {
        clock.advance(STEP);
        let code = app.code(clock.now());
        assert_eq!(both(what, "not the right password", &code).verdict(), "401 credential_invalid");
        assert_eq!(both(what, PASSWORD, "000000x").verdict(), "401 credential_invalid");
        assert_eq!(both(what, PASSWORD, "").verdict(), "401 second_factor_required");
        let alone = send(&here, &format!("{FACTOR}/{what}"), &json!({ "password": PASSWORD }));
        assert_eq!(alone.verdict(), "422 invalid_field");
    }
    let renewed = both("recovery-codes", PASSWORD, &codes[1]);
    assert_eq!(renewed.status, 200, "{renewed:?}");
    let renewed: Vec<String> =
        serde_json::from_value(renewed.json()["recovery_codes"].clone()).expect("codes");
    assert_eq!(sign_in(door, ANA, &codes[2]).verdict(), "401 credential_invalid", "replaced");
    assert_eq!(sign_in(door, ANA, &renewed[0]).status, 200);
    let elsewhere = door.bearer(sign_in(door, ANA, &renewed[1]).json()["token"].as_str().expect("a token"));

    let shown = [
        here.get(FACTOR).text(),
        here.get("/v1/session").text(),
        gateway.session(ADMIN).at(door).get("/v1/audit?limit=200").text(),
        gateway.session(ADMIN).at(door).get("/v1/users").text(),
    ];
    let store = gateway.site.store_bytes();
    let secret = begun["secret"].as_str().expect("a secret");
    let raw = totp_rs::Secret::try_from_base32(secret).expect("a secret");
    let mut all: Vec<String> = [&codes, &renewed].into_iter().flatten().cloned().collect();
    all.extend(all.clone().iter().map(|code| code.replace('-', "")));
    all.push(secret.to_owned());
    all.push(raw.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect());
    for text in &all {
        assert!(shown.iter().all(|answer| !answer.contains(text.as_str())), "{text} in {shown:?}");
        assert!(!store.windows(text.len()).any(|part| part == text.as_bytes()), "{text} lies in the store");
    }
    assert!(!store.windows(20).any(|part| part == raw.as_bytes()), "the secret lies in the store");

    let removed = both("remove", PASSWORD, &renewed[2]);
    assert_eq!(removed.status, 204, "{removed:?}");
    assert_eq!(elsewhere.verdict("/v1/session"), "401 session_expired");
    assert_eq!((here.get(FACTOR).json(), door.sign_in(ANA, PASSWORD).status), (off, 200));
    assert_eq!(both("remove", PASSWORD, &renewed[3]).verdict(), "404 not_found");
    assert_eq!(gateway.site.count("recovery_codes"), 0);
    let events = events(&gateway);
    let of_factor: Vec<&str> =
        events.iter().filter_map(|event| event.strip_prefix("second_factor.")).collect();
    let expected = [
        "enabled",
        "recovery_used",
        "recovery_used",
        "recovery_renewed",
        "recovery_used",
        "recovery_used",
        "recovery_used",
        "disabled",
    ];
    assert_eq!(of_factor, expected);
}

/// Apps whose clocks are a step off are understood; a step that was passed is not gone back to.
#[test]
fn clocks_may_differ_by_a_step() {
    let gateway = gateway(|setup| setup);
    let clock = &gateway.clock;
    let (app, _) = enrolled(&ana(&gateway), clock.now());
    let verdict = |steps: i64| sign_in(gateway.admin(), ANA, &app.code_after(clock.now(), steps)).verdict();
    clock.advance(STEP * 10);
    for (steps, expected) in [
        (2, "401 credential_invalid"),
        (-2, "401 credential_invalid"),
        (-1, "200"),
        (-1, "401 credential_invalid"),
        (1, "200"),
        (0, "401 credential_invalid"),
    ] {
        assert_eq!(verdict(steps), expected, "{steps}");
    }
    clock.advance(STEP);
    assert_eq!(verdict(0), "401 credential_invalid", "it was used when it was a step ahead");
    assert_eq!(verdict(1), "200");
}

/// What was begun is over after a quarter of an hour.
#[test]
fn what_is_not_confirmed_is_forgotten() {
    let gateway = gateway(|setup| setup);
    let ana = ana(&gateway);
    let confirm = |code: &str| send(&ana, &format!("{FACTOR}/confirm"), &json!({ "code": code })).verdict();
    assert_eq!(confirm("123456"), "409 conflict");
    let begun = send(&ana, FACTOR, &json!({ "password": PASSWORD })).json();
    let app = App::scan(begun["uri"].as_str().expect("an address"));
    let until = gateway.clock.now().after(STEP * 30).to_string();
    assert_eq!(begun["confirm_before"], Value::String(until));
    gateway.clock.advance(STEP * 30);
    assert_eq!(confirm(&app.code(gateway.clock.now())), "409 conflict");
    assert_eq!(gateway.admin().sign_in(ANA, PASSWORD).status, 200);
}

/// What is shown once is not kept for whoever asks twice by one name.
#[test]
fn a_secret_is_never_given_twice() {
    let gateway = gateway(|setup| setup);
    let ana = ana(&gateway);
    let begin = || {
        let request = ana.request("POST", FACTOR).header("Content-Type", "application/json");
        let request =
            request.header("Idempotency-Key", "once").body(json!({ "password": PASSWORD }).to_string());
        let answer = request.send();
        assert_eq!((answer.status, answer.header("idempotency-replayed")), (200, None));
        answer.json()["secret"].clone()
    };
    assert_ne!(begin(), begin());
    assert_eq!(gateway.site.count("idempotency"), 0);
}

/// Whoever goes leaves nothing of it behind.
#[test]
fn with_the_person_goes_their_second_factor() {
    let gateway = gateway(|setup| setup);
    enrolled(&ana(&gateway), gateway.clock.now());
    assert_eq!((gateway.site.count("second_factors"), gateway.site.count("recovery_codes")), (1, 10));
    gateway.site.cli(&["users", "delete", ANA, "--yes"]).ok();
    assert_eq!((gateway.site.count("second_factors"), gateway.site.count("recovery_codes")), (0, 0));
}
