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

/// H229: only where the upstream says nothing; what it says of caches is its own.
#[test]
fn what_the_upstream_says_of_caches_stands() {
    let upstream = Upstream::start(|request| {
        let said = match request.target.rsplit('/').next() {
            Some("control") => "Cache-Control: public, max-age=60\r\n",
            Some("expires") => "Expires: Thu, 01 Dec 2033 16:00:00 GMT\r\n",
            Some("pragma") => "Pragma: no-cache\r\n",
            _ => "",
        };
        Answer::bytes(&format!("HTTP/1.1 200 OK\r\n{said}Content-Length: 1\r\n\r\nx"))
    });
    let site = Site::new(Setup::offload(&upstream));
    let key = site.key(&["--scopes", "scan:read"]);
    let program = site.serve();
    let told = |path: &str| program.key(&key.text).get(path).header("cache-control").map(str::to_owned);
    assert_eq!(told("/api/control").as_deref(), Some("public, max-age=60"));
    assert_eq!(told("/api/expires"), None);
    assert_eq!(told("/api/pragma"), None);
    assert_eq!(told("/api/silent").as_deref(), Some("private"));
    assert_eq!(program.anonymous().get("/public/x").header("cache-control"), None, "everybody's");
}
