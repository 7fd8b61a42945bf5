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

/// F176 to F178: which hop is the client, and why the others are not believed; the gateway itself agrees.
#[test]
fn it_shows_which_hop_was_used() {
    let upstream = Upstream::echo();
    let setup = Setup::offload(&upstream)
        .set("listen.trusted_proxies", toml::Value::from(vec!["127.0.0.0/8", "10.0.0.0/8"]));
    let site = Site::new(setup);
    let key = site.key(&["--scopes", "scan:read", "--allowed-ips", "203.0.113.0/24"]);
    let program = site.serve();
    let mut wrong = Wrong::default();
    for (peer, lines, told, allowed) in [
        ("127.0.0.1", &["203.0.113.5, 10.1.1.1"][..], "203.0.113.5, entry 2 from the right", true),
        ("127.0.0.1", &["203.0.113.5", "198.51.100.7"], "198.51.100.7, entry 1 from the right", false),
        ("127.0.0.1", &["203.0.113.5, unknown"], "nobody: entry 1 from the right", false),
        (
            "127.0.0.1",
            &["10.0.0.9, 10.0.0.8"],
            "10.0.0.9, entry 2 from the right of X-Forwarded-For: all",
            false,
        ),
        ("127.0.0.1", &[], "127.0.0.1, a trusted proxy that names nobody", false),
        ("198.51.100.7", &["203.0.113.5"], "is not in listen.trusted_proxies", false),
        ("203.0.113.5", &[], "203.0.113.5, the other end of the connection", true),
    ] {
        let mut arguments = vec!["explain", "--path", "/api/x", "--ip", peer, "--key-stdin"];
        arguments.extend(lines.iter().flat_map(|line| ["--forwarded-for", line]));
        let said = program.site.plain(&arguments, &format!("{}\n", key.text)).stdout;
        let verdict = said.contains("\nforwarded");
        wrong.unless(said.contains(told) && verdict == allowed, || format!("{peer} {lines:?}: {said}"));
        if peer == "127.0.0.1" {
            let mut request = program.key(&key.text).request("GET", "/api/x");
            for line in lines {
                request = request.header("X-Forwarded-For", line);
            }
            let passed = request.send().status == 200;
            wrong.unless(passed == allowed, || format!("{lines:?}: the gateway says {passed}"));
        }
    }
    wrong.none("an explanation of the client");
}

/// F179: the same where proxies speak by `Forwarded`; what they say in the other header names nobody.
#[test]
fn it_shows_which_header_was_read() {
    let upstream = Upstream::echo();
    let setup = Setup::offload(&upstream)
        .set("listen.trusted_proxies", toml::Value::from(vec!["127.0.0.0/8", "10.0.0.0/8"]))
        .set("listen.client_ip_header", "forwarded");
    let site = Site::new(setup);
    let told = |arguments: &[&str]| {
        let fixed = ["explain", "--path", "/public/x", "--ip", "127.0.0.1"];
        site.plain(&[&fixed, arguments].concat(), "").stdout
    };
    let mut wrong = Wrong::default();
    for (arguments, expected) in [
        (
            &["--forwarded", "for=203.0.113.5, for=10.1.1.1"][..],
            "203.0.113.5, entry 2 from the right of Forwarded: the first",
        ),
        (&["--forwarded", "for=203.0.113.5, for=_x"], "nobody: entry 1 from the right of Forwarded"),
        (
            &["--forwarded-for", "203.0.113.5"],
            "sends X-Forwarded-For alone, and listen.client_ip_header says",
        ),
        (
            &["--forwarded-for", "203.0.113.5", "--forwarded", "for=198.51.100.7"],
            "198.51.100.7, entry 1 from the right of Forwarded",
        ),
    ] {
        let said = told(arguments);
        wrong.unless(said.contains(expected), || format!("{arguments:?}: {said}"));
    }
    wrong.none("an explanation of the client");
}
