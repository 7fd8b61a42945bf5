//! `check` and wrong configurations: exit 2, naming file, key and a valid example; never a panic, never a silent default.

use crate::support::{
    issuer::{Issuer, Signer, key_set},
    program::{Site, run},
    rawup::{Answer, Gate, Upstream},
    setup::Setup,
    wait,
    wrong::Wrong,
};

/// A good configuration prints its routes.
#[test]
fn a_good_configuration_prints_its_routes() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let checked = site.plain(&["check"], "").ok();
    for part in ["/api/{*rest}", "scan:read", "/public/{*rest}", "app"] {
        assert!(checked.stdout.contains(part), "{part} in {}", checked.stdout);
    }
}

/// Each wrong value is refused by `check` and by `serve`, with the key that is wrong.
#[test]
fn a_wrong_configuration_is_refused_with_its_key() {
    let upstream = Upstream::echo();
    let base = || Setup::offload(&upstream);
    let route = |lines: &str| base().route(lines);
    let cases: Vec<(&str, Setup)> = vec![
        ("listen.gatewy", base().set("listen.gatewy", "127.0.0.1:0")),
        ("colour", base().set("colour", "red")),
        ("listen.gateway", base().set("listen.gateway", "somewhere")),
        ("listen.gateway", base().set("listen.gateway", 8080)),
        ("listen.workers", base().set("listen.workers", -1)),
        (
            "listen.trusted_proxies",
            base().set("listen.trusted_proxies", toml::Value::Array(vec!["10.0.0.0/33".into()])),
        ),
        ("profile", base().set("profile", "galaxy")),
        ("store.url", base().set("store.url", "mysql://x")),
        ("keys.bcrypt_cost", base().set("keys.bcrypt_cost", 40)),
        ("keys.rotation_grace", base().set("keys.rotation_grace", "48 moons")),
        ("auth.cache_capacity", base().set("auth.cache_capacity", 0)),
        ("limits.header_bytes", base().set("limits.header_bytes", "lots")),
        ("limits.header_timeout", base().set("limits.header_timeout", "0s")),
        ("limits.send_timeout", base().set("limits.send_timeout", "0s")),
        ("limits.min_rate", base().set("limits.min_rate", "240 baud")),
        ("rate_limit.backend", base().set("rate_limit.backend", "carrier pigeon")),
        ("identity.tenant", base().set("identity.tenant", "no header")),
        ("identity.tenant", base().set("identity.tenant", "Content-Length")),
        ("identity.tenant", base().set("identity.tenant", "X-Team-Id")),
        ("log.level", base().set("log.level", "loud")),
        ("upstream", base().upstream("second", "ftp://x")),
        ("upstream", base().upstream("app", "http://127.0.0.1:1")),
        ("upstream", base().upstream("second", "http://127.0.0.1:1").set("upstream.retries", 1000)),
        ("route", route("name = \"n\"\npath = \"no-slash\"\nupstream = \"app\"")),
        ("route", route("name = \"n\"\npath = \"/n\"\nupstream = \"nowhere\"")),
        ("route", route("name = \"n\"\npath = \"/n\"\nupstream = \"app\"\nrequire = \"scan:raed\"")),
        (
            "route",
            route("name = \"n\"\npath = \"/n\"\nupstream = \"app\"\nrequire = { get = \"scan:read\" }"),
        ),
        (
            "route",
            route("name = \"n\"\npath = \"/n\"\nupstream = \"app\"\ncredentials = [\"none\", \"api_key\"]"),
        ),
        ("route", route("name = \"n\"\npath = \"/n\"\nupstream = \"app\"\ncredentials = [\"password\"]")),
        ("route", route("name = \"n\"\npath = \"/n\"\nupstream = \"app\"\nteam = \"{nope}\"")),
        ("route", route("name = \"n\"\npath = \"/n/../x\"\nupstream = \"app\"")),
        ("route", route("name = \"n\"\npath = \"/n/{*rest}/more\"\nupstream = \"app\"")),
        ("route", route("name = \"api\"\npath = \"/n\"\nupstream = \"app\"")),
        ("route", route("name = \"n\"\npath = \"/api/{*other}\"\nupstream = \"app\"")),
        ("route", route("name = \"n\"\npath = \"/.latchgate/x\"\nupstream = \"app\"")),
    ];
    let site = Site::new(base());
    let file = site.config().to_string_lossy().into_owned();
    let mut wrong = Wrong::default();
    for (key, setup) in cases {
        site.configure(&setup);
        for command in ["check", "serve"] {
            let refused = site.plain(&[command], "");
            let fine = refused.code == 2 && refused.stderr.contains(key) && refused.stderr.contains(&file);
            wrong
                .unless(fine, || format!("{command}, {key}: exit {}, {:.300}", refused.code, refused.stderr));
        }
    }
    wrong.none("a configuration");
}

/// What is no TOML, no file or no text at all.
#[test]
fn a_file_that_is_none_is_refused() {
    let site = Site::new(Setup::bare("offload"));
    for text in [
        "profile = ",
        "[listen\n",
        "\u{0}",
        "profile = \"offload\"\nprofile = \"offload\"\n",
        "{\"profile\": \"offload\"}",
    ] {
        site.configure_text(text);
        let refused = site.plain(&["check"], "");
        assert_eq!(refused.code, 2, "{text:?}: {refused:?}");
        assert!(refused.stderr.contains("latchgate.toml"), "{text:?}: {refused:?}");
    }
    std::fs::write(site.config(), b"\xff\xfe").expect("write");
    assert_eq!(site.plain(&["check"], "").code, 2);
    std::fs::remove_file(site.config()).expect("remove");
    let refused = site.plain(&["serve"], "");
    assert_eq!(refused.code, 2, "{refused:?}");
    std::fs::create_dir(site.config()).expect("a folder in its place");
    assert_eq!(site.plain(&["check"], "").code, 2);
}

/// Every fault of a file is told at once, each with a valid example.
#[test]
fn all_faults_are_told_at_once_with_examples() {
    let site = Site::new(Setup::bare("offload"));
    site.configure(
        &site
            .setup
            .clone()
            .set("limits.header_timeout", "soon")
            .set("listen.ops", "x")
            .set("keys.bcrypt_cost", 99),
    );
    let refused = site.plain(&["check"], "");
    for part in ["limits.header_timeout", "10s", "listen.ops", "127.0.0.1:8082", "keys.bcrypt_cost", "10"] {
        assert!(refused.stderr.contains(part), "{part} in {}", refused.stderr);
    }
}

/// A value can come from the environment; a wrong one is told with the variable's name.
#[test]
fn the_environment_overrides() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let key = site.key(&["--scopes", "scan:read"]);
    let program = site.serve_with(&[("LATCHGATE_IDENTITY__TENANT", "X-From-Environment")]);
    assert_eq!(program.key(&key.text).verdict("/api/x"), "200");
    assert!(upstream.last().header("x-from-environment").is_some());
    let site = program.stop();
    let file = site.config();
    let refused = crate::support::program::run_with(
        ["check", "--config", file.to_str().expect("a path")],
        "",
        &[("LATCHGATE_LISTEN__OPS", "nowhere")],
    );
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("LATCHGATE_LISTEN__OPS"), "{}", refused.stderr);
}

/// A28, L324: an upstream that is the gateway itself is refused before it can loop.
#[test]
fn an_upstream_that_is_the_gateway_is_refused() {
    let site = Site::new(Setup::bare("offload"));
    for own in ["http://127.0.0.1:18080", "http://localhost:18080", "http://127.0.0.1:18081"] {
        let setup = site
            .setup
            .clone()
            .set("listen.gateway", "0.0.0.0:18080")
            .set("listen.admin", "127.0.0.1:18081")
            .upstream("self", own);
        site.configure(&setup);
        let refused = site.plain(&["check"], "");
        assert_eq!(refused.code, 2, "{own}: {refused:?}");
    }
}

/// A secret file that is not there is a wrong configuration to `check` as to `serve`.
#[test]
fn a_missing_secret_file_is_refused() {
    let site = Site::new(Setup::bare("offload"));
    site.configure(&site.setup.clone().set("store.secret_file", "absent.key"));
    for command in ["check", "serve"] {
        let refused = site.plain(&[command], "");
        assert_eq!(refused.code, 2, "{command}: {refused:?}");
        assert!(
            refused.stderr.contains("store.secret_file") && refused.stderr.contains("absent.key"),
            "{command}: {refused:?}"
        );
    }
}

/// A secret file that others can read, or that is not 32 bytes, is refused or warned of.
#[test]
fn a_wrong_secret_file_is_refused() {
    let site = Site::new(Setup::bare("offload"));
    for bytes in [&b""[..], b"short", &[b'x'; 33]] {
        std::fs::write(site.path("secret.key"), bytes).expect("write");
        let refused = site.plain(&["serve"], "");
        assert_eq!(refused.code, 2, "{} bytes: {refused:?}", bytes.len());
        assert!(refused.stderr.contains("secret"), "{refused:?}");
    }
}

/// Files of identity providers are looked at without a network, the providers themselves with `--online`.
#[test]
fn identity_providers_are_looked_at() {
    let signer = Signer::ed25519("k");
    let issuer = Issuer::with(&[&signer]);
    let at = |url: &str| format!("jwks_url = \"{url}/jwks\"");
    let setup = Setup::bare("offload")
        .issuer("one", &at(&issuer.server.url()))
        .issuer("two", "jwks_file = \"keys.json\"");
    let site = Site::new(setup.clone());
    let warned = site.plain(&["check"], "");
    assert_eq!(warned.code, 0, "{warned:?}");
    assert!(warned.stderr.contains("jwt[1].jwks_file"), "{warned:?}");
    assert_eq!(issuer.asked(), 0, "nothing is connected to");
    std::fs::write(site.path("keys.json"), key_set(&[&signer]).to_string()).expect("keys");
    let good = site.plain(&["check", "--online"], "");
    assert!(good.code == 0 && !good.stderr.contains("jwks"), "{good:?}");
    assert!(good.stdout.contains("jwt one") && issuer.asked() == 1, "{good:?}");
    issuer.publish(&[]);
    let empty = site.plain(&["check", "--online"], "");
    assert!(empty.code == 1 && empty.stdout.contains("no key that can prove"), "{empty:?}");
    issuer.fail();
    let down = site.plain(&["check", "--online"], "");
    assert!(down.code == 1 && down.stdout.contains("503"), "{down:?}");

    let oidc = setup.set("oidc.issuer", issuer.server.url()).set("oidc.client_id", "latchgate");
    site.configure(&oidc.clone().set("oidc.client_secret_file", "absent.secret"));
    let absent = site.plain(&["check"], "");
    assert!(
        absent.stderr.contains("oidc.client_secret_file") && absent.stderr.contains("absent.secret"),
        "{absent:?}"
    );
    site.configure(&oidc.clone().set("outbound.ca", "absent.pem"));
    for command in ["check", "serve"] {
        let refused = site.plain(&[command], "");
        assert!(refused.code == 2 && refused.stderr.contains("outbound.ca"), "{command}: {refused:?}");
    }
    site.configure(&oidc);
    let down = site.plain(&["check", "--online"], "");
    assert!(down.code == 1 && down.stdout.contains("oidc"), "{down:?}");
}

/// `--ready` is what a container's health check runs: 0 while the gateway is ready, 1 while it drains, and 1 when it
/// is not there.
#[test]
fn a_running_gateway_is_asked() {
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::start(move |_| Answer::Held(held.clone(), Box::new(Answer::ok("late"))));
    let mut program = Site::new(Setup::offload(&upstream)).serve();
    let ops = program.ops().0.to_string();
    let ask = || run(["check", "--ready", &ops], "");
    let ready = ask();
    assert_eq!((ready.code, ready.stdout.as_str()), (0, "ready\n"), "{ready:?}");
    let everywhere = format!("0.0.0.0:{}", program.ops().0.port());
    assert_eq!(run(["check", "--ready", &everywhere], "").code, 0);

    let mut running = program.gateway().connect();
    running.send("GET /public/x HTTP/1.1\r\nHost: gw\r\n\r\n");
    upstream.wait_for(1);
    program.sigterm();
    let refused = wait::for_some("it says that it ends", || Some(ask()).filter(|answer| answer.code != 0));
    assert!(refused.code == 1 && refused.stderr.contains("shutting down"), "{refused:?}");
    gate.open();
    assert!(program.ended().success());
    let gone = ask();
    assert!(gone.code == 1 && gone.stderr.contains(&ops), "{gone:?}");
    assert_eq!(run(["check", "--ready", "nowhere"], "").code, 2);
}
