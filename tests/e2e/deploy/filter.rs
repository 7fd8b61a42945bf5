//! The unit's filter of system calls lets the program live: through its start, requests, a reload, another program in
//! its place, and its end.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use super::text;
use crate::support::{program::Site, rawc::Client, rawup::Upstream, request::Door, setup::Setup, wait};

/// What a group of systemd's, such as `@system-service`, stands for.
fn group(name: &str) -> BTreeSet<String> {
    let said = Command::new("systemd-analyze").args(["syscall-filter", name]).output();
    let said = said.expect("systemd-analyze: run `bash tests/run`").stdout;
    let said = String::from_utf8_lossy(&said).into_owned();
    let mut calls = BTreeSet::new();
    for word in said.lines().skip(1).map(str::trim).filter(|line| !line.starts_with('#')) {
        if word.starts_with('@') {
            calls.extend(group(word));
        } else if !word.is_empty() {
            calls.insert(word.to_owned());
        }
    }
    calls
}

/// What the unit allows.
fn allowed() -> BTreeSet<String> {
    let unit = text("systemd/latchgate.service");
    let mut calls = BTreeSet::new();
    for line in unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        let taken = line.strip_prefix('~');
        for name in taken.unwrap_or(line).split(' ') {
            if taken.is_some() {
                calls = &calls - &group(name);
            } else if name.starts_with('@') {
                calls.extend(group(name));
            } else {
                calls.insert(name.to_owned());
            }
        }
    }
    assert!(calls.len() > 100 && !calls.contains("mount") && !calls.contains("setuid"), "{calls:?}");
    calls
}

/// Traced through a whole life, the program asks for nothing that the unit forbids.
#[test]
fn the_filter_lets_the_program_live() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let key = site.key(&["--scopes", "scan:read"]);
    let (trace, messages) = (site.path("trace"), site.path("messages"));
    let mut traced = Traced::start(&site, &trace, &messages);
    let said = |message: &str| -> Vec<Value> {
        let text = fs::read_to_string(&messages).expect("what it says");
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["msg"].as_str().is_some_and(|msg| msg.starts_with(message))).collect()
    };
    let address = wait::for_some("the gateway's address", || {
        let gateway = said("listening").into_iter().find(|line| line["listener"] == "gateway")?;
        gateway["address"].as_str()?.parse().ok()
    });
    let passes = || {
        let ready = Client::try_connect(address).is_some();
        ready && Door(address).key(&key.text).get("/api/x").status == 200
    };
    wait::until("an answer", passes);
    let first = traced.programs().remove(0);
    signal("HUP", &first);
    wait::until("a reload", || !said("configuration reloaded").is_empty());
    signal("USR2", &first);
    let successor = wait::for_some("a successor", || {
        Some(said("this process serves in the place").pop()?["pid"].to_string())
    });
    assert_ne!(successor, first);
    wait::until("an answer of the successor", passes);
    signal("TERM", &successor);
    // The tracer ends when all that it traces has ended.
    assert!(traced.child.wait().expect("its end").success());

    let used: BTreeSet<String> = traced.calls();
    assert!(used.len() > 40 && used.contains("accept4"), "{used:?}");
    let mut forbidden = &used - &allowed();
    // SQLite gives its files to the owner of the store, where root runs it; the service is not root.
    forbidden.remove("fchown");
    assert!(forbidden.is_empty(), "the unit forbids {forbidden:?}");
}

/// The program under strace; ended, with its successor, when dropped.
struct Traced {
    child: Child,
    trace: PathBuf,
}

impl Traced {
    fn start(site: &Site, trace: &Path, messages: &Path) -> Self {
        let child = Command::new("strace")
            .args(["--follow-forks", "--quiet=all", "--signal=none", "--output"])
            .arg(trace)
            .arg(env!("CARGO_BIN_EXE_latchgate"))
            .args(["serve", "--config"])
            .arg(site.config())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(messages).expect("a file"))
            .spawn()
            .expect("strace: run `bash tests/run`");
        Self { child, trace: trace.to_owned() }
    }

    fn lines(&self) -> Vec<String> {
        let trace = fs::read(&self.trace).unwrap_or_default();
        String::from_utf8_lossy(&trace).lines().map(str::to_owned).collect()
    }

    /// The processes that became a program, in their order.
    fn programs(&self) -> Vec<String> {
        let lines = self.lines();
        let began = lines.iter().filter(|line| line.contains(" execve("));
        began.filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
    }

    /// The names of all calls.
    fn calls(&self) -> BTreeSet<String> {
        let is_name =
            |name: &&str| name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        let lines = self.lines();
        let calls = lines.iter().filter_map(|line| line.split_once(' ')?.1.trim_start().split_once('('));
        calls.map(|(name, _)| name).filter(is_name).map(str::to_owned).collect()
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            for program in self.programs() {
                let _ = Command::new("kill").args(["-KILL", &program]).stderr(Stdio::null()).status();
            }
            let _ = self.child.wait();
        }
    }
}

fn signal(name: &str, process: &str) {
    let done = Command::new("kill").args([&format!("-{name}"), process]).status();
    assert!(done.expect("kill").success(), "{process} is gone");
}
