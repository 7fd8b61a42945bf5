//! Attacks on tokens, one by one, and the tokens that must pass beside them.

use aws_lc_rs::hmac;
use serde_json::{Value, json};

use super::*;
use crate::domain::time::Timestamp;

mod sets;
pub(crate) mod signer;
mod text;

use signer::{Signer, encode, key_set};

const ISSUER: &str = "https://idp.example.com/";
const NOW: u64 = 1_800_000_000;

fn now() -> Timestamp {
    Timestamp::from_micros(i64::try_from(NOW).unwrap() * 1_000_000)
}

const US: Expected<'static> = Expected { issuer: ISSUER, audience: "latchgate" };

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": "latchgate", "sub": "1", "email": "ana@example.com", "jti": "t-1",
        "iat": NOW - 5, "exp": NOW + 300,
    })
}

/// The claims with one of them changed; null takes it away.
fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value;
    }
    claims
}

fn keys(signers: &[&Signer]) -> KeySet {
    KeySet::parse(&key_set(signers)).unwrap()
}

fn judge(token: &str, keys: &KeySet) -> Result<Bearer, Wrong> {
    Bearer::prove(&Compact::parse(token).ok_or(Wrong::Kind)?, keys, &US, "email", now())
}

fn identify(token: &str, keys: &KeySet) -> Result<Identity, Wrong> {
    Identity::prove(&Compact::parse(token).ok_or(Wrong::Kind)?, keys, &US, "n-1", now())
}

#[test]
fn every_kind_of_key_proves_its_tokens() {
    for signer in [Signer::rsa("k"), Signer::p256("k"), Signer::p384("k"), Signer::ed25519("k")] {
        let proved = judge(&signer.token(&claims()), &keys(&[&signer])).unwrap();
        assert_eq!((proved.email.as_str(), proved.id.as_deref()), ("ana@example.com", Some("t-1")));
        assert_eq!(proved.ends_at.seconds(), i64::try_from(NOW).unwrap() + 300 + 60);
    }
    let rsa = Signer::rsa("k");
    for algorithm in ["PS256", "RS512"] {
        let header = json!({"alg": algorithm, "kid": "k"});
        assert!(judge(&rsa.token_with(&header, &claims()), &keys(&[&rsa])).is_ok(), "{algorithm}");
    }
}

/// D138: the public key as a shared secret, no algorithm at all, and other names of nothing.
#[test]
fn the_key_chooses_the_algorithm_not_the_token() {
    let rsa = Signer::rsa("k");
    let set = keys(&[&rsa]);
    for secret in [rsa.public_bytes(), rsa.published().to_string().into_bytes(), Vec::new()] {
        let message = format!("{}.{}", encode(r#"{"alg":"HS256","kid":"k"}"#), encode(claims().to_string()));
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), message.as_bytes());
        let forged = format!("{message}.{}", encode(signature.as_ref()));
        assert_eq!(judge(&forged, &set), Err(Wrong::Signature));
    }
    for algorithm in ["none", "None", "NONE", "", "HS512", "ES256", "EdDSA", "RS256 ", "rs256", "dir"] {
        let header = json!({"alg": algorithm, "kid": "k"});
        let token = rsa.token_with(&header, &claims());
        assert_eq!(judge(&token, &set), Err(Wrong::Signature), "{algorithm}");
        let unsigned = format!("{}.{}.", encode(header.to_string()), encode(claims().to_string()));
        assert!(judge(&unsigned, &set).is_err(), "{algorithm}");
    }
    for odd in [json!({"kid": "k"}), json!({"alg": 5, "kid": "k"}), json!({"alg": ["RS256"], "kid": "k"})] {
        assert_eq!(judge(&rsa.token_with(&odd, &claims()), &set), Err(Wrong::Signature), "{odd}");
    }
    let mut pinned = rsa.published();
    pinned["alg"] = json!("PS256");
    let pinned = KeySet::parse(&json!({"keys": [pinned]})).unwrap();
    assert_eq!(judge(&rsa.token(&claims()), &pinned), Err(Wrong::Signature));
    let fitting = rsa.token_with(&json!({"alg": "PS256", "kid": "k"}), &claims());
    assert!(judge(&fitting, &pinned).is_ok());
}

#[test]
fn the_key_must_be_the_issuers_by_its_name() {
    let (ours, other) = (Signer::p256("k"), Signer::p256("k"));
    assert_eq!(judge(&other.token(&claims()), &keys(&[&ours])), Err(Wrong::Signature));
    for odd in [
        json!(null),
        json!(""),
        json!("../../../../dev/null"),
        json!("K"),
        json!("k "),
        json!(7),
        json!(["k"]),
        json!("k' OR '1'='1"),
        json!("https://evil.example/jwks.json"),
    ] {
        let header = json!({"alg": "ES256", "kid": odd});
        let token = ours.token_with(&header, &claims());
        assert_eq!(judge(&token, &keys(&[&ours])), Err(Wrong::Signature), "{odd}");
    }
    let nameless = ours.token_with(&json!({"alg": "ES256"}), &claims());
    assert_eq!(judge(&nameless, &keys(&[&ours])), Err(Wrong::Signature));
    // One name, two keys of different types: the algorithm tells which is meant.
    let twin = Signer::rsa("k");
    assert!(judge(&twin.token(&claims()), &keys(&[&ours, &twin])).is_ok());
}

/// What a token brings along to be judged by is not looked at.
#[test]
fn keys_inside_a_token_are_ignored() {
    let (ours, evil) = (Signer::p256("k"), Signer::p256("k"));
    let header = json!({
        "alg": "ES256", "kid": "k", "jwk": evil.published(), "jku": "http://127.0.0.1:1/keys",
        "x5u": "http://127.0.0.1:1/chain", "x5c": ["AAAA"],
    });
    assert_eq!(judge(&evil.token_with(&header, &claims()), &keys(&[&ours])), Err(Wrong::Signature));
    assert!(judge(&ours.token_with(&header, &claims()), &keys(&[&ours])).is_ok());
}

#[test]
fn what_a_token_is_for_must_fit() {
    let signer = Signer::p256("k");
    let set = keys(&[&signer]);
    let of_type = |typ: Value| {
        let mut header = signer.header();
        header["typ"] = typ;
        signer.token_with(&header, &with("nonce", json!("n-1")))
    };
    for typ in ["JWT", "jwt", "at+jwt", "application/at+jwt", "application/JWT"] {
        assert!(judge(&of_type(json!(typ)), &set).is_ok(), "{typ}");
    }
    for typ in
        [json!("logout+jwt"), json!("dpop+jwt"), json!("secevent+jwt"), json!("JOSE"), json!(1), json!("")]
    {
        assert_eq!(judge(&of_type(typ.clone()), &set), Err(Wrong::Kind), "{typ}");
    }
    assert_eq!(identify(&of_type(json!("at+jwt")), &set), Err(Wrong::Kind));
    for critical in [json!(["exp"]), json!(["b64"]), json!([]), json!("x"), json!(null)] {
        let mut header = signer.header();
        header["crit"] = critical.clone();
        header["b64"] = json!(true);
        assert_eq!(judge(&signer.token_with(&header, &claims()), &set), Err(Wrong::Kind), "{critical}");
    }
}

#[test]
fn issuer_and_audience_are_compared_as_they_stand() {
    let signer = Signer::p256("k");
    let set = keys(&[&signer]);
    for issuer in [
        json!(null),
        json!("https://idp.example.com"),
        json!("https://IDP.example.com/"),
        json!("https://evil.example/"),
        json!([ISSUER]),
        json!("https://idp.example.com/ "),
        json!(7),
    ] {
        let token = signer.token(&with("iss", issuer.clone()));
        assert_eq!(judge(&token, &set), Err(Wrong::Issuer), "{issuer}");
    }
    for audience in [
        json!(null),
        json!(""),
        json!("LATCHGATE"),
        json!([]),
        json!(["other"]),
        json!(["latchgate", 7]),
        json!([["latchgate"]]),
        json!({"latchgate": true}),
        json!("latchgate other"),
    ] {
        let token = signer.token(&with("aud", audience.clone()));
        assert_eq!(judge(&token, &set), Err(Wrong::Audience), "{audience}");
    }
    assert!(judge(&signer.token(&with("aud", json!(["other", "latchgate"]))), &set).is_ok());
}

#[test]
fn times_are_numbers_in_reach() {
    let signer = Signer::p256("k");
    let set = keys(&[&signer]);
    let outcome = |name, value| judge(&signer.token(&with(name, value)), &set).map(|_| ());
    assert_eq!(outcome("exp", json!(null)), Err(Wrong::Times));
    for name in ["exp", "nbf", "iat"] {
        for odd in [
            json!("never"),
            json!("1900000000"),
            json!(-1),
            json!(1e300),
            json!(u64::MAX),
            json!(i64::MIN),
            json!([]),
            json!(true),
            json!({}),
            json!(253_402_300_800_u64),
            json!(-0.5),
        ] {
            assert_eq!(outcome(name, odd.clone()), Err(Wrong::Times), "{name} {odd}");
        }
    }
    // 60 s either side for clocks that differ, and not one more.
    assert_eq!(outcome("exp", json!(NOW - 59)), Ok(()));
    assert_eq!(outcome("exp", json!(NOW - 60)), Err(Wrong::Expired));
    assert_eq!(outcome("exp", json!(NOW as f64 + 0.75)), Ok(()));
    assert_eq!(outcome("exp", json!(253_402_300_799_u64)), Ok(()));
    for name in ["nbf", "iat"] {
        assert_eq!(outcome(name, json!(NOW + 60)), Ok(()), "{name}");
        assert_eq!(outcome(name, json!(NOW + 61)), Err(Wrong::Early), "{name}");
        assert_eq!(outcome(name, json!(null)), Ok(()), "{name}");
    }
}

#[test]
fn an_address_counts_only_when_verified() {
    let signer = Signer::p256("k");
    let set = keys(&[&signer]);
    let token = |verified: Value| {
        let mut claims = with("email_verified", verified);
        claims["nonce"] = json!("n-1");
        signer.token(&claims)
    };
    for verified in [json!(true), json!("true")] {
        assert_eq!(judge(&token(verified.clone()), &set).unwrap().email, "ana@example.com");
        assert_eq!(identify(&token(verified), &set).unwrap().email(), Some("ana@example.com"));
    }
    for unverified in [json!(false), json!("false"), json!(1), json!("yes"), json!([true])] {
        assert_eq!(judge(&token(unverified.clone()), &set), Err(Wrong::Email), "{unverified}");
        assert_eq!(identify(&token(unverified.clone()), &set), Err(Wrong::Email), "{unverified}");
    }
    // Silence is enough from whoever judges every token, not from whoever signs people in.
    assert!(judge(&token(json!(null)), &set).is_ok());
    assert_eq!(identify(&token(json!(null)), &set), Err(Wrong::Email));
    for odd in [json!(null), json!(""), json!(["ana@example.com"]), json!({"value": "ana@example.com"})] {
        assert_eq!(judge(&signer.token(&with("email", odd)), &set), Err(Wrong::Email));
    }
    let upn = signer.token(&with("upn", json!("bo@example.com")));
    let named = Bearer::prove(&Compact::parse(&upn).unwrap(), &set, &US, "upn", now()).unwrap();
    assert_eq!(named.email, "bo@example.com");
}

/// What the provider says of somebody else is not said of whoever signed in.
#[test]
fn user_info_is_about_whoever_signed_in() {
    let signer = Signer::p256("k");
    let mut claims = with("nonce", json!("n-1"));
    claims.as_object_mut().unwrap().remove("email");
    let identity = identify(&signer.token(&claims), &keys(&[&signer])).unwrap();
    assert_eq!(identity.email(), None);
    let info = |sub: &str, verified: Value| json!({"sub": sub, "email": "ana@example.com", "email_verified": verified});
    assert_eq!(identity.email_in(&info("1", json!(true))).as_deref(), Ok("ana@example.com"));
    assert_eq!(identity.email_in(&info("2", json!(true))), Err(Wrong::Subject));
    assert_eq!(
        identity.email_in(&json!({"email": "ana@example.com", "email_verified": true})),
        Err(Wrong::Subject)
    );
    for unverified in [json!(false), json!(null), json!(1)] {
        assert_eq!(identity.email_in(&info("1", unverified)), Err(Wrong::Email));
    }
    assert_eq!(identity.email_in(&json!({"sub": "1", "email_verified": true})), Err(Wrong::Email));
    claims.as_object_mut().unwrap().remove("sub");
    assert_eq!(identify(&signer.token(&claims), &keys(&[&signer])), Err(Wrong::Kind));
}

#[test]
fn an_identity_token_is_for_this_sign_in() {
    let signer = Signer::p256("k");
    let set = keys(&[&signer]);
    let outcome = |changes: &[(&str, Value)]| {
        let mut claims = with("nonce", json!("n-1"));
        claims["email_verified"] = json!(true);
        for (name, value) in changes {
            claims[*name] = value.clone();
        }
        identify(&signer.token(&claims), &set).map(|_| ())
    };
    assert_eq!(outcome(&[]), Ok(()));
    for nonce in [json!("n-2"), json!(""), json!(null), json!(["n-1"])] {
        assert_eq!(outcome(&[("nonce", nonce.clone())]), Err(Wrong::Nonce), "{nonce}");
    }
    let both = json!(["latchgate", "other"]);
    assert_eq!(outcome(&[("aud", both.clone())]), Err(Wrong::Audience));
    assert_eq!(outcome(&[("aud", both), ("azp", json!("latchgate"))]), Ok(()));
    assert_eq!(outcome(&[("azp", json!("other"))]), Err(Wrong::Audience));
}
