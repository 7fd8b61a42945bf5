//! Targets that come and go: asked whether they are well, put out when they fail, restarted one after the other.

use std::{
    net::SocketAddr,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use toml::Value;

use crate::support::{
    program::{Program, Site},
    rawup::{Answer, Upstream},
    setup::Setup,
    wait,
};

fn list(targets: &[String]) -> Value {
    Value::Array(targets.iter().map(|target| Value::from(target.as_str())).collect())
}

fn up(program: &Program, target: &str) -> Option<bool> {
    let line = format!("latchgate_upstream_up{{target=\"{target}\",upstream=\"app\"}} ");
    let text = program.metrics();
    let value = text.lines().find_map(|known| known.strip_prefix(line.as_str()).map(ToOwned::to_owned))?;
    Some(value == "1")
}

/// A target that does not answer its questions well is given nothing until it does; with none left the answer is a
/// quick 502, and a reload forgets it all.
#[test]
fn a_target_that_is_not_well_is_given_nothing() {
    let well = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&well);
    let upstream = Upstream::start(move |request| match request.target.as_str() {
        "/healthz" if !asked.load(Ordering::SeqCst) => Answer::status("503 Service Unavailable", "no"),
        _ => Answer::ok("ok"),
    });
    let setup = Setup::offload(&upstream).set("upstream.health.path", "/healthz");
    let setup = setup.set("upstream.health.interval", "100ms");
    let program = Site::new(setup.clone()).serve();
    assert_eq!(program.anonymous().verdict("/public/x"), "200");
    assert_eq!(up(&program, &upstream.url()), Some(true));
    well.store(false, Ordering::SeqCst);
    wait::until("the target is down", || up(&program, &upstream.url()) == Some(false));
    upstream.forget();
    let started = Instant::now();
    for _ in 0..5 {
        assert_eq!(program.anonymous().verdict("/public/x"), "502 upstream_unreachable");
    }
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert!(upstream.requests().iter().all(|seen| seen.target == "/healthz"), "it was given a request");
    well.store(true, Ordering::SeqCst);
    wait::until("the target is up", || program.anonymous().verdict("/public/x") == "200");
    assert!(program.everything_written().contains("a target is not well"));

    let other = Upstream::echo();
    program.site.configure(&setup.set("upstream.targets", list(&[other.url()])));
    program.sighup();
    wait::until("the other target", || up(&program, &other.url()) == Some(true));
    assert_eq!(up(&program, &upstream.url()), None, "the old series is gone");
    upstream.forget();
    let so_far = other.count();
    wait::until("the other target to be asked again and again", || other.count() >= so_far + 5);
    // A question may have been under way.
    assert!(upstream.count() <= 1, "it is still asked: {} times", upstream.count());
}

/// A target that fails every request is put out, with nothing asked of the operator; the last one never is.
#[test]
fn a_target_that_fails_is_put_out_but_never_the_last() {
    let (good, bad) = (Upstream::echo(), Upstream::start(|_| Answer::Close(b"nonsense\r\n\r\n".to_vec())));
    let setup = Setup::offload(&good).set("upstream.targets", list(&[good.url(), bad.url()]));
    let program = Site::new(setup.set("upstream.balance", "round_robin")).serve();
    wait::until("the bad target is out", || {
        program.anonymous().get("/public/x");
        up(&program, &bad.url()) == Some(false)
    });
    let before = bad.count();
    for _ in 0..20 {
        assert_eq!(program.anonymous().post("/public/x", "body").verdict(), "200");
    }
    assert_eq!(bad.count(), before, "it is still given requests");
    assert_eq!(up(&program, &good.url()), Some(true));
    drop(program);

    let program = Site::new(Setup::offload(&bad)).serve();
    for _ in 0..20 {
        assert_eq!(program.anonymous().post("/public/x", "body").verdict(), "502 upstream_protocol");
    }
    assert_eq!(up(&program, &bad.url()), Some(true));
}

/// When everything fails, a fifth of the requests are tried again, beyond the first few: retries are no load of their
/// own.
#[test]
fn retries_have_a_budget() {
    let bad = Upstream::start(|_| Answer::Close(Vec::new()));
    let program = Site::new(Setup::offload(&bad).set("listen.workers", 1)).serve();
    for _ in 0..200 {
        assert_eq!(program.anonymous().get("/public/x").status, 502);
    }
    assert!((200..=260).contains(&bad.count()), "{} attempts for 200 requests", bad.count());
}

/// A name that has several addresses is as good as those of them that answer.
#[test]
fn a_name_is_as_good_as_its_addresses() {
    let upstream = Upstream::echo();
    let target = format!("http://localhost:{}", upstream.address().port());
    let program =
        Site::new(Setup::offload(&upstream).set("upstream.targets", list(std::slice::from_ref(&target))))
            .serve();
    for _ in 0..20 {
        assert_eq!(program.anonymous().post("/public/x", "body").verdict(), "200");
    }
    assert_eq!(up(&program, &target), Some(true));
    let setup =
        Setup::offload(&upstream).set("upstream.targets", list(&["http://no.such.invalid".to_owned()]));
    let program = Site::new(setup.set("upstream.timeouts.connect", "300ms")).serve();
    assert_eq!(program.anonymous().verdict("/public/x"), "502 upstream_unreachable");
    assert_eq!(up(&program, "http://no.such.invalid"), Some(false));
}

/// A name whose address changes: new requests follow within ten seconds, and connections to where it was are closed. The
/// program runs with an `/etc/hosts` of its own, where the machine lets it.
#[test]
fn a_name_is_followed_to_its_new_address() {
    let allowed = Command::new("unshare").args(["-rm", "true"]).stderr(Stdio::null()).status();
    if !allowed.is_ok_and(|status| status.success()) {
        eprintln!("skipped: a namespace of its own is not permitted here");
        return;
    }
    let first = Upstream::start(|_| Answer::ok("first"));
    let port = first.address().port();
    let _second = Upstream::at(SocketAddr::from(([127, 0, 0, 2], port)), |_| Answer::ok("second"));
    let setup =
        Setup::offload(&first).set("upstream.targets", list(&[format!("http://backend.test:{port}")]));
    let site = Site::new(setup);
    let hosts = site.file("hosts", "127.0.0.1 localhost backend.test\n");
    let own = format!("mount --bind {} /etc/hosts && exec \"$0\" \"$@\"", hosts.display());
    let program = site.serve_after(&format!("exec unshare -rm bash -c '{own}' \"$0\" \"$@\""));
    for _ in 0..10 {
        assert_eq!(program.anonymous().get("/public/x").text(), "first");
    }
    assert!(first.open_connections() > 0, "none is kept");
    let changed = Instant::now();
    // In place: what is mounted is this file, not its name.
    std::fs::write(&hosts, "127.0.0.2 localhost backend.test\n").expect("write");
    wait::within(Duration::from_secs(20), "the new address", || {
        let answer = program.anonymous().get("/public/x");
        assert_eq!(answer.status, 200);
        (answer.text() == "second").then_some(())
    });
    eprintln!("followed after {:?}", changed.elapsed());
    for _ in 0..10 {
        assert_eq!(program.anonymous().post("/public/x", "body").text(), "second");
    }
    wait::until("connections to the old address are closed", || first.open_connections() == 0);
}
