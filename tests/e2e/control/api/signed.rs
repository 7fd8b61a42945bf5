//! The admin API for keys that sign: asked by them, and about them.

use serde_json::{Value, json};

use crate::support::{
    program::{Program, Site},
    rawc::Response,
    rawup::Upstream,
    request::Door,
    setup::Setup,
    signer::{Draft, Signer, new_pair},
};

const MANAGER: [&str; 2] =
    ["--scopes", "api_key:create,api_key:read,api_key:rotate,api_key:revoke,api_key:update,scan:read"];

fn house() -> (Program, Signer, Signer, Upstream) {
    let upstream = Upstream::echo();
    let setup = Setup::offload(&upstream)
        .route("name = \"control\"\npath = \"/v1/{*rest}\"\nupstream = \"@control\"");
    let site = Site::new(setup);
    let shared = Signer::new_shared(&site, &MANAGER);
    let pair = Signer::new_pair(&site, &MANAGER);
    (site.serve(), shared, pair, upstream)
}

fn post(signer: &Signer, target: &str, body: &Value) -> Draft {
    signer.post(target, &body.to_string()).with_field("Content-Type", "application/json")
}

fn ask(door: Door, signer: &Signer, target: &str, body: &Value) -> Response {
    signer.send(door, &post(signer, target, body))
}

/// `R001_05` on both ports: a key that signs administers as any other does, once for each signature, and only with the
/// body that it signed.
#[test]
fn keys_that_sign_administer() {
    let (program, shared, pair, _upstream) = house();
    // The gateway's port brings paths into one form; what was signed is the form that was sent.
    for (door, spelled) in [(program.admin(), "404 not_found"), (program.gateway(), "200")] {
        for signer in [&shared, &pair] {
            assert_eq!(signer.verdict(door, &signer.get("/v1/api-keys?limit=5")), "200");
            assert_eq!(signer.verdict(door, &signer.get("/v1/%61pi-keys")), spelled);
            let draft = post(signer, "/v1/api-keys", &json!({ "name": "child", "scopes": ["scan:read"] }));
            let lines = signer.sign(&draft);
            let mut changed = draft.clone();
            changed.body = Some(json!({ "name": "child", "scopes": ["api_key:read"] }).to_string());
            let before = program.site.count("api_keys");
            assert_eq!(changed.request(door, &lines).send().verdict(), "401 signature_invalid");
            assert_eq!(program.site.count("api_keys"), before);
            let made = draft.request(door, &lines).send();
            assert_eq!(made.status, 201, "{}", made.text());
            assert_eq!(draft.request(door, &lines).send().verdict(), "401 replay_detected");
            assert_eq!(program.site.count("api_keys"), before + 1);
            let unsigned = signer.get("/v1/api-keys");
            let mut lines = signer.sign(&unsigned);
            lines[1] = "Signature: sig1=:AAAA:".into();
            assert_eq!(unsigned.request(door, &lines).send().verdict(), "401 signature_invalid");
            let mut nobody = signer.get("/v1/api-keys");
            nobody.keyid = Some("zzzzzzzz".into());
            assert_eq!(signer.verdict(door, &nobody), "401 credential_invalid");
            let beside = signer.get("/v1/api-keys");
            let key = made.json()["key"].as_str().expect("a key").to_owned();
            let both = beside.request(door, &signer.sign(&beside)).header("X-API-Key", &key).send();
            assert_eq!(both.verdict(), "400 credential_conflict");
        }
    }
    let signed = program.metric("latchgate_auth_total", &[("method", "signed"), ("outcome", "ok")]);
    assert!(signed >= 8.0, "{signed}");
}

/// What a signing key may be made of, and by what it is followed.
#[test]
fn signing_keys_are_made_and_rotated() {
    let (program, shared, _, _upstream) = house();
    let door = program.admin();
    let (pair, pem) = new_pair();
    let x25519 = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VuAyEAmRcRvA5mXTJMkZ0uVbK0rM6mC2fQJrUuTzPPi0L+Xm8=\n-----END PUBLIC KEY-----\n";
    let weak = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n-----END PUBLIC KEY-----\n";
    let private = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----\n";
    let new = |level: Value, public: Value| json!({ "name": "k", "scopes": ["scan:read"], "security_level": level, "public_key": public });
    let before = program.site.count("api_keys");
    for (level, public) in [
        (json!("advanced"), json!("")),
        (json!("advanced"), json!("ssh-ed25519 AAAA")),
        (json!("advanced"), json!(x25519)),
        (json!("advanced"), json!(weak)),
        (json!("advanced"), json!(private)),
        (json!("advanced"), json!(format!("{pem}{pem}"))),
        (json!("advanced"), json!(7)),
        (json!("standard"), json!(pem)),
        (json!("paranoid"), json!(pem)),
        (json!(null), json!(pem)),
    ] {
        let answer = ask(door, &shared, "/v1/api-keys", &new(level.clone(), public.clone()));
        assert_eq!(answer.verdict(), "422 invalid_field", "{level} {public}: {}", answer.text());
    }
    assert_eq!(program.site.count("api_keys"), before);

    let made = ask(door, &shared, "/v1/api-keys", &new(json!("advanced"), json!(pem)));
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    assert!(made["key"].is_null() && made["security_level"] == "advanced", "{made}");
    let signer = Signer::pair(made["prefix"].as_str().expect("a prefix"), pair);
    assert_eq!(signer.verdict(program.gateway(), &signer.get("/api/x")), "200");

    let rotate = format!("/v1/api-keys/{}/rotate", made["id"].as_str().expect("an id"));
    for wrong in [json!({}), json!({ "public_key": pem }), json!({ "public_key": weak })] {
        assert_eq!(ask(door, &shared, &rotate, &wrong).verdict(), "422 invalid_field", "{wrong}");
    }
    let (next, next_pem) = new_pair();
    let successor = ask(door, &signer, "/v1/api-keys/self/rotate", &json!({ "public_key": next_pem }));
    assert_eq!(successor.status, 201, "{}", successor.text());
    let successor = successor.json();
    assert!(successor["key"].is_null() && successor["rotated_from"] == made["id"], "{successor}");
    let next = Signer::pair(successor["prefix"].as_str().expect("a prefix"), next);
    for signer in [&signer, &next] {
        assert_eq!(signer.verdict(program.gateway(), &signer.get("/api/x")), "200");
    }
    // Asked again under the same name: the same object, and no key in it.
    let again = post(
        &shared,
        "/v1/api-keys",
        &json!({ "name": "once", "scopes": ["scan:read"], "security_level": "advanced" }),
    );
    let first = shared.send(door, &again.clone().with_field("Idempotency-Key", "one"));
    assert!(first.json()["key"].is_string(), "{}", first.text());
    let again = Draft { nonce: Some("another".into()), ..again };
    let second = shared.send(door, &again.with_field("Idempotency-Key", "one"));
    assert_eq!(second.json()["id"], first.json()["id"]);
    assert!(second.json().get("key").is_none(), "{}", second.text());
    let verdict = |key: &str| ask(door, &shared, "/v1/api-keys/verify", &json!({ "key": key })).json();
    let told = verdict(first.json()["key"].as_str().expect("a key"));
    assert_eq!((&told["valid"], &told["code"]), (&json!(false), &json!("signature_required")));
}
