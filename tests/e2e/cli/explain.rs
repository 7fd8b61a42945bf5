//! `explain`: the same decision as the gateway's, told step by step.

use crate::support::{program::Site, rawup::Upstream, setup::Setup, wrong::Wrong};

/// It says what the gateway then does, and touches nothing.
#[test]
fn it_agrees_with_the_gateway() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let key = site.key(&["--scopes", "scan:read", "--allowed-ips", "127.0.0.1"]);
    let revoked = site.key(&["--scopes", "scan:read", "--name", "revoked"]);
    site.cli(&["keys", "revoke", &revoked.id]).ok();
    let program = site.serve();
    let unknown = format!("osk_zzzzzzzz_{}", "0".repeat(32));
    let unknown = format!("{unknown}{}", crate::proxy::checksum(&unknown));
    let mut wrong = Wrong::default();
    for (key, method, path) in [
        (key.text.as_str(), "GET", "/api/x"),
        (&key.text, "DELETE", "/api/x"),
        (&key.text, "GET", "/nowhere"),
        (&key.text, "GET", "/api/%2e%2e/x"),
        (&revoked.text, "GET", "/api/x"),
        (&unknown, "GET", "/api/x"),
        ("nonsense", "GET", "/api/x"),
        ("", "GET", "/public/x"),
    ] {
        let caller = if key.is_empty() { program.anonymous() } else { program.key(key) };
        let verdict = caller.request(method, path).send().verdict();
        let mut arguments = vec!["explain", "--method", method, "--path", path, "--ip", "127.0.0.1"];
        arguments.extend((!key.is_empty()).then_some("--key-stdin"));
        let told = program.site.plain(&arguments, &format!("{key}\n"));
        let code = verdict.split(' ').nth(1).unwrap_or("forwarded");
        wrong.unless(told.stdout.contains(code), || {
            format!("{method} {path}: the gateway says {verdict}, explain {:.300}", told.stdout)
        });
        wrong.unless(key.len() < 9 || !told.stdout.contains(key), || {
            format!("{method} {path}: the key is printed")
        });
    }
    let elsewhere = program.site.plain(
        &["explain", "--method", "GET", "--path", "/api/x", "--ip", "203.0.113.5", "--key-stdin"],
        &format!("{}\n", key.text),
    );
    wrong.unless(elsewhere.stdout.contains("ip_not_allowed"), || format!("{elsewhere:?}"));
    wrong.none("an explanation");
    assert_eq!(upstream.count(), 2);
}
