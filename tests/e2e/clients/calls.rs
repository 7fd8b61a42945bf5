//! gRPC: Python's `grpcio` on both sides of the gateway, an API key in its metadata.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::support::{
    program::Site,
    setup::Setup,
    tools::{Backend, script, venv_python},
};

/// Calls of all four kinds, messages of a MiB, statuses and trailers pass; who has no key is UNAUTHENTICATED by the status of
/// HTTP; and a stream that goes on for ever ends when its key is revoked, as an error.
#[test]
fn grpc_passes_and_ends_with_its_key() {
    let server = Backend::script("calls.py");
    let site = Site::new(
        Setup::bare("offload").upstream("app", &server.url()).set("upstream.protocol", "h2").route(
            "name = \"echo\"\npath = \"/test.Echo/{method}\"\nupstream = \"app\"\nrequire = \"scan:read\"",
        ),
    );
    let key = site.key(&["--scopes", "scan:read"]);
    let program = site.serve();
    let mut asking = Command::new(venv_python())
        .args([&script("calls.py"), "ask", &program.gateway().0.to_string(), &key.text])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("packages from PyPI: run `bash tests/run`");
    let mut lines = BufReader::new(asking.stdout.take().expect("stdout")).lines().map_while(Result::ok);
    let mut told: Vec<String> = Vec::new();
    while told.last().is_none_or(|last| last != "streaming") {
        let Some(line) = lines.next() else {
            let done = asking.wait_with_output().expect("its end");
            panic!("after {told:?}: {}", String::from_utf8_lossy(&done.stderr));
        };
        told.push(line);
    }
    assert_eq!(told, ["unary", "down", "up", "both", "errors", "streaming"]);
    let began = Instant::now();
    program.cli(&["keys", "revoke", &key.id]).ok();
    let end = lines.next().expect("how the stream ended");
    assert!(["CANCELLED", "UNAVAILABLE", "INTERNAL", "UNKNOWN"].contains(&end.as_str()), "{end}");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert!(asking.wait().expect("its end").success());
    let line = program.requests_logged("/test.Echo/Forever", 1).remove(0);
    assert_eq!(line["outcome"], "credential_revoked");
}
