//! `serve` and its signals: reloading, and starting where it cannot.

use std::{
    net::TcpListener,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    program::Site,
    rawc::{Client, End},
    rawup::{Answer, Gate, Upstream},
    setup::Setup,
    stop::StopAtEnd,
    wait,
};

/// SIGHUP: routes and limits change without a failed request; a bad file keeps the old one and says so (K298).
#[test]
fn sighup_reloads_and_survives_a_bad_file() {
    let (first, second) = (Upstream::echo(), Upstream::echo());
    let setup = Setup::offload(&first);
    let program = Site::new(setup.clone()).serve();
    let mut client = program.gateway().connect();
    let request = program.anonymous().request("GET", "/public/x");
    assert_eq!(request.on(&mut client).status, 200);
    assert_eq!(program.anonymous().verdict("/new/x"), "404 not_found");

    let added = "name = \"new\"\npath = \"/new/{*rest}\"\nupstream = \"second\"\ncredentials = [\"none\"]";
    program.site.configure(&setup.clone().upstream("second", &second.url()).route(added));
    program.sighup();
    wait::until("the new route", || program.anonymous().get("/new/x").status == 200);
    assert_eq!((second.count(), request.on(&mut client).status), (1, 200), "a kept connection lives on");
    wait::until("the metric", || program.metric("latchgate_config_last_reload_successful", &[]) > 0.5);

    for bad in ["profile = ", "colour = 1\n"] {
        program.site.configure_text(bad);
        program.sighup();
        wait::until("the metric of a bad file", || {
            program.metric("latchgate_config_last_reload_successful", &[]) < 0.5
        });
        assert_eq!(program.anonymous().verdict("/new/x"), "200", "the old configuration stays");
        program.site.configure(&setup.clone().upstream("second", &second.url()).route(added));
        program.sighup();
        wait::until("the metric of a good file", || {
            program.metric("latchgate_config_last_reload_successful", &[]) > 0.5
        });
    }
    assert!(program.messages().iter().any(|line| line["level"] == "error"), "a bad file is one error line");
}

/// K298: no request fails over many reloads under load.
#[test]
fn no_request_fails_while_reloading() {
    let upstream = Upstream::echo();
    let setup = Setup::offload(&upstream);
    let site = Site::new(setup.clone());
    let key = site.key(&["--scopes", "scan:read"]);
    let program = site.serve();
    let stop = AtomicBool::new(false);
    let served: usize = thread::scope(|scope| {
        let _end = StopAtEnd(&stop);
        let asking = || {
            let mut client = program.gateway().connect();
            let request = program.key(&key.text).request("GET", "/api/x");
            let mut served = 0;
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(request.on(&mut client).status, 200);
                assert_eq!(program.key(&key.text).get("/api/y").status, 200);
                served += 2;
            }
            served
        };
        let askers: Vec<_> = (0..3).map(|_| scope.spawn(asking)).collect();
        for round in 0..30 {
            let before = upstream.count();
            program.site.configure(&setup.clone().set("limits.header_count", 100 + round % 2));
            program.sighup();
            wait::until("requests between two reloads", || upstream.count() > before + 10);
        }
        stop.store(true, Ordering::Relaxed);
        askers.into_iter().map(|asker| asker.join().expect("an asker")).sum()
    });
    assert_eq!(served, upstream.count());
}

/// A port that is taken, a folder that is no store: exit code and one clear line.
#[test]
fn it_says_why_it_cannot_start() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let site = Site::new(Setup::bare("offload"));
    for listener in ["listen.gateway", "listen.ops"] {
        site.configure(&site.setup.clone().set(listener, address.as_str()));
        let refused = site.plain(&["serve"], "");
        assert!(matches!(refused.code, 1 | 2), "{listener}: {refused:?}");
        assert!(refused.stderr.contains(&address), "{listener}: {refused:?}");
    }
}

/// `migrate` is safe to repeat.
#[test]
fn migrate_can_be_repeated() {
    let site = Site::new(Setup::bare("offload"));
    let key = site.key(&["--scopes", "scan:read"]);
    for _ in 0..3 {
        site.plain(&["migrate"], "").ok();
    }
    assert_eq!(site.cli(&["keys", "show", &key.id]).json()["prefix"], key.prefix.as_str());
}

/// SIGTERM: not ready first, what runs is finished, what is idle is closed, then exit 0 (K296).
#[test]
fn sigterm_drains() {
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::start(move |request| {
        if request.target.ends_with("held") {
            Answer::Held(held.clone(), Box::new(Answer::ok("finished")))
        } else {
            Answer::Echo
        }
    });
    let mut program = Site::new(Setup::offload(&upstream)).serve();
    let mut idle = program.gateway().connect();
    assert_eq!(program.anonymous().request("GET", "/public/x").on(&mut idle).status, 200);
    let mut running = program.gateway().connect();
    running.send("GET /public/held HTTP/1.1\r\nHost: gw\r\n\r\n");
    upstream.wait_for(2);
    program.sigterm();
    wait::until("not ready", || {
        Client::try_connect(program.ops().0).is_none_or(|mut ops| {
            ops.send("GET /readyz HTTP/1.1\r\nHost: ops\r\nConnection: close\r\n\r\n");
            ops.try_receive("GET").ok().flatten().is_none_or(|answer| answer.status == 503)
        })
    });
    assert_ne!(idle.until_closed().0, End::Open, "an idle connection is closed");
    assert!(program.is_running(), "it waits for the running request");
    gate.open();
    let answer = running.receive();
    assert_eq!((answer.status, answer.text().as_str()), (200, "finished"));
    assert!(program.ended().success());
}

/// SIGTERM with a request that never ends: given up at `drain_timeout`.
#[test]
fn a_drain_has_an_end() {
    let upstream = Upstream::start(|_| Answer::Stall(Vec::new()));
    let mut program = Site::new(Setup::offload(&upstream).set("limits.drain_timeout", "300ms")).serve();
    let mut client = program.gateway().connect();
    client.send("GET /public/x HTTP/1.1\r\nHost: gw\r\n\r\n");
    upstream.wait_for(1);
    program.sigterm();
    let started = Instant::now();
    let status = program.ended();
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(status.code(), Some(0), "{}", program.everything_written());
}

/// SIGINT ends it as SIGTERM does, and logs can be for people.
#[test]
fn it_is_at_home_in_a_terminal() {
    let upstream = Upstream::echo();
    let mut program = Site::new(Setup::offload(&upstream)).serve();
    assert_eq!(program.anonymous().verdict("/public/x"), "200");
    program.signal("INT");
    assert!(program.ended().success());
}
