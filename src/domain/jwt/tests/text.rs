//! What is a token's text, and what is none.

use proptest::prelude::*;
use serde_json::json;

use super::{
    ISSUER, claims, judge, keys,
    signer::{Signer, encode},
    with,
};
use crate::domain::jwt::{Compact, KeySet, LONGEST};

#[test]
fn one_token_has_one_text() {
    let signer = Signer::p256("k");
    let set = keys(&[&signer]);
    let token = signer.token(&claims());
    assert!(judge(&token, &set).is_ok());
    let (header, payload) = (encode(signer.header().to_string()), encode(claims().to_string()));
    let mut parts = token.split('.');
    let signature = parts.nth(2).unwrap();
    for odd in [
        format!("{token}."),
        format!(".{token}"),
        format!("{token}.{signature}"),
        format!("{header}.{payload}"),
        format!("{header}..{signature}"),
        format!("{header}=.{payload}.{signature}"),
        format!("{token}=="),
        format!("{header}.{payload}\n.{signature}"),
        token.replace('.', ".."),
        format!(" {token}"),
        String::new(),
        "..".to_owned(),
        "a.b.c".to_owned(),
        format!("{header}.{payload}.{signature}.{header}.{payload}"),
        format!("{}.{payload}.{signature}", encode("[]")),
        format!("{}.{payload}.{signature}", encode("{}{}")),
    ] {
        assert!(judge(&odd, &set).is_err(), "{odd}");
    }
    // Signed by the issuer itself, and yet two readings.
    for (header, payload) in [
        (r#"{"alg":"ES256","alg":"ES256","kid":"k"}"#.to_owned(), claims().to_string()),
        (
            r#"{"alg":"ES256","kid":"k"}"#.to_owned(),
            claims().to_string().replacen('{', r#"{"email":"boss@example.com","#, 1),
        ),
        (
            r#"{"alg":"ES256","kid":"k"}"#.to_owned(),
            claims().to_string().replacen('{', r#"{"\u0065mail":"boss@example.com","#, 1),
        ),
        (r#"{"alg":"ES256","kid":"k"}"#.to_owned(), format!("[{}]", claims())),
    ] {
        let twice = signer.signed(&encode(header), &encode(payload), None);
        assert!(Compact::parse(&twice).is_none(), "{twice}");
    }
    let padded = base64::engine::Engine::encode(&base64::engine::general_purpose::URL_SAFE, "{\"a\": 1}");
    assert!(padded.ends_with('='));
    assert!(Compact::parse(&signer.signed(&header, &padded, None)).is_none());
}

#[test]
fn there_is_a_longest_token() {
    let signer = Signer::p256("k");
    let set = keys(&[&signer]);
    let long = |size| signer.token(&with("groups", json!("x".repeat(size))));
    let fits = long(5_000);
    assert!(fits.len() < LONGEST && judge(&fits, &set).is_ok());
    assert!(Compact::parse(&long(6_500)).is_none());
    let nested = format!("{}{}", "[".repeat(2_000), "]".repeat(2_000));
    let payload = format!(r#"{{"iss":"{ISSUER}","deep":{nested}}}"#);
    assert!(
        Compact::parse(&signer.signed(&encode(signer.header().to_string()), &encode(payload), None))
            .is_none()
    );
}

proptest! {
    /// Whatever is sent, nothing panics, and a changed token is no token.
    #[test]
    fn nothing_else_passes(text in "\\PC{0,200}", at in 0_usize..400, with in "[A-Za-z0-9_.=-]") {
        prop_assert!(Compact::parse(&text).is_none());
        let (signer, set) = fixed();
        let mut token = signer.token(&claims());
        let at = at % token.len();
        if token[at..=at] != with {
            token.replace_range(at..=at, &with);
            prop_assert!(judge(&token, set).is_err());
        }
    }
}

fn fixed() -> &'static (Signer, KeySet) {
    static FIXED: std::sync::OnceLock<(Signer, KeySet)> = std::sync::OnceLock::new();
    FIXED.get_or_init(|| {
        let signer = Signer::ed25519("k");
        let set = keys(&[&signer]);
        (signer, set)
    })
}
