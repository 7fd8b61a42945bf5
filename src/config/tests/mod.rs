//! The whole configuration, as an operator meets it: what is accepted, and what each mistake prints.

use std::{net::IpAddr, time::Duration};

use http::Method;
use proptest::prelude::*;

use super::*;

mod acme;
mod environment;
mod mistakes;
mod shapes;

const ROUTED: &str = r#"
[[upstream]]
name = "scanner"
targets = ["http://127.0.0.1:9000"]

[[route]]
name = "scans"
path = "/v1/scans/{*rest}"
upstream = "scanner"
"#;

fn load(text: &str) -> Result<Loaded, ConfigErrors> {
    load_with(text, &Environment::empty())
}

fn load_with(text: &str, environment: &Environment) -> Result<Loaded, ConfigErrors> {
    Config::from_toml(text, Path::new("/etc/latchgate/latchgate.toml"), environment)
}

fn config(text: &str) -> Config {
    load(text).unwrap_or_else(|errors| panic!("{errors}")).config
}

/// What is printed, without the file's name and the examples; the examples are checked to be TOML.
fn faults(text: &str) -> Vec<String> {
    faults_with(text, &Environment::empty())
}

fn faults_with(text: &str, environment: &Environment) -> Vec<String> {
    let errors = load_with(text, environment).expect_err("must be refused");
    let mut lines = Vec::new();
    for error in errors.iter() {
        assert!(error.example.parse::<Table>().is_ok(), "not a valid example: {}", error.example);
        let variable = error.variable.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
        lines.push(format!("{}{variable}: {}", error.key, error.problem));
    }
    lines
}

/// Everything but the profile, which is compared by name.
fn sections(config: &Config) -> impl PartialEq + std::fmt::Debug {
    // A section that is added must be compared too.
    let Config {
        origin: _,
        profile: _,
        listen,
        tls,
        store,
        keys,
        auth,
        sessions,
        limits,
        rate_limit,
        identity,
        upstreams,
        routes,
        jwt,
        oidc,
        outbound,
        hosts,
        mail,
        webhooks,
        invitations,
        audit,
        log,
    } = config;
    let beside = (tls, jwt, oidc, outbound, hosts, mail, webhooks, invitations, audit, log);
    (listen, store, keys, auth, sessions, limits, rate_limit, identity, upstreams, routes, beside)
}

#[test]
fn the_shipped_file_shows_every_default() {
    let shipped = include_str!("../../../config/latchgate.toml");
    let (shown, default) = (config(shipped), config(ROUTED));
    assert_eq!(sections(&shown), sections(&default));
    assert_eq!(shown.profile.name, default.profile.name);
    assert_eq!(load(shipped).unwrap().warnings, []);
}

#[test]
fn the_shipped_file_shows_every_key() {
    let shipped = include_str!("../../../config/latchgate.toml");
    // The comment of an optional key is its TOML: with it uncommented, it must still load.
    let uncommented = shipped
        .lines()
        .map(|line| {
            let comment =
                line.strip_prefix("# ").filter(|rest| OPTIONAL.iter().any(|key| rest.starts_with(key)));
            comment.unwrap_or(line)
        })
        .collect::<Vec<_>>()
        .join("\n");
    let full = config(&uncommented);
    let route = &full.routes[0];
    assert!(full.listen.public_url.is_some() && route.host.is_some() && full.mail.is_some());
    assert!(full.jwt.len() == 1 && full.oidc.is_some() && full.outbound.ca.is_some());
    assert!(full.tls.is_some_and(|tls| tls.acme.is_some()));
    // A probe with an unknown key in each section names all known ones; each must stand in the shipped file.
    for header in SECTIONS {
        let known = faults(&format!("{header}\nzzzzzzzz = 1\n"));
        let line = known.iter().find(|line| line.contains("zzzzzzzz")).unwrap();
        let (_, known) = line.split_once("known here: ").unwrap();
        for key in known.split(", ").filter(|key| !SECTIONS.iter().any(|header| header.contains(key))) {
            assert!(
                uncommented.contains(&format!("{key} = ")),
                "{header} {key} is not in config/latchgate.toml"
            );
        }
    }
}

const OPTIONAL: &[&str] = &[
    "public_url =",
    "host =",
    "require =",
    "[[jwt]]",
    "issuer =",
    "audience =",
    "jwks_url =",
    "refresh =",
    "claims =",
    "[oidc]",
    "client_id =",
    "client_secret_file =",
    "scopes =",
    "ca =",
    "[[tls.certificate]]",
    "cert =",
    "key =",
    "[tls.acme]",
    "domains =",
    "contact =",
    "directory =",
    "directory_ca =",
    "storage =",
    "accept_terms =",
    "challenge =",
    "external_account =",
    "tls =",
    "health =",
    "[mail]",
    "url = \"smtp:",
    "from =",
];

const SECTIONS: &[&str] = &[
    "",
    "[listen]",
    "[tls]",
    "[[tls.certificate]]",
    "[tls.acme]",
    "[tls.acme.external_account]",
    "[store]",
    "[keys]",
    "[auth]",
    "[auth.failures_per_minute]",
    "[sessions]",
    "[limits]",
    "[rate_limit]",
    "[identity]",
    "[[upstream]]",
    "[[upstream]]\n[upstream.timeouts]",
    "[[upstream]]\n[upstream.tls]",
    "[[upstream]]\n[upstream.health]",
    "[[route]]",
    "[mail]",
    "[invitations]",
    "[[jwt]]",
    "[[jwt]]\n[jwt.claims]",
    "[oidc]",
    "[outbound]",
    "[[webhook]]",
    "[audit]",
    "[log]",
];

#[test]
fn nothing_written_is_loopback_and_warned_about_as_empty() {
    let loaded = load("").unwrap();
    assert_eq!(loaded.config.listen.gateway.to_string(), "127.0.0.1:8080");
    assert_eq!(loaded.config.store.url.path(), Path::new("/etc/latchgate/latchgate.db"));
    assert_eq!(
        loaded.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["route: there is none: every request is answered with 404"]
    );
}
