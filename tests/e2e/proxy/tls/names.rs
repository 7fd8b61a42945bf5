//! Which certificate a client is shown, and which hosts it may then ask for.

use std::{net::SocketAddr, process::Command};

use rustls::HandshakeKind;

use super::{House, ask};
use crate::support::{program::run_with, rawup::Upstream, setup::Setup, tls::Authority};

/// The names in the certificate that OpenSSL is shown for a name, which it sends as it stands.
fn shown(address: SocketAddr, name: &str) -> String {
    let asked = if name.is_empty() { "-noservername".to_owned() } else { format!("-servername '{name}'") };
    let script = format!(
        "openssl s_client -connect {address} {asked} </dev/null 2>/dev/null | openssl x509 -noout -ext subjectAltName"
    );
    let done = Command::new("bash").args(["-c", &script]).output().expect("openssl: run `bash tests/run`");
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// N347: a name is found in any case and with a dot at its end; wildcards are one label; the first is for all others.
#[test]
fn a_name_finds_its_certificate_however_it_is_written() {
    let house = House::new();
    for (name, expected) in [
        ("gw", "DNS:gw"),
        ("a.example", "DNS:a.example"),
        ("A.EXAMPLE", "DNS:a.example"),
        ("a.Example.", "DNS:a.example"),
        ("x.shared.example", "DNS:a.example"),
        ("X.SHARED.EXAMPLE.", "DNS:a.example"),
        ("y.x.shared.example", "DNS:gw"),
        ("shared.example", "DNS:gw"),
        ("b.example", "DNS:b.example"),
        ("nobody.example", "DNS:gw"),
        ("", "DNS:gw"),
    ] {
        let shown = shown(house.program.gateway().0, name);
        assert!(shown.contains(expected), "{name}: {shown}");
    }
}

/// N346, N347: a host of another certificate than the one that the client was shown: 421, in whatever way it is written,
/// and nothing reaches the upstream.
#[test]
fn a_host_of_another_certificate_is_misdirected() {
    let house = House::new();
    let dialer = house.authority.config();
    let address = house.program.gateway().0;
    for (name, host, verdict) in [
        ("a.example", "a.example", "200"),
        ("a.example", "A.Example.", "200"),
        ("a.example", "a.example:8443", "200"),
        ("a.example", "x.shared.example", "200"),
        ("a.example", "b.example", "421 misdirected_request"),
        ("a.example", "B.EXAMPLE.", "421 misdirected_request"),
        ("a.example", "b.example:443", "421 misdirected_request"),
        ("a.example", "gw", "421 misdirected_request"),
        ("a.example", "nobody.example", "421 misdirected_request"),
        ("gw", "nobody.example", "200"),
        ("gw", "a.example", "421 misdirected_request"),
        ("gw", "127.0.0.1", "200"),
    ] {
        let before = house.upstream.count();
        let mut client = dialer.connect(address, name);
        assert_eq!(client.send(ask(host)).receive().verdict(), verdict, "{name} {host}");
        assert_eq!(house.upstream.count() - before, usize::from(verdict == "200"), "{name} {host}");
        // The connection is good for what it was made for.
        assert_eq!(client.send(ask(name)).receive().status, 200);
        // An absolute target outweighs the header.
        let absolute = format!("GET http://{host}/public/x HTTP/1.1\r\nHost: {name}\r\n\r\n");
        assert_eq!(client.send(absolute).receive().verdict(), verdict, "{name} {host}");
    }
    // Without a name (an address is none) it was shown the first.
    let mut client = dialer.connect(address, "127.0.0.1");
    assert_eq!(client.send(ask("127.0.0.1")).receive().status, 200);
    assert_eq!(client.send(ask("a.example")).receive().verdict(), "421 misdirected_request");
}

/// N352: what one name agreed on is not taken up under another.
#[test]
fn nobody_comes_back_under_another_name() {
    let house = House::new();
    let address = house.program.gateway().0;
    let script = format!(
        "cd $(mktemp -d) && for pair in 'a.example b.example' 'a.example a.example'; do set -- $pair; \
         openssl s_client -connect {address} -tls1_2 -servername $1 -sess_out s </dev/null >/dev/null 2>&1; \
         openssl s_client -connect {address} -tls1_2 -servername $2 -sess_in s </dev/null 2>/dev/null | grep -E '^(New|Reused)'; \
         done; rm -r \"$PWD\""
    );
    let done = Command::new("bash").args(["-c", &script]).output().expect("openssl: run `bash tests/run`");
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let kinds: Vec<_> = said.lines().map(|line| line.split(',').next().unwrap_or_default()).collect();
    assert_eq!(kinds, ["New", "Reused"], "{said}");
    let dialer = house.authority.config().resuming();
    for name in ["a.example", "a.example", "b.example"] {
        let mut client = dialer.connect(address, name);
        assert_eq!(client.send(ask(name)).receive().status, 200);
        let again = client.stream().conn.handshake_kind() == Some(HandshakeKind::Resumed);
        assert!(!again || name == "a.example");
    }
}

/// `tls.admin`: the admin port speaks TLS too, its pages and the gateway's say so, and signed or signed-in callers are
/// treated as they are behind a proxy that speaks it.
#[test]
fn the_admin_port_speaks_it_too() {
    let house = House::with(|setup| setup.set("tls.admin", true));
    let dialer = house.authority.config();
    let page = "GET /.latchgate/sign-in HTTP/1.1\r\nHost: gw\r\n\r\n";
    for door in [house.program.gateway(), house.program.admin()] {
        let mut client = dialer.connect(door.0, "gw");
        let answer = client.send(page).receive();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("strict-transport-security"), Some("max-age=31536000"));
        let mut plain = door.connect();
        let _ = plain.try_send(page.as_bytes());
        assert!(!plain.until_closed().1.starts_with(b"HTTP/"), "no HTTP without TLS");
    }
    let server = format!("http://{}", house.program.admin().0);
    let told = run_with(["teams", "list", "--server", &server], "", &[("LATCHGATE_TOKEN", "none")]);
    assert!(told.code == 1 && told.stderr.contains("may speak TLS: name it with https://"), "{told:?}");
    let without = House::new();
    let answer = without.program.admin().anonymous().get("/.latchgate/sign-in");
    assert_eq!((answer.status, answer.header("strict-transport-security")), (200, None));
}

/// `check` shows what the certificates are for and until when, and what is odd about them.
#[test]
fn check_shows_certificates_and_finds_faults() {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    let (authority, upstream) = (Authority::new("Test CA"), Upstream::echo());
    let site = crate::support::program::Site::new(Setup::offload(&upstream).tls(1));
    let missing = site.plain(&["check"], "");
    assert_eq!(missing.code, 2, "{missing:?}");
    assert!(
        missing.stderr.contains("tls.certificate[0]") && missing.stderr.contains("site-0.pem"),
        "{missing:?}"
    );

    let good = authority.server(&["gate.example.com", "*.example.org"]);
    site.certify(0, &good);
    let key = site.path("site-0.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("chmod");
    let shown = site.plain(&["check"], "").ok();
    for part in ["gate.example.com", "*.example.org", "https://", "4096-01-01"] {
        assert!(shown.stdout.contains(part), "{part} in {}", shown.stdout);
    }
    assert!(!shown.stderr.contains("tls"), "{}", shown.stderr);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("chmod");
    let open = site.plain(&["check"], "").ok();
    assert!(open.stderr.contains("tls.certificate[0].key"), "{}", open.stderr);

    let expired = authority.with(&["old.example"], |params| {
        (params.not_before, params.not_after) =
            (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1));
    });
    site.certify(0, &expired);
    let warned = site.plain(&["check"], "").ok();
    assert!(warned.stderr.contains("expired at 2021-01-01"), "{}", warned.stderr);

    for (cert, key, fault) in [
        (&*good.cert, &*expired.key, "is not the private key of"),
        (&*good.key, &*good.key, "holds no certificate"),
        (&*good.cert, &*good.cert, "holds no private key"),
        ("", "", "holds no certificate"),
        ("-----BEGIN CERTIFICATE-----\nAA\n", &*good.key, "PEM"),
    ] {
        site.file("site-0.pem", cert);
        site.file("site-0.key", key);
        for command in ["check", "serve"] {
            let refused = site.plain(&[command], "");
            assert_eq!(refused.code, 2, "{command}: {refused:?}");
            assert!(refused.stderr.contains(fault), "{command} {fault}: {refused:?}");
            assert!(refused.stderr.contains("latchgate.toml"), "{command}: {refused:?}");
        }
    }
    let ca = site.setup.clone().set("tls.client_auth", "required").set("tls.client_ca", "nowhere.pem");
    site.certify(0, &good).configure(&ca);
    let refused = site.plain(&["check"], "");
    assert!(refused.code == 2 && refused.stderr.contains("tls.client_ca"), "{refused:?}");
}
