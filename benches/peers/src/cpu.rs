//! Processor time, and where a thread may run.

use std::{collections::BTreeMap, fs};

use rustix::thread::{CpuSet, sched_setaffinity};

/// Nanoseconds that threads have run, by their names without the number at the end. `/proc/PID/stat` counts in ticks of
/// 10 ms; this does not.
pub type RunTimes = BTreeMap<String, u64>;

/// What the threads of these processes have run until now.
pub fn run_times(processes: &[u32]) -> RunTimes {
    let mut times = RunTimes::new();
    for process in processes {
        let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else { continue };
        for task in tasks.flatten() {
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            let time = text.split(' ').next().and_then(|time| time.parse::<u64>().ok()).unwrap_or(0);
            let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            *times.entry(plain(&name)).or_default() += time;
        }
    }
    times
}

/// A name that needs no escaping and is the same for all threads of a kind.
fn plain(name: &str) -> String {
    let known = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let name: String = name.trim().chars().map(known).collect();
    name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-').to_owned()
}

/// Keeps this thread on one core.
pub fn pin(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    if let Err(error) = sched_setaffinity(None, &set) {
        eprintln!("not pinned to core {core}: {error}");
    }
}
