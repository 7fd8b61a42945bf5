//! One core for everything: whoever answers requests goes first.

use std::{collections::BTreeMap, fs};

use crate::support::{program::Site, rawup::Upstream, setup::Setup, wait};

/// How nice each kind of thread is, by its name without its number; `main` is the first.
fn niceness(pid: u64) -> BTreeMap<String, Vec<i64>> {
    let mut found = BTreeMap::<String, Vec<i64>>::new();
    for task in fs::read_dir(format!("/proc/{pid}/task")).expect("threads").flatten() {
        // A thread may have ended meanwhile.
        let Ok(stat) = fs::read_to_string(task.path().join("stat")) else { continue };
        let (name, rest) = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')')).expect("a name");
        let nice = rest.split_whitespace().nth(NICE).expect("nice").parse().expect("a number");
        let is_first = task.file_name().to_str() == Some(&pid.to_string());
        let name = if is_first {
            "main"
        } else {
            name.trim_end_matches(|char: char| char == '-' || char.is_ascii_digit())
        };
        found.entry(name.to_owned()).or_default().push(nice);
    }
    found
}

/// Field 19 of proc_pid_stat(5); what is counted from is the third.
const NICE: usize = 16;

/// Workers stay as the program was started; everything behind the answers steps back, the store's threads too, whoever
/// asked for them.
fn assert_workers_first(pid: u64, started_at: i64) {
    let threads = niceness(pid);
    let all = |name: &str| threads.get(name).unwrap_or_else(|| panic!("no {name} in {threads:?}")).clone();
    for first in ["main", "worker"] {
        assert!(all(first).iter().all(|nice| *nice == started_at), "{threads:?}");
    }
    for behind in ["tokio-rt-worker", "sqlx-sqlite-wor", "access-log", "hashing"] {
        let behind = all(behind);
        assert!(behind.iter().all(|nice| *nice > started_at), "{threads:?}");
    }
}

#[test]
fn whoever_answers_goes_first() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let key = site.key(&["--scopes", "scan:read"]);
    let mut program = site.serve();
    assert_eq!(program.key(&key.text).verdict("/api/x"), "200");
    let pid = u64::from(program.pid());
    let started_at = niceness(pid)["main"][0];
    assert_workers_first(pid, started_at);

    // What steps back is not handed on to whoever takes the place.
    program.signal("USR2");
    let successor = wait::for_some("a successor", || {
        let mut lines = program.messages().into_iter();
        lines.find_map(|line| {
            line["msg"].as_str()?.starts_with("this process serves").then(|| line["pid"].as_u64())?
        })
    });
    assert!(program.ended().success());
    assert_workers_first(successor, started_at);
    let pid = i32::try_from(successor).ok().and_then(rustix::process::Pid::from_raw).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it is there");
    wait::until("the successor's end", || !std::path::Path::new(&format!("/proc/{successor}")).exists());
}
