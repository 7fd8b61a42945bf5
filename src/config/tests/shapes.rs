//! Profiles, permissions, hostile files, and values in the forms that people write.

use super::*;

#[test]
fn a_profile_is_named_or_a_file_and_rules_the_permissions() {
    assert_eq!(
        faults("profile = \"offlaod\""),
        [
            "profile: \"offlaod\" is not one of offload, cortex, trustedoss, reducto, nor the path of a .toml file; \
         did you mean `offload`?"
        ]
    );
    let missing = faults("profile = \"missing.toml\"");
    assert!(missing[0].starts_with("profile: names /etc/latchgate/missing.toml, which cannot be read"));
    let unknown = faults(&format!("{ROUTED}require = \"scan:raed\"\n"));
    assert_eq!(
        unknown,
        [
            "route[0].require: \"scan:raed\" is not a permission of the profile offload; did you mean `scan:read`?"
        ]
    );

    let folder = tempfile::tempdir().unwrap();
    let own = Profile::shipped("reducto").unwrap();
    fs::write(folder.path().join("own.toml"), own).unwrap();
    fs::write(folder.path().join("broken.toml"), "name = 1\n").unwrap();
    let from = |profile: &str| {
        let text = format!("profile = {profile:?}\n");
        Config::from_toml(&text, &folder.path().join("latchgate.toml"), &Environment::empty())
    };
    assert_eq!(&*from("own.toml").unwrap().config.profile.name, "reducto");
    let broken = from("broken.toml").unwrap_err().to_string();
    assert!(broken.contains("broken.toml: name: "), "{broken}");
}

#[test]
fn the_file_overrides_the_profile_everywhere() {
    let config = config("keys.rotation_grace = \"1h\"");
    assert_eq!(config.keys.rotation_grace, Duration::from_secs(3600));
    assert_eq!(config.profile.keys.rotation_grace, Duration::from_secs(3600));
}

#[test]
fn permissions_follow_the_method_and_head_follows_get() {
    let with = |require: &str| config(&format!("{ROUTED}{require}")).routes.swap_remove(0).require;
    let listed = with(r#"require = { GET = "scan:read", "*" = "scan:manage" }"#);
    assert_eq!(listed.of(&Method::HEAD), listed.of(&Method::GET));
    assert_ne!(listed.of(&Method::DELETE), listed.of(&Method::GET));
    assert_eq!(listed.of(&Method::TRACE), Needed::NotServed);
    assert_eq!(listed.served(), None);

    let only_get = with(r#"require = { GET = "scan:read" }"#);
    assert_eq!(only_get.of(&Method::POST), Needed::NotServed);
    assert_eq!(only_get.served(), Some(vec!["GET", "HEAD"]));
    assert!(matches!(with(r#"require = "scan:read""#).of(&Method::PATCH), Needed::Permission(_)));
    assert_eq!(with("").of(&Method::PATCH), Needed::Credential);
}

#[test]
fn a_file_that_cannot_be_read_or_parsed_is_one_fault() {
    let missing = Config::load(Path::new("/nonexistent/latchgate.toml"), &Environment::empty()).unwrap_err();
    assert!(missing.to_string().starts_with("/nonexistent/latchgate.toml: cannot be read: No such file"));
    let broken = faults("[store]\nurl = \"sqlite://hunter2.db\n");
    assert!(broken[0].contains("line 2, column") && !broken[0].contains("hunter2"), "{broken:?}");
    let twice = faults("[store]\n[store]\n");
    assert!(twice[0].contains("line 2, column"), "{twice:?}");
    for (text, told) in [
        ("[store]\n\n[log]\n[store]\n", "[store] stands here for the second time: see line 1"),
        (
            "[log]\nlevel = \"x\"\n[store]\nurl = \"a\"\nurl = \"hidden\"\n",
            "url stands here for the second time: see line 4",
        ),
        ("a = 1\n[x]\na = 1\na = 2\n", "a stands here for the second time: see line 3"),
    ] {
        let faults = faults(text);
        assert!(faults[0].contains(told) && !faults[0].contains("hidden"), "{faults:?}");
    }
}

#[test]
fn hostile_sizes_are_refused_without_a_stack_or_memory_overflow() {
    assert!(load(&format!("a = {}", "[".repeat(200_000))).is_err());
    assert!(load(&format!("{}a = 1", "a.".repeat(200_000))).is_err());
    let deep = Environment::empty()
        .with("LATCHGATE_LISTEN__TRUSTED_PROXIES", "[".repeat(200_000))
        .with(format!("LATCHGATE_A{}", "__A".repeat(20_000)), "1");
    assert_eq!(faults_with("", &deep).len(), 2);
    let endless = Config::load(Path::new("/dev/zero"), &Environment::empty()).unwrap_err();
    assert!(endless.to_string().contains("it has more than 4194304 bytes"));
}

#[test]
fn odd_but_allowed_values_are_warned_about() {
    let text = format!(
        "keys.bcrypt_cost = 4\nsessions.insecure_cookie = true\nlisten.trusted_proxies = [\"0.0.0.0/0\"]\n{ROUTED}"
    );
    let keys: Vec<String> = load(&text).unwrap().warnings.into_iter().map(|warning| warning.key).collect();
    assert_eq!(keys, ["listen.trusted_proxies", "keys.bcrypt_cost", "sessions.insecure_cookie"]);
}

#[test]
fn only_what_is_bound_at_the_start_needs_a_restart() {
    let old = config(ROUTED);
    let changed =
        "listen.gateway = \"127.0.0.1:9\"\nstore.url = \"sqlite://b.db\"\nauth.max_staleness = \"1h\"\n";
    let new = config(&format!("{changed}{ROUTED}host = \"a.example\"\n"));
    assert_eq!(old.differences_needing_restart(&new), ["listen.gateway", "store.url", "auth"]);
    assert_eq!(old.differences_needing_restart(&old), [""; 0]);
}

/// What is not said about a mail server is safe: TLS from or to another machine, and never a password in print.
#[test]
fn mail_servers_are_spoken_to_by_tls_unless_they_are_here() {
    for (url, host, port, tls) in [
        ("smtp://mail.example.com", "mail.example.com", 587, SmtpTls::Required),
        ("smtp://mail.example.com:25?tls=required", "mail.example.com", 25, SmtpTls::Required),
        ("smtp://mail.example.com?tls=none", "mail.example.com", 587, SmtpTls::None),
        ("smtp://u:p%20%40@10.0.0.1?tls=opportunistic", "10.0.0.1", 587, SmtpTls::Opportunistic),
        ("smtps://u:hunter2@mail.example.com", "mail.example.com", 465, SmtpTls::Wrapped),
        ("smtp://127.0.0.1", "127.0.0.1", 25, SmtpTls::None),
        ("smtp://localhost:2525?tls=required", "localhost", 2525, SmtpTls::Required),
        ("smtp://[::1]", "::1", 25, SmtpTls::None),
    ] {
        let loaded =
            load(&format!("{ROUTED}[mail]\nurl = {url:?}\nfrom = \"Gate <g@example.com>\"\n")).unwrap();
        let mail = loaded.config.mail.clone().unwrap();
        let MailWay::Smtp(smtp) = &mail.way else { panic!("{url}") };
        assert_eq!((smtp.host.as_str(), smtp.port, smtp.tls), (host, port, tls), "{url}");
        assert!(!format!("{:?}", loaded.config).contains("hunter2"), "{url}");
        let warned = loaded.warnings.iter().any(|warning| warning.key == "mail.url");
        assert_eq!(warned, url.contains("=none") || url.contains("=opportunistic"), "{url}");
        assert_eq!(mail.from.name.as_deref(), Some("Gate"));
    }
}

#[test]
fn targets_are_kept_in_one_form() {
    let text = "[[upstream]]\nname = \"a\"\ntargets = [\"http://LOCALHOST:80/\", \"http://[::1]:90\", \"http://db_1:7\", \
                \"https://A.example:443\", \"https://192.0.2.1:80\", \"unix:/run/app.sock\"]";
    let targets = &config(text).upstreams[0].targets;
    let shown: Vec<String> = targets.iter().map(ToString::to_string).collect();
    let expected = [
        "http://localhost",
        "http://[::1]:90",
        "http://db_1:7",
        "https://a.example",
        "https://192.0.2.1:80",
        "unix:/run/app.sock",
    ];
    assert_eq!(shown, expected);
    assert_eq!(targets[0].place, Place::Name("localhost".to_owned(), 80));
    assert_eq!(targets[1].place, Place::Address("[::1]:90".parse().unwrap()));
    assert_eq!(targets[3].place, Place::Name("a.example".to_owned(), 443));
    assert_eq!(targets[5].authority, "localhost");
}

#[test]
fn durations_and_sizes_are_read_as_people_write_them() {
    let spans = [("1h30m", 5400), ("2d", 172_800), ("90s", 90), ("0s", 0)];
    for (text, seconds) in spans {
        let grace = config(&format!("keys.rotation_grace = {text:?}")).keys.rotation_grace;
        assert_eq!(grace, Duration::from_secs(seconds), "{text}");
    }
    for text in ["", "5", "s", "5m1h", "1h1h", "-5s", "1.5h", "5 s", "99999999999999999999s", "3654d", "٣s"]
    {
        assert_eq!(faults(&format!("keys.rotation_grace = {text:?}")).len(), 1, "{text}");
    }
    for (text, bytes) in [("\"64KiB\"", 65_536), ("\"1MB\"", 1_000_000), ("65536", 65_536), ("\"512\"", 512)]
    {
        let given = config(&format!("limits.body_bytes = {text}")).limits.body_bytes;
        assert_eq!(given.map(std::num::NonZeroU64::get), Some(bytes), "{text}");
    }
    for text in ["\"\"", "\"KiB\"", "\"1TiBB\"", "-1", "1.5", "\"99999999999GiB\""] {
        assert_eq!(faults(&format!("limits.body_bytes = {text}")).len(), 1, "{text}");
    }
    assert_eq!(Humane(Duration::from_millis(176_400_250)).to_string(), "49h250ms");
    assert_eq!(ByteSize(32 << 10).to_string(), "32KiB");
}

/// Text that looks like a configuration, so that soup gets past the TOML parser.
fn soup() -> impl Strategy<Value = String> {
    let keys = prop::sample::select(vec![
        "profile",
        "listen.gateway",
        "listen.trusted_proxies",
        "store.url",
        "keys.rotation_grace",
        "limits.body_bytes",
        "auth.failures_per_minute",
        "identity.team",
        "upstream",
        "route",
        "route.path",
        "log",
        "x.y",
    ]);
    let values = prop_oneof![
        any::<String>().prop_map(|text| format!("{text:?}")),
        any::<i64>().prop_map(|number| number.to_string()),
        "[\\[{}\\]\",a-z=*/]{0,12}",
        "\"[0-9dhmsKiB./:{}*@]{0,16}\"",
        "\\[\\{ (name|path|targets|require) = (\"[a-z/{}*.]{0,9}\"|\\[\"http://[a-z0-9:.\\[\\]]{0,9}\"\\]) \\}\\]",
    ];
    prop::collection::vec((keys, values).prop_map(|(key, value)| format!("{key} = {value}\n")), 0..6)
        .prop_map(|lines| lines.concat())
}

proptest! {
    #[test]
    fn no_soup_of_bytes_is_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = load(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_soup_of_keys_is_a_panic(text in soup()) {
        let outcome = load(&text);
        if let Err(errors) = outcome {
            prop_assert!(!errors.to_string().is_empty());
        }
    }

    #[test]
    fn no_variable_is_a_panic(name in "[A-Z0-9_]{0,12}(__[A-Z0-9_]{0,9}){0,3}", value in any::<String>()) {
        let _ = load_with(ROUTED, &Environment::empty().with(format!("LATCHGATE_{name}"), value));
    }
}
