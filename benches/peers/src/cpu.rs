//! Processor time, and where a thread may run.

use std::fs;

use rustix::thread::{CpuSet, sched_setaffinity};

/// Nanoseconds that the threads of these processes have run. `/proc/PID/stat` counts in ticks of 10 ms; this does not.
pub fn run_time(processes: &[u32]) -> u64 {
    let mut total = 0;
    for process in processes {
        let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else { continue };
        for task in tasks.flatten() {
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            total += text.split(' ').next().and_then(|time| time.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    total
}

/// Keeps this thread on one core.
pub fn pin(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    if let Err(error) = sched_setaffinity(None, &set) {
        eprintln!("not pinned to core {core}: {error}");
    }
}
