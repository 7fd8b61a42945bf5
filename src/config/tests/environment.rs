//! What the environment overrides, and how it can be wrong.

use super::*;

#[test]
fn the_environment_overrides_by_the_type_of_the_key() {
    let environment = Environment::empty()
        .with("LATCHGATE_TOKEN", "osk_secret")
        .with("LATCHGATE_PORT", "tcp://10.0.0.1:80")
        .with("LATCHGATE_LISTEN__GATEWAY", "127.0.0.1:0")
        .with("LATCHGATE_LISTEN__TRUSTED_PROXIES", "[\"10.0.0.0/8\", \"::ffff:192.0.2.0/120\"]")
        .with("LATCHGATE_AUTH__CACHE_CAPACITY", "5")
        .with("LATCHGATE_AUTH__FAILURES_PER_MINUTE__IP", "7")
        .with("LATCHGATE_LIMITS__BODY_BYTES", "1MiB")
        .with("LATCHGATE_LOG__ACCESS", "false")
        .with("LATCHGATE_ROUTE__0__HOST", "A.example")
        .with("LATCHGATE_ROUTE__0__REQUIRE__GET", "scan:read");
    let config = load_with(ROUTED, &environment).unwrap().config;
    assert_eq!(config.listen.gateway.port(), 0);
    assert_eq!(config.auth.cache_capacity.get(), 5);
    assert_eq!(config.auth.failures_per_minute.ip.get(), 7);
    assert_eq!(config.limits.body_bytes.map(std::num::NonZeroU64::get), Some(1 << 20));
    assert!(!config.log.access);
    assert_eq!(config.routes[0].host.as_deref(), Some("a.example"));
    assert_eq!(config.routes[0].require.of(&Method::POST), Needed::NotServed);
    let peer = |text: &str| text.parse::<IpAddr>().unwrap();
    assert!(config.listen.trusted_proxies.contains(peer("::ffff:10.1.2.3")));
    assert!(config.listen.trusted_proxies.contains(peer("192.0.2.9")));
    assert!(!config.listen.trusted_proxies.contains(peer("192.0.3.9")));
    assert!(!format!("{environment:?}").contains("osk_secret"));
}

#[test]
fn a_wrong_variable_is_named() {
    let cases = [
        ("LATCHGATE_AUTH__CASH_CAPACITY", "5", "did you mean `cache_capacity`?"),
        ("LATCHGATE_AUHT__CACHE_CAPACITY", "5", "auht (LATCHGATE_AUHT__CACHE_CAPACITY): is not a key"),
        (
            "LATCHGATE_AUTH__CACHE_CAPACITY",
            "many",
            "auth.cache_capacity (LATCHGATE_AUTH__CACHE_CAPACITY): expected a",
        ),
        (
            "LATCHGATE_LISTEN__TRUSTED_PROXIES",
            "10.0.0.0/8",
            "(LATCHGATE_LISTEN__TRUSTED_PROXIES): is not TOML",
        ),
        ("LATCHGATE_LISTEN__TRUSTED_PROXIES", "[]\n[auth]", "(LATCHGATE_LISTEN__TRUSTED_PROXIES): "),
        ("LATCHGATE_ROUTE__1__HOST", "a", "`route` is a list of 1, so `1` must be a number below that"),
        ("LATCHGATE_ROUTE__0__HOST__X", "a", "route[0].host"),
        (
            "LATCHGATE_STORE__URL_FILE",
            "/nonexistent/url",
            "LATCHGATE_STORE__URL_FILE: names /nonexistent/url",
        ),
        (
            "LATCHGATE_UPSTREAM__0__TARGETS",
            "[]",
            "upstream[0].targets (LATCHGATE_UPSTREAM__0__TARGETS): is empty",
        ),
        ("LATCHGATE___", "1", "LATCHGATE___"),
    ];
    for (name, value, said) in cases {
        let faults = faults_with(ROUTED, &Environment::empty().with(name, value));
        assert!(
            faults.iter().any(|fault| fault.contains(said)),
            "{name}:\n  said {faults:?}\nexpected {said:?}"
        );
        assert!(faults.iter().any(|fault| fault.contains(name)), "{name} is not named in {faults:?}");
    }
}

#[test]
fn a_secret_comes_from_its_file_and_never_from_both() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("url");
    fs::write(&file, "sqlite:///srv/keys.db\n").unwrap();
    let environment = Environment::empty().with("LATCHGATE_STORE__URL_FILE", file.as_os_str());
    let config = load_with("", &environment).unwrap().config;
    assert_eq!(config.store.url.path(), Path::new("/srv/keys.db"));

    let both = environment.with("LATCHGATE_STORE__URL", "sqlite://other.db");
    assert_eq!(
        faults_with("", &both),
        ["LATCHGATE_STORE__URL_FILE: and LATCHGATE_STORE__URL both give store.url: set one of them"]
    );
}
