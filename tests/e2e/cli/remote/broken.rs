//! What goes wrong between here and there.

use std::{
    net::TcpListener,
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use super::{admin, far, served};
use crate::support::{
    program::{Site, run_with},
    rawup::{Answer, Gate, Upstream},
    relay::{self, Loss},
    setup::Setup,
    tools, wait,
    wrong::Wrong,
};

const TOKEN: &str = "tos_12345678_12345678901234567890123456789012";
const CREATE: [&str; 7] = ["keys", "create", "--name", "ci", "--scope", "org", "--description=x"];

/// A lost answer makes no second key: it is asked for once more, and what was made is named with what to do about it.
#[test]
fn a_lost_answer_makes_no_second_key() {
    let (program, token) = served(Site::new(Setup::bare("trustedoss")));
    let relay = |losses: &[Loss]| format!("http://{}", relay::start(program.admin().0, losses.to_vec()));
    let keys = || program.site.count("api_keys");

    let output = far(&relay(&[Loss::Answer]), &token, &CREATE, "");
    assert_eq!((output.code, output.stdout.as_str(), keys()), (1, "", 1), "{output:?}");
    let listed = program.cli(&["keys", "list"]).json();
    let prefix = listed["items"][0]["prefix"].as_str().expect("a prefix");
    for words in ["asking once more", &format!("key {prefix} was made"), &format!("keys revoke {prefix}")] {
        assert!(output.stderr.contains(words), "{words}: {output:?}");
    }

    let output = far(&relay(&[Loss::Request]), &token, &CREATE, "").ok();
    assert_eq!((output.stdout.contains("\"key\""), keys()), (true, 2), "{output:?}");

    // Rotating again replaces what was lost.
    let output = far(
        &relay(&[Loss::Answer]),
        &token,
        &["keys", "rotate", listed["items"][0]["id"].as_str().expect("an id")],
        "",
    );
    assert!(output.code == 1 && output.stderr.contains("rotate again"), "{output:?}");

    let output =
        far(&relay(&[Loss::Answer, Loss::Answer]), &token, &["teams", "create", "--name", "Web"], "");
    assert!(output.code == 1 && output.stderr.contains("not known"), "{output:?}");
    assert_eq!(program.site.count("teams WHERE slug LIKE 'web%'"), 1);
    let output = far(&relay(&[Loss::Answer]), &token, &["teams", "create", "--name", "Api"], "");
    assert_eq!((output.json()["slug"].as_str(), program.site.count("teams")), (Some("api"), 3));
}

/// A rate limit is waited for when it is short, and named when it is not.
#[test]
fn a_rate_limit_is_waited_for() {
    let limited = |seconds: &str| {
        let body = r#"{"code":"rate_limited","detail":"The key's rate limit is reached.","status":429}"#;
        Answer::bytes(&format!(
            "HTTP/1.1 429 Too Many Requests\r\nRetry-After: {seconds}\r\nContent-Type: application/problem+json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    };
    let asked = AtomicUsize::new(0);
    let soon = limited("1");
    let server = Upstream::start(move |_| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => soon.clone(),
        _ => json("200 OK", r#"{"items":[],"next_cursor":null}"#),
    });
    let output = far(&server.url(), TOKEN, &["keys", "list"], "").ok();
    assert!(output.stderr.contains("going on in 1 s"), "{output:?}");

    for (answer, words) in [
        (limited("3600"), "try again in 3600 s"),
        (limited("soon"), "try again later"),
        (limited("0"), "rate limit"),
    ] {
        let server = Upstream::start(move |_| answer.clone());
        let output = far(&server.url(), TOKEN, &["keys", "list"], "");
        assert!(output.code == 1 && output.stderr.contains(words), "{output:?}");
        assert!(server.count() <= 4, "nobody waits for ever");
    }
}

fn json(status: &str, body: &str) -> Answer {
    Answer::bytes(&format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
}

/// Servers that are none, or none of ours.
#[test]
fn a_wrong_server_is_named() {
    let (program, token) = served(Site::new(Setup::bare("trustedoss")));
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let moved =
        "HTTP/1.1 308 Permanent Redirect\r\nLocation: https://gate.example.com/\r\nContent-Length: 0\r\n\r\n";
    let page = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nok";
    let foreign = "does not answer as Latchgate's admin API does";
    let mut wrong = Wrong::default();
    for (answer, words) in [
        (Answer::bytes(moved), "sends on to https://gate.example.com/"),
        (Answer::bytes(page), foreign),
        (json("200 OK", "[]"), foreign),
        (json("200 OK", "{"), foreign),
        (json("200 OK", "{}"), "no list"),
        (json("404 Not Found", "{\"message\":\"no Route matched\"}"), foreign),
        (Answer::status("404 Not Found", "gone"), foreign),
        (Answer::status("502 Bad Gateway", "gone"), foreign),
        (Answer::Close(Vec::new()), "broke"),
        (Answer::Close(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()), "broke"),
        (Answer::Close(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".to_vec()), "broke"),
    ] {
        let server = Upstream::start(move |_| answer.clone());
        let output = far(&server.url(), TOKEN, &["teams", "list"], "");
        wrong.unless(output.code == 1 && output.stderr.contains(words), || format!("{words}: {output:?}"));
        let sent = server.requests();
        wrong.unless(
            sent.iter().all(|request| request.header("authorization") == Some(&format!("Bearer {TOKEN}"))),
            || format!("{sent:?}"),
        );
    }
    let gateway = format!("http://{}", program.gateway().0);
    for (server, words) in [
        (format!("http://{closed}"), "cannot connect"),
        (format!("https://{}", program.admin().0), "does not speak TLS"),
        (gateway, foreign),
        (format!("{}/elsewhere", admin(&program)), foreign),
    ] {
        let output = far(&server, &token, &["teams", "list"], "");
        wrong.unless(output.code == 1 && output.stderr.contains(words), || format!("{server}: {output:?}"));
    }
    // The token does not leave this machine in the clear, and no address is guessed.
    for (server, words) in [
        ("http://192.0.2.1:8081", "in the clear"),
        ("http://localhost.example.com", "in the clear"),
        ("http://[2001:db8::1]:8081", "in the clear"),
        ("ftp://127.0.0.1", "https://"),
        ("127.0.0.1:8081", "https://"),
        ("http://127.0.0.1:1/?a=b", "`?`"),
        ("http://me:secretword@127.0.0.1:1", "no password"),
        ("", "--server"),
    ] {
        let output = far(server, TOKEN, &["teams", "list"], "");
        wrong.unless(output.code == 2 && output.stderr.contains(words), || format!("{server}: {output:?}"));
        wrong.unless(!output.stderr.contains("secretword"), || format!("{output:?}"));
    }
    wrong.none("a server");
}

/// A server that means ill: what it says cannot drive the terminal, a list without an end ends, and a proxy of the
/// environment does not get to see a token in the clear.
#[test]
fn a_hostile_server_gains_nothing() {
    let endless = r#"{"items":[],"next_cursor":"a"}"#;
    let painted = r#"{"prefix":"\u001b[2Ja","name":"\u001b[31m","key":"\u009b2Jb\u202e","expires_at":null}"#;
    let problem = r#"{"code":"conflict","detail":"\u001b]0;x\u0007"}"#;
    let refusal = format!(
        "HTTP/1.1 409 Conflict\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\n\r\n{problem}",
        problem.len()
    );
    let odd = r#"{"items":[null,7,"x",[],{"id":"..","slug":"a"}],"next_cursor":null}"#;
    for (answer, arguments) in [
        (json("200 OK", endless), vec!["teams", "list"]),
        (json("201 Created", painted), CREATE.to_vec()),
        (json("200 OK", painted), vec!["keys", "revoke", "0192f7c4-5b1e-7c3a-9d2e-1f0a2b3c4d5e"]),
        (Answer::bytes(&refusal), vec!["teams", "create", "--name", "x"]),
        (json("200 OK", odd), vec!["users", "set-role", "a@example.com", "--role", "x"]),
        (json("200 OK", odd), vec!["teams", "delete", "a", "--yes"]),
        (json("200 OK", odd), vec!["keys", "list"]),
    ] {
        let server = Upstream::start(move |_| answer.clone());
        let proxy = Upstream::echo();
        let (url, target) = (proxy.url(), server.url());
        let environment =
            ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"].map(|name| (name, url.as_str()));
        let environment = [&[("LATCHGATE_TOKEN", TOKEN)], environment.as_slice()].concat();
        let arguments = [arguments.as_slice(), &["--server", &target]].concat();
        let output = run_with(&arguments, "", &environment);
        let said = format!("{}{}", output.stdout, output.stderr);
        assert!((0..=2).contains(&output.code), "{arguments:?}: {output:?}");
        assert!(!said.contains(['\u{1b}', '\u{9b}', '\u{202e}', '\u{7}']), "{arguments:?}: {output:?}");
        assert!(server.count() > 0 && server.count() < 10 && proxy.connections() == 0, "{arguments:?}");
    }
}

/// A certificate that nobody here vouches for ends it before the token is sent; one that is vouched for does not.
#[test]
fn a_certificate_is_checked() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("a plain path").to_owned();
    tools::output(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-keyout",
            &path("key.pem"),
            "-out",
            &path("cert.pem"),
        ],
    );
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address").port();
    let mut server = Command::new("openssl")
        .args(["s_server", "-quiet", "-www", "-accept", &format!("127.0.0.1:{port}")])
        .args(["-cert", &path("cert.pem"), "-key", &path("key.pem")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl");
    wait::until("the TLS server", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    let ask = |host: &str, trusted: &[(&str, &str)]| {
        let server = format!("https://{host}:{port}");
        let environment = [&[("LATCHGATE_TOKEN", TOKEN)], trusted].concat();
        run_with(["teams", "list", "--server", &server], "", &environment)
    };
    let (unknown, cert) = (ask("localhost", &[]), path("cert.pem"));
    let trusted = [("SSL_CERT_FILE", cert.as_str())];
    let (other, known) = (ask("127.0.0.1", &trusted), ask("localhost", &trusted));
    let _ = server.kill();
    let _ = server.wait();
    for refused in [unknown, other] {
        assert!(refused.code == 1 && refused.stderr.contains("cannot connect"), "{refused:?}");
        assert!(
            refused.stderr.contains("certificate") && refused.stderr.contains("SSL_CERT_FILE"),
            "{refused:?}"
        );
    }
    assert!(known.stderr.contains("does not answer as Latchgate's"), "{known:?}");
}

/// Ctrl-C while a change is on its way says that nobody knows of it; while something is read it just ends.
#[test]
fn an_interruption_is_answered() {
    let gate = Gate::default();
    let held = gate.clone();
    let server = Upstream::start(move |_| Answer::Held(held.clone(), Box::new(json("200 OK", "{}"))));
    let url = server.url();
    for (arguments, code, words) in
        [(&CREATE[..], Some(1), "is not known"), (&["teams", "show", "web"][..], None, "")]
    {
        let before = server.count();
        let child = Command::new(env!("CARGO_BIN_EXE_latchgate"))
            .args(arguments)
            .args(["--server", &url])
            .env("LATCHGATE_TOKEN", TOKEN)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start the program");
        server.wait_for(before + 1);
        tools::output("kill", &["-INT", &child.id().to_string()]);
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), code, "{said}");
        assert!(said.contains(words), "{said}");
    }
    gate.open();
}
