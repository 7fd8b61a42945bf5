//! A machine that runs out: of disk, of file descriptors.

use std::process::Command;

use crate::support::{program::Site, rawc::Client, rawup::Upstream, setup::Setup, wait};

/// J279: the disk is full (writes beyond a size fail): proxying goes on, changes fail with a word, nothing is half done;
/// with room again all heals without a restart.
#[test]
fn a_full_disk_stops_changes_not_requests() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let key = site.key(&["--scopes", "scan:read"]);
    // What kills a process that writes too much is ignored, as a disk knows no such signal.
    let program = site.serve_after("trap '' XFSZ");
    assert_eq!(program.key(&key.text).verdict("/api/x"), "200");
    let limit = |size: &str| {
        let pid = program.pid().to_string();
        let done =
            Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={size}:unlimited")]).status();
        assert!(done.expect("prlimit").success());
    };
    limit("1");
    for _ in 0..20 {
        assert_eq!(program.key(&key.text).verdict("/api/x"), "200");
    }
    wait::until("uses wait in memory", || program.metric("latchgate_usage_unflushed", &[]) >= 20.0);
    assert_eq!(program.key(&key.text).verdict("/api/x"), "200");
    limit("unlimited");
    wait::until("the uses are written", || {
        let shown = program.cli(&["keys", "show", &key.id]).json();
        shown["usage_count"].as_u64() >= Some(22)
    });
}

/// I243: with no descriptor left new connections wait, nothing spins or dies, and service resumes when some are free.
#[test]
fn running_out_of_descriptors_is_survived() {
    let upstream = Upstream::echo();
    let mut program = Site::new(Setup::offload(&upstream)).serve();
    assert_eq!(program.anonymous().verdict("/public/x"), "200");
    let room = program.descriptors() + 20;
    let pid = program.pid().to_string();
    let done = Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={room}")]).status();
    assert!(done.expect("prlimit").success());
    let crowd: Vec<Client> = (0..60).filter_map(|_| Client::try_connect(program.gateway().0)).collect();
    wait::until("no descriptor is left", || program.descriptors() + 2 >= room);
    let before = cpu_ticks(program.pid());
    std::thread::sleep(std::time::Duration::from_millis(500));
    let spent = cpu_ticks(program.pid()) - before;
    assert!(spent < 20, "{spent} hundredths of a second of CPU in half a second of waiting");
    assert!(program.is_running());
    drop(crowd);
    wait::until("service again", || {
        let mut client = program.gateway().connect();
        client.patience(std::time::Duration::from_secs(1));
        client.send("GET /public/x HTTP/1.1\r\nHost: gw\r\nConnection: close\r\n\r\n");
        client.try_receive("GET").ok().flatten().is_some_and(|answer| answer.status == 200)
    });
}

/// User and system time of a process, in hundredths of a second.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process' times");
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let field = |number: usize| {
        after_name.split_whitespace().nth(number).and_then(|text| text.parse::<u64>().ok()).expect("a number")
    };
    field(11) + field(12)
}
