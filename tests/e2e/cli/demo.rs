//! `demo`: the whole product with nothing to prepare.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    process::{Command, Stdio},
    thread,
};

use crate::{
    control::console::visitor::Visitor,
    support::{program::run, request::Door, wait},
};

const BINARY: &str = env!("CARGO_BIN_EXE_latchgate");

/// It starts, prints a key and lines to paste; the lines give what they promise: a 200, a 401, a 403, a 429.
#[test]
fn its_lines_do_what_they_promise() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut demo = Command::new(BINARY)
        .args(["demo", "--gateway", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--ops", "127.0.0.1:0", "--dir"])
        .arg(folder.path().join("demo"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start the demo");
    let lines = std::sync::Arc::new(std::sync::Mutex::new(Vec::<String>::new()));
    let streams: [Box<dyn std::io::Read + Send>; 2] =
        [Box::new(demo.stdout.take().expect("stdout")), Box::new(demo.stderr.take().expect("stderr"))];
    for stream in streams {
        let lines = std::sync::Arc::clone(&lines);
        thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                lines.lock().expect("the lines").push(line);
            }
        });
    }
    let all = || lines.lock().expect("the lines").join("\n");
    let curls = wait::for_some("four curl lines", || {
        let text = all();
        let curls: Vec<String> = text
            .lines()
            .map(str::trim)
            .filter(|line| line.trim_start_matches("$ ").starts_with("curl "))
            .map(ToOwned::to_owned)
            .collect();
        (curls.len() >= 4).then_some(curls)
    });
    let text = all();
    let address = text
        .split("http://")
        .skip(1)
        .find_map(|rest| rest.split(['/', ' ', '\n', '"', '\'']).next()?.parse().ok());
    let gateway = Door(address.unwrap_or_else(|| panic!("no address in {text}")));
    wait::until("the gateway", || crate::support::rawc::Client::try_connect(gateway.0).is_some());
    let password =
        text.split("admin@demo.example, password ").nth(1).and_then(|rest| rest.split_whitespace().next());
    let visitor = Visitor::asking_for(gateway, "localhost");
    let fields = [("email", "admin@demo.example"), ("password", password.expect("a password"))];
    let signed_in = visitor.submit("/.latchgate/sign-in?return_to=/v1/scans/7", &fields);
    assert_eq!((signed_in.status, signed_in.header("location")), (303, Some("/v1/scans/7")));
    assert_eq!(visitor.get("/v1/scans/7").status, 200, "a person's session opens what the key opens");
    let mut statuses = Vec::new();
    for curl in curls {
        let command = curl.trim_start_matches("$ ").split('#').next().unwrap_or_default().to_owned();
        let done = Command::new("bash")
            .args(["-c", &format!("set -o pipefail; {command}")])
            .stdin(Stdio::null())
            .output()
            .expect("bash");
        statuses.push(String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned());
    }
    let outcome = statuses.join("\n");
    let _ = demo.kill();
    let _ = demo.wait();
    for status in ["200", "401", "403", "429"] {
        assert!(outcome.contains(status), "no {status} among {outcome}\n{text}");
    }
    assert!(!all().contains("panicked"));
}

/// Ports that are taken: a clear error that names one.
#[test]
fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("demo");
    let arguments = [
        "demo",
        "--gateway",
        &address,
        "--admin",
        "127.0.0.1:0",
        "--ops",
        "127.0.0.1:0",
        "--dir",
        dir.to_str().expect("a path"),
    ];
    let refused = run(arguments, "");
    assert!(matches!(refused.code, 1 | 2), "{refused:?}");
    assert!(
        refused.stderr.contains(&address)
            || refused.stderr.contains(&taken.local_addr().expect("its address").port().to_string()),
        "{refused:?}"
    );
}
