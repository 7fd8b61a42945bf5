//! Proving a key: what it costs, and what an attacker can make it cost.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    program::{Key, Program, Site},
    rawup::Upstream,
    setup::Setup,
    stop::StopAtEnd,
};

/// The time of each answer, sorted.
fn times(program: &Program, keys: &[String]) -> Vec<Duration> {
    let mut client = program.gateway().connect();
    let mut times: Vec<Duration> = keys
        .iter()
        .map(|key| {
            let started = Instant::now();
            let answer = program.bearer(key).request("GET", "/any/x").on(&mut client);
            assert_eq!(answer.verdict(), "401 credential_invalid");
            started.elapsed()
        })
        .collect();
    times.sort_unstable();
    times
}

/// `R002_02`, D134: a wrong secret takes as long as an unknown prefix, whether the key has its MAC or only its bcrypt hash;
/// an answer's time tells nobody which prefixes exist.
#[test]
fn time_tells_nothing_about_prefixes() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::trustedoss(&upstream).set("keys.bcrypt_cost", 9));
    let (fast, slow) =
        (site.key(&["--scope", "org", "--name", "fast"]), site.key(&["--scope", "org", "--name", "slow"]));
    site.sql(&format!("UPDATE api_keys SET mac = NULL WHERE prefix = '{}'", slow.prefix));
    let program = site.serve();
    let wrong = |prefix: &str, number: usize| format!("tos_{prefix}_{number:032}");
    let mut told = String::new();
    // The machine's other work can tilt one round; a real difference shows in each.
    for round in 0..4 {
        let of = |prefix: &dyn Fn(usize) -> String| {
            let keys: Vec<String> =
                (0..21).map(|number| wrong(&prefix(number), round * 100 + number)).collect();
            times(&program, &keys)[7]
        };
        let unknown = of(&|number| format!("{:08}", round * 100 + number));
        let (with_mac, with_hash) = (of(&|_| fast.prefix.clone()), of(&|_| slow.prefix.clone()));
        told = format!("unknown {unknown:?}, wrong with MAC {with_mac:?}, wrong with bcrypt {with_hash:?}");
        let close =
            |one: Duration, other: Duration| one.abs_diff(other) < Duration::from_millis(2).max(one / 7);
        if close(unknown, with_mac) && close(unknown, with_hash) {
            return;
        }
    }
    panic!("time tells: {told}");
}

/// I233, I234: an attacker who makes us hash as fast as possible delays nobody whose key is known.
#[test]
fn hashing_for_attackers_delays_nobody_else() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::trustedoss(&upstream).set("keys.bcrypt_cost", 11));
    let known = site.key(&["--scope", "org", "--name", "known"]);
    let targets: Vec<Key> =
        (0..8).map(|number| site.key(&["--scope", "org", "--name", &format!("target {number}")])).collect();
    site.sql("UPDATE api_keys SET mac = NULL WHERE name LIKE 'target%'");
    let program = site.serve();
    let mut client = program.gateway().connect();
    let request = program.bearer(&known.text).request("GET", "/any/x");
    assert_eq!(request.on(&mut client).status, 200);
    let stop = AtomicBool::new(false);
    let mut slowest = thread::scope(|scope| {
        let _end = StopAtEnd(&stop);
        for (number, target) in targets.iter().enumerate() {
            let (program, stop) = (&program, &stop);
            scope.spawn(move || {
                let mut client = program.gateway().connect();
                let mut tried = 0_usize;
                while !stop.load(Ordering::Relaxed) {
                    let prefix =
                        if tried.is_multiple_of(2) { target.prefix.clone() } else { format!("{tried:08}") };
                    let key = format!("tos_{prefix}_{number:016}{tried:016}");
                    let status = program.bearer(&key).request("GET", "/any/x").on(&mut client).status;
                    assert!(matches!(status, 401 | 429 | 503), "{status}");
                    tried += 1;
                }
            });
        }
        let mut times = Vec::new();
        while times.len() < 300 {
            let started = Instant::now();
            assert_eq!(request.on(&mut client).status, 200);
            times.push(started.elapsed());
            thread::sleep(Duration::from_millis(2));
        }
        stop.store(true, Ordering::Relaxed);
        times
    });
    slowest.sort_unstable();
    let p95 = slowest[285];
    assert!(p95 < Duration::from_millis(150), "a known key waits {p95:?} while others are hashed");
}

/// `R000_14`: proven once, a key is remembered: the second request costs no bcrypt, nor does a wrong one after it.
#[test]
fn a_key_is_hashed_once() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::trustedoss(&upstream));
    let key = site.key(&["--scope", "org"]);
    site.sql("UPDATE api_keys SET mac = NULL");
    let program = site.serve();
    let hashed = || program.metric("latchgate_bcrypt_duration_seconds_count", &[]);
    let before = hashed();
    for _ in 0..20 {
        assert_eq!(program.bearer(&key.text).verdict("/any/x"), "200");
    }
    assert!((hashed() - before - 1.0).abs() < 0.5, "{} times", hashed() - before);
}
