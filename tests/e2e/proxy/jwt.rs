//! Bearer tokens of identity providers, through the running gateway.

use std::time::Duration;

use aws_lc_rs::hmac;
use latchgate::domain::time::Clock;
use serde_json::{Value, json};

use crate::support::{
    gateway::Gateway,
    issuer::{ISSUER, Issuer, Signer, claims, encode},
    program::{Program, Site},
    rawc::Response,
    rawup::Upstream,
    setup::Setup,
    wait,
    wrong::Wrong,
};

const ANA: &str = "ana@example.com";

struct House {
    upstream: Upstream,
    issuer: Issuer,
    signer: Signer,
    program: Program,
}

impl House {
    /// Ana is a security analyst of the default team.
    fn new() -> Self {
        Self::of(Issuer::known_to)
    }

    fn of(configure: impl FnOnce(&Issuer, Setup) -> Setup) -> Self {
        let (upstream, signer) = (Upstream::echo(), Signer::p256("k"));
        let issuer = Issuer::with(&[&signer]);
        let site = site(configure(&issuer, setup(&upstream)));
        Self { program: site.serve(), upstream, issuer, signer }
    }

    fn token(&self) -> String {
        self.signer.token(&claims(ANA, now()))
    }

    fn with(&self, token: &str) -> Response {
        self.program.bearer(token).get("/jwt/x")
    }

    fn verdict(&self, token: &str) -> String {
        self.with(token).verdict()
    }
}

fn now() -> i64 {
    Clock::system().now().seconds()
}

/// The usual routes, and `/jwt`, which takes tokens and keys and needs `scan:read`.
fn setup(upstream: &Upstream) -> Setup {
    Setup::offload(upstream).route(
        "name = \"jwt\"\npath = \"/jwt/{*rest}\"\nupstream = \"app\"\nrequire = \"scan:read\"\ncredentials = [\"jwt\", \"api_key\"]",
    )
}

fn site(setup: Setup) -> Site {
    let site = Site::new(setup);
    site.user(ANA, "security_analyst", Some(&site.team()));
    site
}

/// `R000_16`: a token speaks for the person with its e-mail address, with the role and the rights of this moment.
#[test]
fn a_token_speaks_for_a_person() {
    let house = House::new();
    let token = house.token();
    assert_eq!(house.verdict(&token), "200");
    let seen = house.upstream.last();
    assert_eq!(seen.header("x-auth-method"), Some("jwt"));
    assert_eq!(seen.header("x-credential-id"), Some("t-1"));
    assert_eq!(seen.header("x-role"), Some("security_analyst"));
    assert_eq!(seen.header("x-team-id"), Some(house.program.site.team().as_str()));
    assert!(seen.header("x-user-id").is_some());
    assert!(seen.header("x-scopes").is_some_and(|scopes| scopes.contains("scan:trigger")), "{seen:?}");
    assert!(!house.upstream.record().contains(&token), "the token was forwarded");
    let me = house.program.bearer(&token).get("/.latchgate/whoami").json();
    assert_eq!(
        (&me["method"], &me["credential"], &me["role"]),
        (&json!("jwt"), &json!("t-1"), &json!("security_analyst"))
    );
    assert!(me["expires_at"].is_string(), "{me}");
    for other in ["TOKEN-with a space", "", &"x".repeat(65), "a\u{e9}"] {
        let mut claims = claims(ANA, now());
        claims["jti"] = json!(other);
        assert_eq!(house.verdict(&house.signer.token(&claims)), "200");
        let named = house.upstream.last().header("x-credential-id").unwrap_or_default().to_owned();
        assert!(named.len() == 16 && named.chars().all(|c| c.is_ascii_hexdigit()), "{other:?}: {named}");
    }
    let line = house.program.requests_logged("/jwt/x", 1).remove(0);
    assert_eq!(
        (&line["auth_method"], &line["credential"], &line["outcome"]),
        (&json!("jwt"), &json!("t-1"), &json!("ok"))
    );
    assert!(!house.program.everything_written().contains(&token[..40]), "a token was logged");
    assert!(house.program.metric("latchgate_auth_total", &[("method", "jwt"), ("outcome", "ok")]) >= 1.0);
}

/// A route takes what it names; the admin API takes tokens, and so does the gateway's own answer about the caller.
#[test]
fn a_token_passes_where_tokens_are_taken() {
    let house = House::new();
    let caller = house.program.bearer(&house.token());
    assert_eq!(caller.verdict("/api/x"), "401 credential_missing");
    assert_eq!(house.upstream.count(), 0);
    let admin = caller.at(house.program.admin());
    let made = admin
        .request("POST", "/v1/api-keys")
        .header("Content-Type", "application/json")
        .body(r#"{"name": "from a token", "scopes": ["scan:read"]}"#)
        .send();
    assert_eq!(made.status, 201, "{}", made.text());
    let key = made.json();
    assert_eq!(key["created_by"], ANA);
    assert_eq!(house.program.key(key["key"].as_str().expect("a key")).verdict("/jwt/x"), "200");
    let forbidden = admin
        .request("POST", "/v1/api-keys")
        .header("Content-Type", "application/json")
        .body(r#"{"name": "too much", "scopes": ["team:manage"]}"#)
        .send();
    assert!(matches!(forbidden.status, 403 | 422), "{}", forbidden.text());
    let forged =
        house.program.bearer(&Signer::p256("k").token(&claims(ANA, now()))).at(house.program.admin());
    assert_eq!(forged.verdict("/v1/api-keys"), "401 credential_invalid");
    let nobody = house.signer.token(&claims("nobody@example.com", now()));
    assert_eq!(
        house.program.bearer(&nobody).at(house.program.admin()).verdict("/v1/api-keys"),
        "403 forbidden"
    );
}

/// D138, and the others of its kind: each is a 401, told apart by nothing, and nothing is forwarded.
#[test]
fn no_forged_token_passes() {
    let house = House::new();
    let good = claims(ANA, now());
    let changed = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        house.signer.token(&claims)
    };
    let unsigned = |header: Value| format!("{}.{}.", encode(header.to_string()), encode(good.to_string()));
    let genuine = house.token();
    let (message, signature) = genuine.rsplit_once('.').expect("three parts");
    let by_secret = format!("{}.{}", encode(r#"{"alg":"HS256","kid":"k"}"#), encode(good.to_string()));
    let secret = hmac::Key::new(hmac::HMAC_SHA256, &house.signer.public_bytes());
    let by_secret = format!("{by_secret}.{}", encode(hmac::sign(&secret, by_secret.as_bytes())));
    let other_key = Signer::p256("k");
    let mut wrong = Wrong::default();
    let mut texts = Vec::new();
    for (what, token) in [
        ("another key", other_key.token(&good)),
        ("alg none", unsigned(json!({"alg": "none", "kid": "k"}))),
        ("alg None", unsigned(json!({"alg": "None"}))),
        ("HS256 with the public key", by_secret),
        ("kid outside", house.signer.token_with(&json!({"alg": "ES256", "kid": "../../x"}), &good)),
        ("kid missing", house.signer.token_with(&json!({"alg": "ES256"}), &good)),
        (
            "own key",
            other_key.token_with(&json!({"alg": "ES256", "kid": "k", "jwk": other_key.published()}), &good),
        ),
        (
            "key elsewhere",
            other_key
                .token_with(&json!({"alg": "ES256", "kid": "k", "jku": house.issuer.server.url()}), &good),
        ),
        ("crit", house.signer.token_with(&json!({"alg": "ES256", "kid": "k", "crit": ["x"]}), &good)),
        (
            "logout token",
            house.signer.token_with(&json!({"alg": "ES256", "kid": "k", "typ": "logout+jwt"}), &good),
        ),
        ("audience", changed("aud", json!("other"))),
        ("exp as text", changed("exp", json!("never"))),
        ("exp too far", changed("exp", json!(1e30))),
        ("nbf", changed("nbf", json!(now() + 3600))),
        ("unverified", changed("email_verified", json!(false))),
        ("no address", changed("email", json!(["ana@example.com"]))),
        ("cut", message.to_owned() + "."),
        ("another signature", format!("{message}.{}", encode([7; 64]))),
        ("padded", format!("{message}.{signature}=")),
    ] {
        let answer = house.with(&token);
        wrong
            .unless(answer.verdict() == "401 credential_invalid", || format!("{what}: {}", answer.verdict()));
        wrong.unless(answer.header("www-authenticate").is_some(), || format!("{what}: no challenge"));
        texts.push(answer.json()["detail"].clone());
    }
    texts.dedup();
    wrong.unless(texts.len() == 1, || format!("told apart: {texts:?}"));
    for (what, token) in [
        ("another issuer", changed("iss", json!("https://evil.example/"))),
        ("four parts", format!("{genuine}.{signature}")),
        ("nine thousand characters", changed("groups", json!("x".repeat(9_000)))),
        (
            "two issuers",
            house.signer.signed(
                &encode(r#"{"alg":"ES256","kid":"k"}"#),
                &encode(good.to_string().replacen('{', &format!("{{\"iss\":\"{ISSUER}\","), 1)),
                None,
            ),
        ),
    ] {
        let verdict = house.verdict(&token);
        wrong.unless(verdict == "401 credential_malformed", || format!("{what}: {verdict}"));
    }
    assert_eq!(house.upstream.count(), 0, "something was forwarded");
    assert_eq!(house.verdict(&genuine), "200");
    wrong.none("a forged token");
}

/// A token of an issuer that is not ours beside `X-API-Key` is the upstream's; one of ours is a second credential.
#[test]
fn a_foreign_token_beside_a_key_is_the_upstreams() {
    let house = House::new();
    let key = house.program.site.key(&["--scopes", "scan:read"]);
    let mut foreign = claims(ANA, now());
    foreign["iss"] = json!("https://other.example/");
    let foreign = house.signer.token(&foreign);
    let beside = |token: &str| {
        let request = house.program.key(&key.text).request("GET", "/jwt/x");
        request.header("Authorization", &format!("Bearer {token}")).send()
    };
    assert_eq!(beside(&foreign).verdict(), "200");
    assert_eq!(house.upstream.last().header("authorization"), Some(format!("Bearer {foreign}").as_str()));
    assert_eq!(house.upstream.last().header("x-auth-method"), Some("api_key"));
    assert_eq!(beside(&house.token()).verdict(), "400 credential_conflict");
    // On a public route the upstream has no use for what is ours, and keeps what is not.
    for (token, kept) in [(foreign, true), (house.token(), false)] {
        assert_eq!(house.program.bearer(&token).verdict("/public/x"), "200");
        assert_eq!(house.upstream.last().header("authorization").is_some(), kept);
    }
}

/// Whoever has no account, or none that is active, hears so: another token would not help.
#[test]
fn a_token_makes_no_account() {
    let house = House::new();
    let stranger = house.with(&house.signer.token(&claims("stranger@example.com", now())));
    assert_eq!(stranger.verdict(), "403 forbidden");
    assert!(stranger.json()["detail"].as_str().is_some_and(|text| text.contains("no active account")));
    assert_eq!(house.verdict(&house.token()), "200");
    // Another spelling of the address is the same person's.
    assert_eq!(house.verdict(&house.signer.token(&claims("ANA@Example.com", now()))), "200");
    house.program.cli(&["users", "deactivate", ANA]).ok();
    wait::until("the deactivation", || house.verdict(&house.token()) == "403 forbidden");
    let logged = house.program.log();
    assert!(logged.iter().any(|line| line["msg"] == "api_key.auth_failed" && line["reason"] == "forbidden"));
}

/// What the person may do follows them: the same token, the next request.
#[test]
fn a_token_follows_its_person() {
    let house = House::new();
    let (token, team) = (house.token(), house.program.site.team());
    let caller = house.program.bearer(&token);
    assert_eq!(caller.verdict("/jwt/x"), "200");
    house.program.cli(&["users", "set-role", ANA, "--role", "viewer", "--team-id", &team]).ok();
    wait::until("the demotion", || {
        caller.get("/jwt/x");
        house.upstream.last().header("x-role") == Some("viewer")
    });
    let checks = house.issuer.asked();
    for _ in 0..20 {
        assert_eq!(caller.verdict("/jwt/x"), "200");
    }
    assert!(house.issuer.asked() <= checks + 3, "only its own refreshing reads the keys");
}

/// A token's own end is judged at every request, 60 s late for clocks that differ, and however well it is known.
#[test]
fn a_token_ends_when_it_says() {
    let (upstream, signer) = (Upstream::echo(), Signer::ed25519("k"));
    let issuer = Issuer::with(&[&signer]);
    let gateway = Gateway::start(site(issuer.known_to(setup(&upstream))));
    let begun = gateway.clock.now().seconds();
    let caller = gateway.door().bearer(&signer.token(&claims(ANA, begun)));
    assert_eq!(caller.verdict("/jwt/x"), "200");
    gateway.clock.advance(Duration::from_secs(359));
    assert_eq!(caller.verdict("/jwt/x"), "200");
    gateway.clock.advance(Duration::from_secs(1));
    assert_eq!(caller.verdict("/jwt/x"), "401 credential_expired");
    // Also a token that was never seen while it was good.
    let late = gateway.door().bearer(&signer.token(&claims("bo@example.com", begun)));
    assert_eq!(late.verdict("/jwt/x"), "401 credential_expired");
}

/// A new key is taken at its first token, a removed one no longer than the refresh; what it had proved is over, too.
#[test]
fn keys_rotate_without_a_restart() {
    let house = House::new();
    let (old, new) = (house.token(), Signer::rsa("k2"));
    assert_eq!(house.verdict(&old), "200");
    house.issuer.publish(&[&new, &house.signer]);
    let fresh = new.token(&claims(ANA, now()));
    assert_eq!(house.verdict(&fresh), "200");
    assert_eq!(house.verdict(&old), "200");
    house.issuer.publish(&[&new]);
    wait::until("the refresh", || house.verdict(&old) == "401 credential_invalid");
    assert_eq!(house.verdict(&fresh), "200");
    // The same name, another key.
    let impostor = Signer::p256("k2");
    house.issuer.publish(&[&impostor]);
    wait::until("the other key", || house.verdict(&fresh) == "401 credential_invalid");
    assert_eq!(house.verdict(&impostor.token(&claims(ANA, now()))), "200");
}

/// An issuer that is down is no reason against a token: 503 until its keys are known, and then they stay known.
#[test]
fn an_issuer_that_is_down_is_said_to_be_down() {
    let house = House::of(|issuer, setup| {
        issuer.fail();
        issuer.known_to(setup)
    });
    let answer = house.with(&house.token());
    assert_eq!(answer.verdict(), "503 issuer_unavailable");
    assert!(answer.header("retry-after").is_some());
    assert_eq!(
        house.program.key(&house.program.site.key(&["--scopes", "scan:read"]).text).verdict("/jwt/x"),
        "200"
    );
    house.issuer.publish(&[&house.signer]);
    wait::until("the issuer", || house.verdict(&house.token()) == "200");
    house.issuer.fail();
    let asked = house.issuer.asked();
    wait::until("a refresh that fails", || house.issuer.asked() > asked);
    for _ in 0..5 {
        assert_eq!(house.verdict(&house.token()), "200");
    }
    assert_eq!(house.program.ops().anonymous().verdict("/readyz"), "200");
}

/// Whoever sends tokens cannot make the gateway ask: names of keys that nobody has lead to one question a minute.
#[test]
fn strangers_do_not_make_us_ask() {
    let (upstream, signer) = (Upstream::echo(), Signer::ed25519("k"));
    let issuer = Issuer::with(&[&signer]);
    let known = setup(&upstream).issuer(ISSUER, &format!("jwks_url = \"{}/jwks\"", issuer.server.url()));
    let gateway = Gateway::start(site(known));
    let ask = |signer: &Signer| {
        let token = signer.token(&claims(ANA, gateway.clock.now().seconds()));
        gateway.door().bearer(&token).verdict("/jwt/x")
    };
    let guess = |name: &str| ask(&Signer::ed25519(name));
    // Known before anybody guesses: whoever comes while the first question is under way shares it.
    assert_eq!(ask(&signer), "200");
    assert_eq!(issuer.asked(), 1);
    gateway.clock.advance(Duration::from_secs(60));
    for number in 0..30 {
        assert_eq!(guess(&number.to_string()), "401 credential_invalid");
    }
    assert_eq!(issuer.asked(), 2);
    gateway.clock.advance(Duration::from_secs(60));
    assert_eq!(guess("one more"), "401 credential_invalid");
    assert_eq!(issuer.asked(), 3);
}

/// Two issuers may call their keys alike; each proves its own tokens alone.
#[test]
fn issuers_are_kept_apart() {
    let (upstream, one, other) = (Upstream::echo(), Signer::p256("k"), Signer::p256("k"));
    let (first, second) = (Issuer::with(&[&one]), Issuer::with(&[&other]));
    let site = site(
        first.known_to(setup(&upstream)).issuer("second", &format!("jwks_url = \"{}\"", second.server.url())),
    );
    let program = site.serve();
    let of_second = |signer: &Signer| {
        let mut claims = claims(ANA, now());
        claims["iss"] = json!("second");
        program.bearer(&signer.token(&claims)).verdict("/jwt/x")
    };
    assert_eq!(program.bearer(&one.token(&claims(ANA, now()))).verdict("/jwt/x"), "200");
    assert_eq!(of_second(&other), "200");
    assert_eq!(program.bearer(&other.token(&claims(ANA, now()))).verdict("/jwt/x"), "401 credential_invalid");
    assert_eq!(of_second(&one), "401 credential_invalid");
}

/// Keys in a file are read again when it changes; another claim may hold the address.
#[test]
fn keys_come_from_a_file_too() {
    let (upstream, old, new) = (Upstream::echo(), Signer::p384("a"), Signer::ed25519("b"));
    let lines = "jwks_file = \"keys.json\"\nrefresh = \"1s\"\nclaims = { email = \"upn\" }";
    let site = site(setup(&upstream).issuer(ISSUER, lines));
    let publish = |site: &Site, signer: &Signer| {
        std::fs::write(site.path("keys.json"), crate::support::issuer::key_set(&[signer]).to_string())
            .expect("keys");
    };
    publish(&site, &old);
    let program = site.serve();
    let token = |signer: &Signer| {
        let mut claims = claims("nobody@example.com", now());
        claims["upn"] = json!(ANA);
        signer.token(&claims)
    };
    assert_eq!(program.bearer(&token(&old)).verdict("/jwt/x"), "200");
    publish(&program.site, &new);
    wait::until("the new file", || {
        program.bearer(&token(&old)).verdict("/jwt/x") == "401 credential_invalid"
    });
    assert_eq!(program.bearer(&token(&new)).verdict("/jwt/x"), "200");
}

/// SIGHUP: an issuer that is taken out is nobody's any more, one that stays keeps its keys.
#[test]
fn issuers_follow_a_reload() {
    let house = House::new();
    let token = house.token();
    assert_eq!(house.verdict(&token), "200");
    house.program.site.configure(&setup(&house.upstream));
    house.program.sighup();
    wait::until("the reload", || house.verdict(&token) == "401 credential_malformed");
    house.program.site.configure(&house.issuer.known_to(setup(&house.upstream)));
    house.program.sighup();
    wait::until("the second reload", || house.verdict(&token) == "200");
    house.issuer.fail();
    house
        .program
        .site
        .configure(&house.issuer.known_to(setup(&house.upstream)).set("limits.header_count", 99));
    house.program.sighup();
    wait::until("the third reload", || {
        house.program.messages().iter().filter(|line| line["msg"] == "configuration reloaded").count() >= 3
    });
    assert_eq!(house.verdict(&token), "200", "its keys are still known");
}

/// Wrong tokens count against the address like wrong keys; a good one passes all the same.
#[test]
fn wrong_tokens_are_counted() {
    let house = House::of(|issuer, setup| issuer.known_to(setup).set("auth.failures_per_minute.ip", 5));
    let forged = Signer::p256("k").token(&claims(ANA, now()));
    let verdicts: Vec<String> = (0..8).map(|_| house.verdict(&forged)).collect();
    assert_eq!(verdicts[0], "401 credential_invalid");
    assert_eq!(verdicts[7], "429 too_many_failures");
    assert_eq!(house.verdict(&house.token()), "200");
}
