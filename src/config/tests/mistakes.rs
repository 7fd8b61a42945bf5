//! What each wrong value prints.

use super::*;

#[test]
fn a_fault_prints_file_key_cause_and_example() {
    let errors = load("[auth]\ncache_capacity = 0\nrevocation_bond = \"5s\"\n").unwrap_err();
    assert_eq!(
        errors.to_string(),
        "/etc/latchgate/latchgate.toml: auth.cache_capacity: 0 is not from 1 to 100000000\n\
         \x20 for example:\n\
         \x20   [auth]\n\
         \x20   cache_capacity = 100000\n\
         /etc/latchgate/latchgate.toml: auth.revocation_bond: is not a key of this version; did you mean \
         `revocation_bound`?; known here: cache_capacity, revocation_bound, max_staleness, failures_per_minute"
    );
}

/// One line wrong in an otherwise good section, and what is said about it.
#[test]
fn each_wrong_value_is_named_with_its_cause() {
    let cases = [
        ("listen.gateway = \"localhost:80\"", "listen.gateway: \"localhost:80\" is not an address and port"),
        ("listen.gateway = 8080", "listen.gateway: expected text in quotes, found a whole number"),
        ("listen.workers = -1", "listen.workers: -1 is not from 0 to 1024"),
        (
            "listen.ops = \"0.0.0.0:8081\"",
            "listen.ops: 0.0.0.0:8081 collides with listen.admin (127.0.0.1:8081)",
        ),
        (
            "listen.ext_authz = \"[::]:8082\"",
            "listen.ext_authz: [::]:8082 collides with listen.ops (127.0.0.1:8082)",
        ),
        ("listen.ext_authz = \"8083\"", "listen.ext_authz: \"8083\" is not an address and port"),
        ("identity.assertion = \"yes\"", "identity.assertion: expected true or false"),
        (
            "listen.trusted_proxies = [\"10.0.0.0/8\", \"ten\"]",
            "listen.trusted_proxies[1]: \"ten\" is not a network",
        ),
        (
            "listen.client_ip_header = \"x-real-ip\"",
            "listen.client_ip_header: \"x-real-ip\" is not x-forwarded-for or forwarded",
        ),
        ("listen.trusted_proxies = [\"10.1.0.0/8\"]", "bits beyond its prefix; did you mean \"10.0.0.0/8\"?"),
        ("listen.public_url = \"gate.example.com\"", "must begin with https://"),
        ("listen.public_url = \"https://gate.example.com/x\"", "must not have a path"),
        ("listen.public_url = \"https://gate.example.com/#x\"", "must be a scheme and a host alone"),
        (
            "listen.redirect = \"127.0.0.1:8080\"",
            "listen.redirect: 127.0.0.1:8080 collides with listen.gateway (127.0.0.1:8080)",
        ),
        (
            "listen.redirect = \"127.0.0.1:80\"\nlisten.public_url = \"http://gate.example.com\"",
            "listen.redirect: leads to https, and listen.public_url begins with http://",
        ),
        ("listen.proxy_protocol = true", "listen.proxy_protocol: needs trusted_proxies"),
        ("limits.connections_per_ip = -1", "limits.connections_per_ip: -1 is not from 0"),
        ("limits.max_requests = \"many\"", "limits.max_requests: expected a whole number"),
        (
            "store.url = \"postgres://u:hunter2@db/x\"",
            "store.url: PostgreSQL is not supported in this version",
        ),
        ("store.url = \"mysql://u:hunter2@db/x\"", "store.url: must begin with sqlite://"),
        ("store.url = \"sqlite://:memory:\"", "store.url: must name a file"),
        ("store.url = \"sqlite://a.db?mode=ro\"", "store.url: takes a file name alone, without options"),
        ("store.secret_file = \"\"", "store.secret_file: must name a file"),
        ("store.secret_file = \"latchgate.db\"", "store.secret_file: is the same file as the database"),
        ("keys.bcrypt_cost = 3", "keys.bcrypt_cost: 3 is not from 4 to 14"),
        (
            "keys.rotation_grace = 48",
            "keys.rotation_grace: expected text in quotes, found a whole number; a duration",
        ),
        ("keys.rotation_grace = \"48 hours\"", "keys.rotation_grace: \"48 hours\" is not a duration"),
        ("auth.max_staleness = \"0s\"", "auth.max_staleness: must be longer than zero"),
        (
            "auth.revocation_bound = \"1h\"",
            "auth.revocation_bound: 1h is longer than auth.max_staleness (15m)",
        ),
        ("auth.failures_per_minute = { ip = 0 }", "auth.failures_per_minute.ip: 0 is not from 1 to 1000000"),
        ("auth.failures_per_minute = 60", "auth.failures_per_minute: expected a table, found a whole number"),
        ("limits.header_bytes = \"4KiB\"", "limits.header_bytes: 4KiB is not from 8KiB to 1MiB"),
        ("limits.body_bytes = \"1 parsec\"", "limits.body_bytes: \"1 parsec\" is not a size"),
        ("limits.request_timeout = \"0ms\"", "limits.request_timeout: must be longer than zero"),
        ("limits.h2_streams = 0", "limits.h2_streams: 0 is not from 1 to 10000"),
        (
            "rate_limit.backend = \"redis://:hunter2@r\"",
            "rate_limit.backend: Redis is not supported in this version",
        ),
        ("rate_limit.default_per_minute = -1", "rate_limit.default_per_minute: -1 is not from 0"),
        ("identity.tenant = \"Host\"", "identity.tenant: `host` has a meaning of its own"),
        ("identity.team = \"Content_Length\"", "identity.team: `content_length` has a meaning of its own"),
        ("identity.team = \"X Team\"", "identity.team: \"X Team\" is not a header name"),
        ("identity.team = \"\"", "identity.team: \"\" is not a header name"),
        (
            "identity.user = \"x_tenant_id\"",
            "identity.user: `x_tenant_id` is also the header of identity.tenant",
        ),
        ("identity.assertion = \"yes\"", "identity.assertion: expected true or false, found text"),
        ("log.level = \"loud\"", "log.level: \"loud\" is not error, warn, info, debug or trace"),
        ("log.access = \"yes\"", "log.access: expected true or false, found text"),
        ("limts.max_connections = 1", "limts: is not a key of this version; did you mean `limits`?"),
        ("tls.admin = true", "tls.admin: needs TLS, and there is no [[tls.certificate]] and no [tls.acme]"),
        ("tls.min_version = \"1.1\"", "tls.min_version: is a version that is not safe to speak"),
        ("tls.min_version = \"1\"", "tls.min_version: \"1\" is not 1.2 or 1.3"),
        ("tls.client_auth = \"always\"", "tls.client_auth: \"always\" is not none, optional or required"),
        ("tls.client_auth = \"required\"", "tls.client_auth: needs client_ca"),
        ("[[tls.certificate]]\ncert = \"a\"", "tls.certificate[0].key: is missing"),
        ("[[tls.certificate]]\ncert = \"\"\nkey = \"k\"", "tls.certificate[0].cert: must not be empty"),
        ("listen = 1", "listen: expected a table, found a whole number"),
        ("route = 1", "route: is written as [[route]], once for each"),
        ("route = [1]", "route[0]: expected a table, found a whole number"),
    ];
    each_is_named(&cases);
}

#[test]
fn each_wrong_value_of_mail_and_invitations_is_named() {
    each_is_named(&[
        ("mail.url = \"smtp://mail.example.com\"", "mail.from: is missing"),
        ("mail.from = \"gate@example.com\"", "mail.url: is missing"),
        (
            "mail = { url = \"mail.example.com\", from = \"a@b.example\" }",
            "mail.url: must begin with smtp://",
        ),
        ("mail = { url = \"smtp://:hunter2@\", from = \"a@b.example\" }", "mail.url: is not a URL of a mail"),
        (
            "mail = { url = \"smtp://hunter2@h\", from = \"a@b.example\" }",
            "mail.url: has a name but no password",
        ),
        (
            "mail = { url = \"smtp://u:hunter2@h/x\", from = \"a@b.example\" }",
            "mail.url: must not have a path",
        ),
        ("mail = { url = \"smtp://u:%zz@h\", from = \"a@b.example\" }", "not valid percent-encoding"),
        ("mail = { url = \"smtp://h?tls=no\", from = \"a@b.example\" }", "mail.url: takes ?tls=required"),
        (
            "mail = { url = \"smtps://h?tls=none\", from = \"a@b.example\" }",
            "mail.url: smtps:// takes no options",
        ),
        ("mail = { url = \"file:\", from = \"a@b.example\" }", "mail.url: must name a folder"),
        ("mail = { url = \"file:o\", from = \"gate\" }", "mail.from: \"gate\" is not an address"),
        ("mail = { url = \"file:o\", from = \"a\\n <a@b.example>\" }", "is not an address"),
        ("invitations.expires = \"0s\"", "invitations.expires: must be longer than zero"),
        (
            "invitations.allowed_domains = [\"example.com\", \"*.example.com\"]",
            "invitations.allowed_domains[1]: \"*.example.com\": expected a domain",
        ),
        ("invitations.allowed_domains = [\"@example.com\"]", "without @ and wildcards"),
    ]);
}

pub(super) fn each_is_named(cases: &[(&str, &str)]) {
    for (line, said) in cases {
        let faults = faults(line);
        assert_eq!(faults.len(), 1, "{line}: {faults:?}");
        assert!(faults[0].contains(said), "{line}:\n  said {:?}\nexpected {said:?}", faults[0]);
        assert!(!faults[0].contains("hunter2"), "{line} prints a password");
    }
}

#[test]
fn each_wrong_upstream_is_named() {
    let cases = [
        ("", "upstream[0].targets: is missing"),
        ("targets = []", "upstream[0].targets: is empty"),
        ("targets = [\"http://\"]", "upstream[0].targets[0]: \"http://\" names no host"),
        ("targets = [\"127.0.0.1:9000\"]", "does not begin with http://, https:// or unix:/"),
        ("targets = [\"unix:run/app.sock\"]", "is not unix: and the whole path of a socket"),
        ("targets = [\"https://127.0.0.1:8080\"]", "is the gateway itself (listen.gateway"),
        ("targets = [\"http://a.example/base\"]", "is more than a host and a port"),
        ("targets = [\"http://u:hunter2@a.example\"]", "must not hold a user name"),
        ("targets = [\"http://a.example:0\"]", "is not a host and a port"),
        ("targets = [\"http://a.example:99999\"]", "is not a host and a port"),
        ("targets = [\"http://127.1:80\"]", "is not a host and a port"),
        ("targets = [\"http://a\", \"http://A:80\"]", "upstream[0].targets: http://a stands there twice"),
        (
            "targets = [\"http://127.0.0.1:8080\"]",
            "is the gateway itself (listen.gateway = \"127.0.0.1:8080\")",
        ),
        (
            "targets = [\"http://localhost:8081\"]",
            "is the gateway itself (listen.admin = \"127.0.0.1:8081\")",
        ),
        ("targets = [\"http://[::ffff:127.0.0.1]:8082\"]", "is the gateway itself (listen.ops"),
        ("targets = [\"http://0.0.0.0:8082\"]", "is the gateway itself (listen.ops"),
        ("targets = [\"http://a\"]\nbalance = \"least_requests\"", "did you mean `least_request`?"),
        (
            "targets = [\"http://a\"]\ntimeouts.connect = \"0s\"",
            "upstream[0].timeouts.connect: must be longer",
        ),
        ("targets = [\"http://a\"]\nretries = 11", "upstream[0].retries: 11 is not from 0 to 10"),
        ("targets = [\"http://a\"]\nhealth = {}", "upstream[0].health.path: is missing"),
        (
            "targets = [\"http://a\"]\nhealth = { path = \"x\" }",
            "upstream[0].health.path: \"x\" is not a path",
        ),
        (
            "targets = [\"http://a\"]\nhealth = { path = \"/\", unhealthy_after = 0 }",
            "upstream[0].health.unhealthy_after: 0 is not from 1 to 1000",
        ),
        ("targets = [\"http://a\"]\nprotocol = \"h3\"", "\"h3\" is not http1 or h2"),
        (
            "targets = [\"https://a\"]\ntls.server_name = \"a b\"",
            "upstream[0].tls.server_name: \"a b\" is no host name and no address",
        ),
    ];
    for (lines, said) in cases {
        let faults = faults(&format!("[[upstream]]\nname = \"one\"\n{lines}"));
        assert!(
            faults.iter().any(|fault| fault.contains(said)),
            "{lines}:\n  said {faults:?}\nexpected {said:?}"
        );
        assert!(!faults.concat().contains("hunter2"), "{lines} prints a password");
    }
}

#[test]
fn each_wrong_route_is_named() {
    let path = |path: &str| format!("path = {path:?}");
    let cases = [
        (path("v1"), "route[1].path: \"v1\" does not begin with a slash"),
        (path("/a//b"), "holds an empty segment (//)"),
        (path("/a/../b"), "holds the dot segment \"..\""),
        (path("/a/..;x/b"), "holds the dot segment"),
        (path("/a%2fb"), "percent-encodings are not matched"),
        (path("/a?b"), "a route is chosen by its path alone"),
        (path("/a#b"), "a route is chosen by its path alone"),
        (path("/a\\b"), "it cannot stand in a path"),
        (path("/é"), "it cannot stand in a path"),
        (path("/*"), "the remainder is written {*rest}"),
        (path("/{*rest}/b"), "so it must be last"),
        (path("/{a}/{a}"), "names {a} twice"),
        (path("/x{a}"), "a parameter is a whole segment"),
        (path("/{}"), "\"\" is not a parameter's name"),
        (path("/.latchgate/decide"), "lies below /.latchgate/"),
        (path("/.latchgate;x/whoami"), "lies below /.latchgate/"),
        (path("/.Latchgate"), "lies below /.latchgate/"),
        (path("/v1/scans/{*other}"), "route[1].path: matches what the earlier route \"scans\" matches"),
        (String::new(), "route[1].path: is missing"),
        (
            "path = \"/b\"\nupstream = \"scaner\"".to_owned(),
            "no [[upstream]] named \"scaner\"; did you mean `scanner`?",
        ),
        (
            "path = \"/b\"\nupstream = \"@admin\"".to_owned(),
            "\"@admin\" is nothing of the gateway's; \"@control\" is the admin API",
        ),
        (
            "path = \"/b\"\nname = \"scans\"".to_owned(),
            "route[1].name: \"scans\" is the name of an earlier route",
        ),
        ("path = \"/b\"\nname = \"two words\"".to_owned(), "route[1].name: \"two words\" is not a name"),
        (
            "path = \"/b\"\nhost = \"a.example:80\"".to_owned(),
            "route[1].host: \"a.example:80\": a port is not compared",
        ),
        ("path = \"/b\"\nhost = \"*.example\"".to_owned(), "wildcards are not matched"),
        ("path = \"/b\"\nhost = \"bücher.example\"".to_owned(), "write it in its ASCII form"),
        ("path = \"/b\"\ncredentials = []".to_owned(), "names no kind that is accepted"),
        (
            "path = \"/b\"\ncredentials = [\"apikey\"]".to_owned(),
            "route[1].credentials[0]: \"apikey\" is not a kind",
        ),
        ("path = \"/b\"\ncredentials = [\"none\", \"api_key\"]".to_owned(), "so it stands alone"),
        ("path = \"/b\"\ncredentials = [\"api_key\", \"api_key\"]".to_owned(), "names api_key twice"),
        (
            "path = \"/b\"\ncredentials = [\"none\"]\nrequire = \"scan:read\"".to_owned(),
            "route[1].require: cannot be met on a public route",
        ),
        ("path = \"/b\"\nrequire = {}".to_owned(), "route[1].require: is empty"),
        (
            "path = \"/b\"\nrequire = 1".to_owned(),
            "route[1].require: expected a permission in quotes, or a table",
        ),
        (
            "path = \"/b\"\nrequire = { get = \"scan:read\" }".to_owned(),
            "require.get: methods are written in capitals",
        ),
        ("path = \"/b\"\nrequire = { TRACE = \"scan:read\" }".to_owned(), "require.TRACE: is never served"),
        ("path = \"/b\"\nrequire = { \"G T\" = \"scan:read\" }".to_owned(), "\"G T\" is not a method"),
        ("path = \"/b\"\nrequire = { GET = 1 }".to_owned(), "require.GET: expected a permission in quotes"),
        (
            "path = \"/{t}\"\nteam = \"t\"".to_owned(),
            "route[1].team: \"t\" is not a path parameter in braces",
        ),
        ("path = \"/{t}\"\nteam = \"{x}\"".to_owned(), "\"/{t}\" has no parameter {x}; did you mean `t`?"),
        ("path = \"/{*t}\"\nteam = \"{t}\"".to_owned(), "\"/{*t}\" has no parameter {t}"),
        (
            "path = \"/{t}\"\nteam = \"{t}\"\nproject = \"{t}\"".to_owned(),
            "names the same path parameter as team",
        ),
        ("path = \"/b\"\ncors = true".to_owned(), "route[1].cors: is not a key of this version"),
    ];
    for (lines, said) in cases {
        let mut text = format!("{ROUTED}\n[[route]]\n{lines}\n");
        for (key, value) in [("name =", "name = \"other\"\n"), ("upstream =", "upstream = \"scanner\"\n")] {
            if !lines.contains(key) {
                text.push_str(value);
            }
        }
        let faults = faults(&text);
        assert!(
            faults.iter().any(|fault| fault.contains(said)),
            "{lines}:\n  said {faults:?}\nexpected {said:?}"
        );
    }
}

#[test]
fn a_refused_upstream_is_not_blamed_on_its_routes() {
    let text = ROUTED.replace("http://127.0.0.1:9000", "ftp://x");
    assert_eq!(
        faults(&text),
        ["upstream[0].targets[0]: \"ftp://x\" does not begin with http://, https:// or unix:/"]
    );
}

#[test]
fn each_wrong_issuer_is_named() {
    let cases = [
        (
            "",
            vec![
                "jwt[0].issuer: is missing",
                "jwt[0].audience: is missing",
                "jwt[0].jwks_url: is missing, and so is",
            ],
        ),
        ("issuer = \"\"", vec!["jwt[0].issuer: must not be empty"]),
        ("issuer = \" x\"", vec!["jwt[0].issuer: \" x\" has blanks around it"]),
        ("jwks_url = \"http://idp.example.com/k\"", vec!["jwt[0].jwks_url: ", "must begin with https://"]),
        ("jwks_url = \"ftp://idp.example.com/k\"", vec!["must begin with https://"]),
        ("jwks_url = \"https://u:p@idp.example.com/k\"", vec!["no user name"]),
        ("jwks_url = \"/k\"", vec!["must begin with https://"]),
        ("jwks_url = \"https://i/k\"\njwks_file = \"k\"", vec!["jwt[0].jwks_file: and jwks_url both say"]),
        ("refresh = \"100ms\"", vec!["jwt[0].refresh: 100ms is not from 1s to 24h"]),
        ("claims = { mail = \"x\" }", vec!["jwt[0].claims.mail: is not a key of this version"]),
        ("secret = \"x\"", vec!["jwt[0].secret: is not a key of this version"]),
    ];
    for (lines, said) in cases {
        let faults = faults(&format!("[[jwt]]\n{lines}\n")).join("\n");
        for said in said {
            assert!(faults.contains(said), "{lines}:\n{faults}\n{said}");
        }
    }
    let one = "[[jwt]]\nissuer = \"i\"\naudience = \"a\"\njwks_file = \"k\"\n";
    assert_eq!(faults(&one.repeat(2)), ["jwt[1].issuer: \"i\" stands in an earlier [[jwt]]"]);
    for local in
        ["http://localhost:9/k", "http://127.0.0.1/k", "http://[::1]:9/k", "https://idp.example.com/k"]
    {
        let at = format!("[[jwt]]\nissuer = \"i\"\naudience = \"a\"\njwks_url = \"{local}\"\n");
        assert_eq!(config(&at).jwt.len(), 1, "{local}");
    }
}

#[test]
fn each_wrong_provider_is_named() {
    let cases = [
        ("", vec!["oidc.issuer: is missing", "oidc.client_id: is missing"]),
        ("issuer = \"http://idp.example.com\"", vec!["oidc.issuer: "]),
        ("issuer = \"https://idp.example.com?x=1\"", vec!["oidc.issuer: must have no query"]),
        ("scopes = [\"openid\"]", vec!["oidc.scopes: must hold \"email\""]),
        ("scopes = [\"openid email\"]", vec!["oidc.scopes[0]: \"openid email\" is not a scope"]),
        ("client_secret = \"hunter2\"", vec!["oidc.client_secret: is not a key of this version"]),
    ];
    for (lines, said) in cases {
        let faults = faults(&format!("[oidc]\n{lines}\n")).join("\n");
        for said in said {
            assert!(faults.contains(said), "{lines}:\n{faults}\n{said}");
        }
        assert!(!faults.contains("hunter2"), "{faults}");
    }
    assert_eq!(config(ROUTED).oidc, None);
}
