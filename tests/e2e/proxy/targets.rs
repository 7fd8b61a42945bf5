//! Targets other than plain HTTP over the network: sockets in the file system, and TLS.

use std::{path::Path, process::Command};

use tempfile::TempDir;
use toml::Value;

use crate::support::{
    front::{self, Authority, Terms},
    program::{Program, Site},
    rawup::{Answer, Upstream},
    setup::Setup,
    wait,
};

fn list(targets: &[String]) -> Value {
    Value::Array(targets.iter().map(|target| Value::from(target.as_str())).collect())
}

fn behind(upstream: &Upstream, target: &str) -> Setup {
    Setup::offload(upstream).set("upstream.targets", list(&[target.to_owned()]))
}

fn trusting(setup: Setup, ca: &Path) -> Setup {
    setup.set("upstream.tls.ca", ca.to_str().expect("a plain path"))
}

/// The cause that was logged for a connection that did not come about.
fn cause(program: &Program) -> String {
    wait::for_some("the log line with the cause", || {
        let lines = program.messages();
        let line = lines.iter().find(|line| line["msg"] == "no connection")?;
        Some(line["error"].as_str()?.to_owned())
    })
}

/// A socket in the file system carries requests as a port does; `Host` is the client's.
#[test]
fn a_socket_in_the_file_system_is_a_target() {
    let upstream = Upstream::echo();
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("app.sock");
    front::socket(&path, upstream.address());
    let program = Site::new(behind(&upstream, &format!("unix:{}", path.display()))).serve();
    for _ in 0..10 {
        assert_eq!(program.anonymous().post("/public/x", "body").verdict(), "200");
    }
    assert_eq!(upstream.last().header("host"), Some("gw"));
    assert!(upstream.connections() <= 4, "{} connections", upstream.connections());
    let mut client = program.gateway().connect();
    client.send("GET /public/x HTTP/1.0\r\n\r\n");
    assert_eq!(client.receive().status, 200);
    assert_eq!(upstream.last().header("host"), Some("localhost"));
    std::fs::remove_file(&path).expect("the socket is there");
}

/// One that nobody listens on is 502, and another target takes over.
#[test]
fn a_socket_that_is_not_there_is_502() {
    let upstream = Upstream::echo();
    let program = Site::new(behind(&upstream, "unix:/nowhere/app.sock")).serve();
    assert_eq!(program.anonymous().verdict("/public/x"), "502 upstream_unreachable");
    assert!(cause(&program).contains("No such file"), "{}", cause(&program));
    let both = ["unix:/nowhere/app.sock".to_owned(), upstream.url()];
    program.site.configure(&Setup::offload(&upstream).set("upstream.targets", list(&both)));
    program.sighup();
    wait::until("the other target", || program.anonymous().verdict("/public/x") == "200");
    for _ in 0..10 {
        assert_eq!(program.anonymous().post("/public/x", "body").verdict(), "200");
    }
}

/// A target whose certificate is from the named authority, for its name: bodies both ways, sessions taken up again,
/// and the name of the configuration where the target has another.
#[test]
fn a_target_may_be_behind_tls() {
    let folder = TempDir::new().expect("a folder");
    let authority = Authority::new("Backends");
    let ca = authority.write(&folder.path().join("ca.pem"));
    let upstream = Upstream::start(|request| match request.target.as_str() {
        // Each on a connection of its own.
        "/public/close" => Answer::Close(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec()),
        _ => Answer::Echo,
    });
    let terms = || Terms::usual(authority.certify(&["localhost", "backend.internal"], 2099));
    let (address, hellos) = front::tls(upstream.address(), terms());
    let by_name = format!("https://localhost:{}", address.port());
    let program = Site::new(trusting(behind(&upstream, &by_name), &ca)).serve();
    for _ in 0..10 {
        assert_eq!(program.anonymous().post("/public/x", "body").verdict(), "200");
    }
    assert_eq!(upstream.last().body.text(), "body");
    assert!(upstream.connections() <= 4, "{} connections", upstream.connections());
    for _ in 0..10 {
        assert_eq!(program.anonymous().verdict("/public/close"), "200");
    }
    let seen = hellos.lock().expect("hellos").clone();
    assert!(seen.iter().all(|hello| hello.server_name.as_deref() == Some("localhost")), "{seen:?}");
    assert!(seen.iter().any(|hello| hello.resumed), "no session was taken up again: {seen:?}");
    let checked = program.site.plain(&["check", "--online", "--output", "json"], "");
    assert_eq!(checked.code, 0, "{checked:?}");
    drop(program);

    let (address, hellos) = front::tls(upstream.address(), terms());
    let setup = trusting(behind(&upstream, &format!("https://{address}")), &ca);
    let program = Site::new(setup.set("upstream.tls.server_name", "backend.internal")).serve();
    assert_eq!(program.anonymous().verdict("/public/x"), "200");
    let seen = hellos.lock().expect("hellos").clone();
    assert!(seen.iter().all(|hello| hello.server_name.as_deref() == Some("backend.internal")), "{seen:?}");
}

/// N359: a certificate that has expired, is for another name, from nobody or from the platform's point of view from a
/// stranger: 502, nothing is forwarded, the log says why and the client is not told.
#[test]
fn a_target_that_is_not_who_it_should_be_is_502() {
    let folder = TempDir::new().expect("a folder");
    let (authority, stranger) = (Authority::new("Backends"), Authority::new("Strangers"));
    let ca = authority.write(&folder.path().join("ca.pem"));
    let upstream = Upstream::echo();
    let cases = [
        ("expired", authority.certify(&["localhost"], 2024), true, "expired"),
        ("another name", authority.certify(&["other.internal"], 2099), true, "not valid for name"),
        ("a stranger", stranger.certify(&["localhost"], 2099), true, "issuer that is not trusted"),
        (
            "the platform's roots",
            authority.certify(&["localhost"], 2099),
            false,
            "issuer that is not trusted",
        ),
    ];
    for (what, identity, own_ca, said) in cases {
        let (address, _) = front::tls(upstream.address(), Terms::usual(identity));
        let setup = behind(&upstream, &format!("https://localhost:{}", address.port()));
        let setup = if own_ca { trusting(setup, &ca) } else { setup };
        let program = Site::new(setup).serve();
        let answer = program.anonymous().get("/public/x");
        assert_eq!(answer.verdict(), "502 upstream_unreachable", "{what}");
        let told = answer.text().to_lowercase();
        assert!(!told.contains("certificate") && !told.contains("tls"), "{what}: {told}");
        let cause = cause(&program);
        assert!(cause.contains(said), "{what}: {cause}");
        let checked = program.site.plain(&["check", "--online", "--output", "json"], "");
        assert!(checked.code != 0 && checked.stdout.contains(said), "{what}: {checked:?}");
    }
    assert_eq!(upstream.count(), 0, "a request reached somebody who did not prove anything");
}

/// N359: TLS 1.1 alone, and no TLS at all. No fallback: the upstream sees no request in the clear.
#[test]
fn a_target_that_speaks_worse_is_502() {
    let upstream = Upstream::echo();
    let plain = behind(&upstream, &format!("https://{}", upstream.address()));
    let program = Site::new(plain).serve();
    assert_eq!(program.anonymous().verdict("/public/x"), "502 upstream_unreachable");
    assert_eq!(upstream.count(), 0);

    let folder = TempDir::new().expect("a folder");
    let authority = Authority::new("Backends");
    let ca = authority.write(&folder.path().join("ca.pem"));
    let old = OldServer::start(folder.path(), &authority);
    let setup = trusting(behind(&upstream, &format!("https://localhost:{}", old.port)), &ca);
    let program = Site::new(setup).serve();
    assert_eq!(program.anonymous().verdict("/public/x"), "502 upstream_unreachable");
    let cause = cause(&program);
    assert!(cause.contains("ProtocolVersion") || cause.contains("handshake failed"), "{cause}");
}

/// An OpenSSL server that speaks TLS 1.1 and nothing newer.
struct OldServer {
    child: std::process::Child,
    port: u16,
}

impl OldServer {
    fn start(folder: &Path, authority: &Authority) -> Self {
        let identity = authority.certify(&["localhost"], 2099);
        let pem = |label: &str, der: &[u8]| {
            let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
            format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
        };
        let (certificate, key) = (folder.join("old.pem"), folder.join("old.key"));
        std::fs::write(&certificate, pem("CERTIFICATE", &identity.chain[0])).expect("write");
        std::fs::write(&key, pem("PRIVATE KEY", identity.key.secret_der())).expect("write");
        let port =
            std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it").port();
        let child = Command::new("openssl")
            .args(["s_server", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0", "-www", "-accept"])
            .arg(format!("127.0.0.1:{port}"))
            .args(["-cert".as_ref(), certificate.as_os_str(), "-key".as_ref(), key.as_os_str()])
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("openssl");
        wait::until("openssl listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { child, port }
    }
}

impl Drop for OldServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// I258: TLS says where an answer ends; a connection that is cut below it never looks like one that has ended.
#[test]
fn an_answer_that_is_cut_below_tls_never_looks_whole() {
    let folder = TempDir::new().expect("a folder");
    let authority = Authority::new("Backends");
    let ca = authority.write(&folder.path().join("ca.pem"));
    let terms = Terms::usual(authority.certify(&["localhost"], 2099));
    let address = front::cut(terms, "HTTP/1.0 200 OK\r\n\r\nhalf of it");
    let upstream = Upstream::echo();
    let setup = trusting(behind(&upstream, &format!("https://localhost:{}", address.port())), &ca);
    let program = Site::new(setup).serve();
    let mut client = program.gateway().connect();
    client.send("GET /public/x HTTP/1.1\r\nHost: gw\r\n\r\n");
    let outcome = client.try_receive("GET");
    assert!(!matches!(&outcome, Ok(Some(answer)) if answer.status == 200), "it looks whole: {outcome:?}");
}

/// The file of authorities is read again with the configuration; one that cannot be used changes nothing.
#[test]
fn a_reload_reads_the_authorities_again() {
    let folder = TempDir::new().expect("a folder");
    let (old, new) = (Authority::new("Old"), Authority::new("New"));
    let ca = old.write(&folder.path().join("ca.pem"));
    let upstream =
        Upstream::start(|_| Answer::Close(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec()));
    let (address, _) = front::tls(upstream.address(), Terms::usual(new.certify(&["localhost"], 2099)));
    let setup = trusting(behind(&upstream, &format!("https://localhost:{}", address.port())), &ca);
    let program = Site::new(setup).serve();
    assert_eq!(program.anonymous().verdict("/public/x"), "502 upstream_unreachable");
    new.write(&ca);
    program.sighup();
    wait::until("the new authority", || program.anonymous().verdict("/public/x") == "200");
    std::fs::write(&ca, "nonsense").expect("write");
    program.sighup();
    wait::until("the refusal", || program.metric("latchgate_config_last_reload_successful", &[]) < 0.5);
    assert_eq!(program.anonymous().verdict("/public/x"), "200");
    wait::until("the reason", || program.everything_written().contains("upstream[0].tls.ca"));
    let checked = program.site.plain(&["check"], "");
    assert!(checked.code == 2 && checked.stderr.contains("upstream[0].tls.ca"), "{checked:?}");
}
