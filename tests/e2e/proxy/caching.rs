//! What caches may keep of what the gateway lets through.

use crate::support::{
    program::Site,
    rawup::{Answer, Upstream},
    request::Door,
    setup::Setup,
    tools::Backend,
};

/// H229: a shared cache before the gateway knows nothing of `X-API-Key`: what one caller got is not the next one's. What is
/// public it keeps.
#[test]
fn a_shared_cache_gives_nobody_anothers_answer() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let key = site.key(&["--scopes", "scan:read"]);
    let program = site.serve();
    let cache = Backend::nginx_caching(program.gateway().0);
    let front = Door(cache.address);
    for _ in 0..2 {
        assert_eq!(front.anonymous().verdict("/public/x"), "200");
    }
    assert_eq!(upstream.count(), 1, "it does keep answers");
    for caller in [front.key(&key.text), front.bearer(&key.text)] {
        assert_eq!(caller.verdict("/api/x"), "200");
        assert_eq!(front.anonymous().verdict("/api/x"), "401 credential_missing");
        assert_eq!(front.key("nonsense").verdict("/api/x"), "401 credential_malformed");
    }
}

/// H229: what the upstream says of shared caches is its own; what it says of caches at large is for the caller's.
#[test]
fn what_the_upstream_says_of_caches_stands() {
    let upstream = Upstream::start(|request| {
        let said = match request.target.rsplit('/').next() {
            Some("public") => "Cache-Control: max-age=60, Public\r\n",
            Some("shared") => "Cache-Control: no-transform\r\nCache-Control: s-maxage=60\r\n",
            Some("nobody") => "Cache-Control: no-store\r\n",
            Some("long") => "Cache-Control: max-age=60\r\n",
            Some("expires") => "Expires: Thu, 01 Dec 2033 16:00:00 GMT\r\n",
            _ => "",
        };
        Answer::bytes(&format!("HTTP/1.1 200 OK\r\n{said}Content-Length: 1\r\n\r\nx"))
    });
    let site = Site::new(Setup::offload(&upstream));
    let key = site.key(&["--scopes", "scan:read"]);
    let program = site.serve();
    let told = |path: &str| program.key(&key.text).get(path).fields.all("cache-control").join(", ");
    assert_eq!(told("/api/public"), "max-age=60, Public");
    assert_eq!(told("/api/shared"), "no-transform, s-maxage=60");
    assert_eq!(told("/api/nobody"), "no-store");
    assert_eq!(told("/api/long"), "max-age=60, private");
    assert_eq!(told("/api/expires"), "private");
    assert_eq!(told("/api/silent"), "private");
    assert_eq!(program.anonymous().get("/public/x").header("cache-control"), None, "everybody's");
}
