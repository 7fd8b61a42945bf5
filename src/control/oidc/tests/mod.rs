//! The sign-in against a provider that does what it is told, also what no provider should.

mod bench;

use std::time::Duration;

use serde_json::{Value, json};

use self::bench::Bench;
use super::*;
use crate::domain::jwt::tests::signer::Signer;

const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

fn is_not_believed(outcome: &Result<Vouched, OidcError>) -> bool {
    matches!(outcome, Err(OidcError::NotBelieved(_)))
}

#[tokio::test]
async fn whoever_signed_in_there_is_who_comes_back() {
    let (bench, _folder) = Bench::new(Some("s3:cr et/+")).await;
    let Started { location, cookie } = bench.oidc.start(Some("/scans")).await.unwrap();
    assert!(
        location.starts_with(&format!("{}/auth?response_type=code&client_id=latchgate", bench.said.issuer))
    );
    for part in [
        "&redirect_uri=https%3A%2F%2Fgate.example.com%2F.latchgate%2Foidc%2Fcallback&",
        "&scope=openid%20email&",
        "&code_challenge_method=S256",
    ] {
        assert!(location.contains(part), "{location}");
    }
    for part in ["; Path=/;", "; Max-Age=600;", "; HttpOnly;", "; SameSite=Lax", "; Secure"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let vouched = bench.sign_in().await.unwrap();
    assert_eq!(vouched, Vouched { email: "ana@example.com".into(), return_to: Some("/scans".into()) });
    let asked = bench.said.now().asked.join("\n");
    // `latchgate:s3%3Acr%20et%2F%2B`
    assert!(asked.to_lowercase().contains("basic bgf0y2hnyxrlonmzjtnby3ilmjbldcuyriuyqg=="), "{asked}");
    assert!(
        asked.contains("grant_type=authorization_code&code=c-1&redirect_uri=https%3A%2F%2Fgate"),
        "{asked}"
    );
    assert!(asked.contains("&code_verifier="), "{asked}");
    assert!(!asked.contains("client_secret"), "{asked}");
    bench.tasks.end(Duration::from_millis(10)).await;
}

#[tokio::test]
async fn the_secret_is_sent_as_the_provider_takes_it() {
    let (bench, _folder) = Bench::new(Some("s3cret")).await;
    bench.said.now().metadata =
        vec![("token_endpoint_auth_methods_supported", json!(["client_secret_post"]))];
    bench.sign_in().await.unwrap();
    assert!(bench.said.now().asked.join("\n").contains("&client_id=latchgate&client_secret=s3cret"));
    let (public, _folder) = Bench::new(None).await;
    public.sign_in().await.unwrap();
    let asked = public.said.now().asked.join("\n");
    assert!(asked.contains("&client_id=latchgate") && !asked.contains("client_secret"), "{asked}");
}

/// Login CSRF, replay, another browser's answer, an answer that nobody asked for: each has no attempt to belong to.
#[tokio::test]
async fn an_answer_belongs_to_the_browser_that_asked_and_once() {
    let (bench, _folder) = Bench::new(None).await;
    let (cookie, state) = bench.begin("/").await;
    let (other_cookie, other_state) = bench.begin("/").await;
    let not_begun = |outcome| assert_eq!(outcome, Err(OidcError::NotBegun));
    let answer = |state: &str| format!("code=c-1&state={state}");
    not_begun(bench.oidc.finish(&answer(&state), None).await);
    not_begun(bench.oidc.finish(&answer(&state), Some(&other_cookie)).await);
    not_begun(bench.oidc.finish(&answer(&other_state), Some(&cookie)).await);
    for odd in [
        "",
        "code=c-1",
        &format!("state={state}"),
        &format!("code=&state={state}"),
        &answer(""),
        &format!("code=c-1&code=c-2&state={state}"),
        &format!("code=c-1&state={state}&state={other_state}"),
        &format!("code=c-1&error=x&state={state}"),
        &format!("code=%ff&state={state}"),
        "code=c-1&state=%",
    ] {
        not_begun(bench.oidc.finish(odd, Some(&cookie)).await);
    }
    assert!(bench.said.now().asked.iter().all(|asked| !asked.starts_with("/token")), "nothing was redeemed");
    let (cookie, state) = bench.begin("/").await;
    assert!(bench.oidc.finish(&answer(&state), Some(&cookie)).await.is_ok());
    not_begun(bench.oidc.finish(&answer(&state), Some(&cookie)).await);
    let (late, state) = bench.begin("/").await;
    bench.clock.advance(LIFETIME + Duration::from_secs(1));
    not_begun(bench.oidc.finish(&answer(&state), Some(&late)).await);
}

/// Whoever makes answers up uses up nothing that others need.
#[tokio::test]
async fn answers_that_are_made_up_keep_nobody_out() {
    let (bench, _folder) = Bench::new(None).await;
    for _ in 0..20_001 {
        let (cookie, state) = bench.begin("/").await;
        let made_up = bench.oidc.finish(&format!("error=x&state={state}"), Some(&cookie)).await;
        assert_eq!(made_up, Err(OidcError::Declined("x".into())));
    }
    assert!(bench.sign_in().await.is_ok());
}

/// RFC 9207: an answer that another provider gave is not this one's.
#[tokio::test]
async fn another_providers_answer_is_not_taken() {
    let (bench, _folder) = Bench::new(None).await;
    let own = encoded(&bench.said.issuer);
    let finish = async |issuer: &str| {
        let (cookie, state) = bench.begin("/").await;
        bench.oidc.finish(&format!("code=c-1&state={state}{issuer}"), Some(&cookie)).await
    };
    assert!(finish("").await.is_ok());
    assert!(finish(&format!("&iss={own}")).await.is_ok());
    for other in ["&iss=https%3A%2F%2Fevil.example", "&iss=", &format!("&iss={own}%2F")] {
        assert!(is_not_believed(&finish(other).await), "{other}");
    }
    let (strict, _folder) = Bench::new(None).await;
    strict.said.now().metadata = vec![("authorization_response_iss_parameter_supported", json!(true))];
    assert!(is_not_believed(&strict.sign_in().await));
}

#[tokio::test]
async fn the_token_is_judged_like_every_other() {
    let (bench, _folder) = Bench::new(None).await;
    for wrong in [
        ("iss", json!("https://evil.example")),
        ("aud", json!("other")),
        ("aud", json!(["latchgate", "other"])),
        ("nonce", json!("another")),
        ("nonce", Value::Null),
        ("exp", json!(NOW.seconds() - 61)),
        ("exp", Value::Null),
        ("email_verified", json!(false)),
        ("email_verified", Value::Null),
        ("azp", json!("other")),
        ("sub", json!("")),
    ] {
        let outcome = bench.told(std::slice::from_ref(&wrong)).await;
        assert!(is_not_believed(&outcome), "{wrong:?}: {outcome:?}");
    }
    assert!(bench.told(&[]).await.is_ok());
    let claims = json!({
        "iss": bench.said.issuer, "aud": "latchgate", "sub": "1", "email": "boss@example.com", "email_verified": true,
        "exp": NOW.seconds() + 300,
    });
    let forged = Signer::ed25519("k").token(&claims);
    for token in [forged, "not a token".to_owned(), String::new()] {
        bench.said.now().token = Some(token);
        assert!(is_not_believed(&bench.sign_in().await));
    }
}

/// Providers may keep the address out of the token and tell it to whoever holds the access token.
#[tokio::test]
async fn the_address_may_come_from_the_user_info() {
    let (bench, _folder) = Bench::new(None).await;
    // A member that is null is there, and is no address.
    assert!(is_not_believed(&bench.told(&[("email", Value::Null)]).await));
    let (cookie, state) = bench.begin("/").await;
    let nonce = bench.said.now().nonce.clone();
    let token = |nonce: &str| {
        bench.said.signer.token(&json!({
            "iss": bench.said.issuer, "aud": "latchgate", "sub": "1", "nonce": nonce, "exp": NOW.seconds() + 300,
        }))
    };
    bench.said.now().token = Some(token(&nonce));
    bench.said.now().user_info = json!({"sub": "1", "email": "ana@example.com", "email_verified": true});
    let vouched = bench.oidc.finish(&format!("code=c&state={state}"), Some(&cookie)).await.unwrap();
    assert_eq!(vouched.email, "ana@example.com");
    assert!(
        bench.said.now().asked.iter().any(|asked| asked.starts_with("/me ") && asked.contains("Bearer at-1"))
    );
    for info in [
        json!({"sub": "2", "email": "boss@example.com", "email_verified": true}),
        json!({"sub": "1", "email": "ana@example.com"}),
        json!({"sub": "1"}),
        Value::Null,
    ] {
        let (cookie, state) = bench.begin("/").await;
        let nonce = bench.said.now().nonce.clone();
        bench.said.now().token = Some(token(&nonce));
        bench.said.now().user_info = info;
        assert!(is_not_believed(&bench.oidc.finish(&format!("code=c&state={state}"), Some(&cookie)).await));
    }
}

#[tokio::test]
async fn a_provider_that_is_down_or_odd_signs_nobody_in_and_comes_back() {
    let (bench, _folder) = Bench::new(None).await;
    let is_unavailable =
        |outcome: Result<Started, OidcError>| matches!(outcome, Err(OidcError::Unavailable(_)));
    bench.said.now().status = Some(503);
    assert!(is_unavailable(bench.oidc.start(None).await));
    let asked = bench.said.now().asked.len();
    bench.said.now().status = None;
    assert!(is_unavailable(bench.oidc.start(None).await), "asked a moment ago");
    assert_eq!(bench.said.now().asked.len(), asked);
    for odd in [
        ("issuer", json!("https://evil.example")),
        ("authorization_endpoint", json!("http://idp.example.com/auth")),
        ("token_endpoint", json!("javascript:alert(1)")),
        ("jwks_uri", json!("file:///etc/passwd")),
        ("jwks_uri", json!(7)),
    ] {
        bench.clock.advance(Duration::from_secs(6));
        bench.said.now().metadata = vec![odd.clone()];
        assert!(is_unavailable(bench.oidc.start(None).await), "{odd:?}");
    }
    bench.clock.advance(Duration::from_secs(6));
    bench.said.now().metadata.clear();
    let (cookie, state) = bench.begin("/").await;
    // Once known it stays known; the code waits for nobody, so this attempt is lost.
    bench.said.now().status = Some(503);
    let answer = format!("code=c-1&state={state}");
    assert!(matches!(bench.oidc.finish(&answer, Some(&cookie)).await, Err(OidcError::Unavailable(_))));
    bench.clock.advance(Duration::from_secs(3601));
    let (cookie, state) = bench.begin("/").await;
    bench.said.now().status = Some(400);
    let refused = bench.oidc.finish(&format!("code=c-1&state={state}"), Some(&cookie)).await;
    assert_eq!(refused, Err(OidcError::NotBelieved("it refused the code: invalid_grant".into())));
    bench.said.now().status = None;
    assert!(bench.told(&[("exp", json!(NOW.seconds() + 5000))]).await.is_ok());
}

#[tokio::test]
async fn whoever_declines_is_not_signed_in() {
    let (bench, _folder) = Bench::new(None).await;
    let (cookie, state) = bench.begin("/").await;
    let outcome = bench
        .oidc
        .finish(&format!("error=access_denied%0a&error_description=x&state={state}"), Some(&cookie))
        .await;
    assert_eq!(outcome, Err(OidcError::Declined("access_denied".into())));
    assert!(bench.oidc.ended_cookie().starts_with("__Host-latchgate-oidc=; Path=/; Max-Age=0;"));
}
