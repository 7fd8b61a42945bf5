//! What is written down about each request: the access log, the counters, the metrics; and what never is.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{
    program::{PASSWORD, Program, Site, run},
    rawup::{Answer, Gate, Upstream},
    setup::Setup,
    wait,
    wrong::Wrong,
};

/// `R002_09`: one line per request, with the documented fields and the key's public prefix.
#[test]
fn each_request_is_one_line() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let team = site.team();
    let key = site.key(&["--scopes", "scan:read,scan:trigger", "--team-id", &team]);
    let tenant = site.org();
    let program = site.serve();
    let answer = program.key(&key.text).request("POST", "/api/line?secret=1").body("12345").send();
    let line = program.requests_logged("/api/line", 1).remove(0);
    let expected = [
        ("level", Value::from("info")),
        ("request_id", answer.header("x-request-id").expect("an id").into()),
        ("method", "POST".into()),
        ("host", "gw".into()),
        ("path", "/api/line".into()),
        ("status", 200.into()),
        ("upstream", "app".into()),
        ("route", "api".into()),
        ("client_ip", "127.0.0.1".into()),
        ("auth_method", "api_key".into()),
        ("credential", key.prefix.as_str().into()),
        ("tenant", tenant.into()),
        ("team", team.into()),
        ("outcome", "ok".into()),
        ("bytes_in", 5.into()),
        ("bytes_out", answer.body.length.into()),
    ];
    let mut wrong = Wrong::default();
    for (field, value) in expected {
        wrong.unless(line[field] == value, || format!("{field}: {} instead of {value}", line[field]));
    }
    wrong.unless(line["ts"].as_str().is_some_and(|ts| ts.ends_with('Z')), || format!("ts: {}", line["ts"]));
    wrong.unless(line["duration_ms"].is_number(), || format!("duration_ms: {}", line["duration_ms"]));
    wrong.none(&format!("a field of {line}"));
}

/// A client that leaves before it is answered is nobody's fault: no 500 in the log, none in the counters.
#[test]
fn a_client_that_left_is_no_error_of_ours() {
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::start(move |_| Answer::Held(held.clone(), Box::new(Answer::ok("late"))));
    let program = Site::new(Setup::offload(&upstream)).serve();
    let mut client = program.gateway().connect();
    client.send("GET /public/left HTTP/1.1\r\nHost: gw\r\n\r\n");
    upstream.wait_for(1);
    client.reset();
    let line = program.requests_logged("/public/left", 1).remove(0);
    assert_eq!(
        (&line["status"], &line["outcome"]),
        (&Value::from(499), &Value::from("client_left")),
        "{line}"
    );
    assert!(!program.metrics().lines().any(|line| line.contains("code=\"500\"")), "no 500 was answered");
    gate.open();
}

/// Refusals are lines too, with the code as outcome; the prefix of a key that did not pass is on its line.
#[test]
fn refusals_are_lines_too() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::trustedoss(&upstream));
    let key = site.key(&["--scope", "org"]);
    let program = site.serve();
    let wrong_secret = format!("tos_{}_{}", key.prefix, "0".repeat(32));
    for (target, credential, outcome) in [
        ("/any/missing", None, "credential_missing"),
        ("/any/malformed", Some("tos_x"), "credential_malformed"),
        ("/any/mismatch", Some(wrong_secret.as_str()), "credential_invalid"),
        ("/nowhere", Some(key.text.as_str()), "not_found"),
    ] {
        match credential {
            Some(text) => program.bearer(text).get(target),
            None => program.anonymous().get(target),
        };
        let line = program.requests_logged(target, 1).remove(0);
        assert_eq!(line["outcome"], outcome, "{line}");
    }
    let line = program.requests_logged("/any/mismatch", 1).remove(0);
    assert_eq!(
        (line["status"].as_u64(), line["credential"].as_str()),
        (Some(401), Some(key.prefix.as_str()))
    );
}

/// `R002_14`: every mismatch is `api_key.auth_failed` with the prefix and the reason, never the secret.
#[test]
fn every_mismatch_is_logged_with_its_prefix() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::trustedoss(&upstream));
    let key = site.key(&["--scope", "org"]);
    let program = site.serve();
    let wrong_secret = format!("tos_{}_{}", key.prefix, "S3cretS3cretS3cretS3cretS3cretAB");
    for _ in 0..3 {
        assert_eq!(program.bearer(&wrong_secret).verdict("/any/x"), "401 credential_invalid");
    }
    let failures = wait::for_some("three failures in the log", || {
        let lines = program.log().into_iter().chain(program.messages());
        let failures: Vec<Value> = lines.filter(|line| line["msg"] == "api_key.auth_failed").collect();
        (failures.len() >= 3).then_some(failures)
    });
    assert_eq!(failures.len(), 3);
    for line in failures {
        assert_eq!(
            (line["prefix"].as_str(), line["reason"].is_string()),
            (Some(key.prefix.as_str()), true),
            "{line}"
        );
    }
    assert!(!program.everything_written().contains("S3cretS3cret"), "the secret was logged");
}

/// M329, M331, M334, M343, O4: no secret reaches a log, a metric or an answer; hostile text cannot forge a line.
#[test]
fn nothing_secret_is_written_anywhere() {
    let upstream = Upstream::start(|_| Answer::Close(Vec::new()));
    let setup = Setup::offload(&upstream).set("log.level", "trace");
    let site = Site::new(setup);
    let key = site.key(&["--scopes", "scan:read"]);
    let revoked = site.key(&["--scopes", "scan:read", "--name", "revoked"]);
    site.cli(&["keys", "revoke", &revoked.id]).ok();
    let secrets =
        [key.text.clone(), revoked.text.clone(), "Passw0rdInBasic".to_owned(), "QuerySecret".to_owned()];
    let program = site.serve();
    let mut answers = String::new();
    for text in [&key.text, &revoked.text] {
        for target in ["/api/x", "/admin/x", "/nope", "/api/../x", "/api/x?token=QuerySecret"] {
            answers.push_str(&program.key(text).get(target).text());
            answers.push_str(&program.bearer(text).get(target).text());
        }
    }
    let forged = "\u{1b}[31m\"}\\n{\"msg\":\"forged\"}";
    let request = program
        .anonymous()
        .request("GET", "/api/%22%7d%0a")
        .header("User-Agent", forged)
        .header("Authorization", "Basic Passw0rdInBasic");
    answers.push_str(&request.send().text());
    program
        .anonymous()
        .request("GET", "/api/f")
        .line(b"Host2: x\"}")
        .header("X-Request-Id", "\"}{\"msg\":\"forged\"")
        .send();
    program.requests_logged("/api/f", 1);
    let everything = [program.everything_written(), program.metrics(), answers].concat();
    let mut wrong = Wrong::default();
    for secret in secrets {
        let tail = secret.get(secret.len().saturating_sub(20)..).unwrap_or(&secret);
        wrong.unless(!everything.contains(tail), || format!("...{tail}"));
    }
    wrong.none("a secret");
    assert!(program.log().iter().chain(&program.messages()).all(|line| line["msg"] != "forged"));
    assert!(!everything.contains('\u{1b}'), "an escape character was written raw");
    for line in program.everything_written().lines().filter(|line| !line.is_empty()) {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "not one JSON object: {line}");
    }
}

/// `R000_20`: use is counted in batches, with its last time and address, and survives the end of the process.
#[test]
fn use_is_counted() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let key = site.key(&["--scopes", "scan:read", "--environment", "production"]);
    let unused = site.key(&["--scopes", "scan:read", "--name", "unused"]);
    let program = site.serve();
    for _ in 0..25 {
        assert_eq!(program.key(&key.text).verdict("/api/x"), "200");
    }
    let shown = wait::for_some("25 uses", || {
        let shown = program.cli(&["keys", "show", &key.id]).json();
        (shown["usage_count"] == 25).then_some(shown)
    });
    assert_eq!(
        (shown["last_used_ip"].as_str(), shown["environment"].as_str()),
        (Some("127.0.0.1"), Some("production"))
    );
    assert!(shown["last_used_at"].is_string(), "{shown}");
    assert_eq!(program.cli(&["keys", "show", &unused.id]).json()["usage_count"], 0);
    for _ in 0..5 {
        assert_eq!(program.key(&key.text).verdict("/api/x"), "200");
    }
    let site = program.stop();
    assert_eq!(site.cli(&["keys", "show", &key.id]).json()["usage_count"], 30, "flushed at the end");
}

/// E173: uses of a key cost one write now and then, and not one each.
#[test]
fn uses_are_written_together() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let key = site.key(&["--scopes", "scan:read"]);
    let program = site.serve();
    let written = |program: &Program| {
        std::fs::metadata(program.site.path("latchgate.db-wal")).expect("the store's log").len()
    };
    assert_eq!(program.key(&key.text).verdict("/api/x"), "200");
    let before = written(&program);
    let mut client = program.gateway().connect();
    let request = program.key(&key.text).request("GET", "/api/x");
    for _ in 0..3000 {
        assert_eq!(request.on(&mut client).status, 200);
    }
    wait::until("the uses to be written", || {
        program.cli(&["keys", "show", &key.id]).json()["usage_count"] == 3001
    });
    // A transaction each would be 4 KiB at least.
    let grown = written(&program).saturating_sub(before);
    assert!(grown < 2 << 20, "3000 uses are {grown} bytes in the store's log");
}

/// M333: neither the command line nor the environment of a running gateway tells a secret; no command takes one as an
/// argument.
#[test]
fn arguments_and_environment_tell_nothing() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let key = site.key(&["--scopes", "scan:read"]);
    let secret = std::fs::read(site.path("secret.key")).expect("the secret");
    let program = site.serve();
    assert_eq!(program.key(&key.text).verdict("/api/x"), "200");
    let read = |name: &str| std::fs::read(format!("/proc/{}/{name}", program.pid())).expect("the process");
    for name in ["cmdline", "environ"] {
        let told = read(name);
        let has = |part: &[u8]| told.windows(part.len()).any(|window| window == part);
        assert!(!has(key.text.as_bytes()) && !has(&secret[..16]) && !has(PASSWORD.as_bytes()), "{name}");
    }
    let manual = run(["man"], "").ok().stdout;
    for flag in ["--password", "--key", "--secret", "--token"] {
        let bare = manual.replace("\\-", "-");
        let takes = bare.split(flag).skip(1).any(|rest| !rest.starts_with(['-', 's']));
        assert!(!takes, "{flag} takes a secret as an argument");
    }
}

/// M333: a program that dies writes its memory nowhere, even where a shell or the machine would let it.
#[test]
fn a_crash_leaves_no_core() {
    let site = Site::new(Setup::offload(&Upstream::echo()));
    let folder = site.path("");
    let mut program = site.serve_after(&format!("cd {}; ulimit -c unlimited", folder.display()));
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", program.pid())).expect("its limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
    assert_eq!(core.split_whitespace().skip(4).collect::<Vec<_>>(), ["0", "0", "bytes"]);
    program.signal("ABRT");
    let ended = program.ended();
    assert_eq!((ended.signal(), ended.core_dumped()), (Some(6), false));
    let files =
        std::fs::read_dir(&folder).expect("the folder").map(|entry| entry.expect("an entry").file_name());
    assert!(!files.into_iter().any(|name| name.to_string_lossy().starts_with("core")));
}

/// A blocked reader of the access log stops no request, and what is dropped is counted (I263).
#[test]
fn a_blocked_log_stops_nobody() {
    let upstream = Upstream::echo();
    let program = Site::new(Setup::offload(&upstream)).serve_unread();
    let mut client = program.gateway().connect();
    let request = program.anonymous().request("GET", &format!("/public/{}", "x".repeat(2000)));
    for _ in 0..3000 {
        assert_eq!(request.on(&mut client).status, 200);
    }
}

/// "A scrape passes Prometheus' own promtool check metrics", and counts what happened.
#[test]
fn metrics_pass_promtool_and_count() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let key = site.key(&["--scopes", "scan:read", "--rate-limit-per-minute", "3"]);
    let program = site.serve();
    for _ in 0..5 {
        program.key(&key.text).get("/api/x");
    }
    program.anonymous().get("/api/x");
    program.anonymous().get("/nope");
    program.anonymous().get("/public/x");
    let text = wait::for_some("all requests counted", || {
        let text = program.metrics();
        (crate::support::program::sample(&text, "latchgate_requests_total", &[]) >= 8.0).then_some(text)
    });
    let count = |name: &str, labels: &[(&str, &str)]| crate::support::program::sample(&text, name, labels);
    for (name, labels, value) in [
        ("latchgate_requests_total", vec![("route", "api"), ("code", "200")], 3.0),
        ("latchgate_requests_total", vec![("route", "api"), ("code", "429")], 2.0),
        ("latchgate_requests_total", vec![("route", "api"), ("code", "401")], 1.0),
        ("latchgate_requests_total", vec![("route", "none"), ("code", "404")], 1.0),
        ("latchgate_requests_total", vec![("route", "public"), ("code", "200")], 1.0),
        ("latchgate_rate_limited_total", vec![("route", "api")], 2.0),
        ("latchgate_auth_total", vec![("method", "none"), ("outcome", "credential_missing")], 1.0),
        ("latchgate_auth_total", vec![("method", "api_key"), ("outcome", "ok")], 3.0),
        ("latchgate_store_up", vec![], 1.0),
    ] {
        assert!(
            (count(name, &labels) - value).abs() < 0.5,
            "{name} {labels:?}: {} instead of {value}",
            count(name, &labels)
        );
    }
    for name in [
        "latchgate_request_duration_seconds_bucket",
        "latchgate_upstream_duration_seconds_bucket",
        "latchgate_auth_duration_seconds_bucket",
        "latchgate_cache_events_total",
        "latchgate_cache_entries",
        "latchgate_bcrypt_duration_seconds_bucket",
        "latchgate_bcrypt_queue",
        "latchgate_revocation_lag_seconds",
        "latchgate_store_staleness_seconds",
        "latchgate_upstream_requests_in_flight",
        "latchgate_connections",
        "latchgate_keys",
        "latchgate_keys_expiring",
        "latchgate_usage_unflushed",
        "latchgate_config_last_reload_success_timestamp_seconds",
        "latchgate_config_last_reload_successful",
        "latchgate_build_info",
        "process_cpu_seconds_total",
    ] {
        assert!(text.lines().any(|line| line.starts_with(name)), "{name} is not there");
    }
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool (Debian package prometheus; `bash tests/run` installs it)");
    promtool.stdin.take().expect("stdin").write_all(text.as_bytes()).expect("write the metrics");
    let judged = promtool.wait_with_output().expect("promtool");
    let said = [judged.stdout, judged.stderr].concat();
    assert!(judged.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
    assert!(
        !text.contains(&key.prefix) && !text.contains("127.0.0.1\"") || !text.contains("client"),
        "a key or an address as a label"
    );
}

/// I264: no request can make a new series.
#[test]
fn requests_make_no_series() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let key = site.key(&["--scopes", "scan:read"]);
    let program = site.serve();
    let visit = |number: usize| {
        program
            .key(&key.text)
            .request("GET", &format!("/api/{number}"))
            .header("User-Agent", &format!("agent-{number}"))
            .send();
        program.anonymous().get(&format!("/nope-{number}"));
        program.key(&format!("osk_{number}")).get("/api/x");
        program.anonymous().request(&format!("METHOD{number}"), "/api/x").send();
    };
    (0..5).for_each(visit);
    let series = |program: &Program| program.metrics().lines().filter(|line| !line.starts_with('#')).count();
    let before = series(&program);
    (5..60).for_each(visit);
    let after = series(&program);
    assert!(after <= before + 8, "{before} series became {after}");
}

/// M341: the ops port answers for the process and for its readiness, and nothing else; the gateway port has neither.
#[test]
fn the_ops_port_is_for_operators() {
    let upstream = Upstream::echo();
    let program = Site::new(Setup::offload(&upstream)).serve();
    let ops = program.ops().anonymous();
    assert_eq!(ops.get("/livez").status, 200);
    assert_eq!(ops.get("/readyz").status, 200);
    assert_eq!(ops.get("/nope").status, 404);
    assert_eq!(ops.get("/api/x").status, 404);
    assert_eq!(ops.post("/metrics", "").status, 405);
    for target in ["/debug", "/debug/pprof", "/debug/vars", "/config", "/env", "/trace", "/heapdump", "/quit"]
    {
        assert_eq!(ops.get(target).status, 404, "{target}");
        assert_eq!(program.admin().anonymous().get(target).status, 404, "{target} on the admin port");
    }
    assert!(ops.get("/metrics").header("content-type").is_some_and(|kind| kind.starts_with("text/plain")));
    for target in ["/metrics", "/livez", "/readyz", "/debug/pprof", "/v1/api-keys"] {
        assert_eq!(program.anonymous().verdict(target), "404 not_found", "{target} on the gateway port");
    }
}
