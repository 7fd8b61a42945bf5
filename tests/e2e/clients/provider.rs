//! A real identity provider, npm's oidc-provider: what it signs opens what it should.

use crate::support::{program::Site, provider::Registration, rawup::Upstream, setup::Setup, wait};

/// Its access tokens (RFC 9068) are taken, also when it is started after the gateway; keys rotate without a restart of
/// ours, and while it is down what is known goes on.
#[test]
fn its_tokens_are_taken_and_its_keys_rotate() {
    let upstream = Upstream::echo();
    let registration = Registration::new("http://127.0.0.1:9/unused");
    let provider = registration.start(0, &["a"]);
    let (port, issuer) = (provider.address.port(), provider.url());
    provider.stop();

    let route = "name = \"jwt\"\npath = \"/jwt/{*rest}\"\nupstream = \"app\"\nrequire = \"scan:read\"\ncredentials = [\"jwt\"]";
    let keys = format!("jwks_url = \"{issuer}/jwks\"\nrefresh = \"1s\"");
    let site = Site::new(Setup::offload(&upstream).route(route).issuer(&issuer, &keys));
    for (email, role) in [("ana@example.com", "viewer"), ("eve@example.com", "admin")] {
        site.user(email, role, Some(&site.team()));
    }
    let program = site.serve();
    let verdict = |token: &str| program.bearer(token).verdict("/jwt/x");

    let provider = registration.start(port, &["a"]);
    let ana = provider.token("ana");
    wait::until("the provider's keys", || verdict(&ana) == "200");
    let seen = upstream.last();
    assert_eq!((seen.header("x-auth-method"), seen.header("x-role")), (Some("jwt"), Some("viewer")));
    assert_eq!(verdict(&provider.token("nobody")), "403 forbidden");
    assert_eq!(verdict(&provider.token("eve")), "401 credential_invalid", "her address is not verified");
    let user_info = program.bearer(&ana).get("/.latchgate/whoami").json();
    assert_eq!(user_info["method"], "jwt");
    provider.stop();
    assert_eq!(verdict(&ana), "200", "the provider is down, its keys are known");

    let provider = registration.start(port, &["b", "a"]);
    let fresh = provider.token("ana");
    wait::until("the new key", || verdict(&fresh) == "200");
    assert_eq!(verdict(&ana), "200");
    provider.stop();
    let provider = registration.start(port, &["b"]);
    wait::until("the end of the old key", || verdict(&ana) == "401 credential_invalid");
    assert_eq!(verdict(&fresh), "200");
    assert_eq!(verdict(&provider.token("ana")), "200");
}
