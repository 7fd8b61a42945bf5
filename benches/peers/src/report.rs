//! The window that is measured, and the line that tells of it.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use crate::cpu;

/// What the threads that make load and the one that watches them share.
#[derive(Default)]
pub struct Shared {
    phase: AtomicU8,
    pub requests: Counter,
    pub bytes: Counter,
    pub errors: Counter,
    pub reconnects: Counter,
    first_error: Mutex<Option<String>>,
    /// Threads whose connections stand.
    connected: AtomicU64,
    /// Threads that have asked for each key once.
    warm: AtomicU64,
    /// Threads that have nothing left to do.
    done: AtomicU64,
}

/// A counter in a cache line of its own.
#[derive(Default)]
#[repr(align(128))]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

// Before it, 0, all is warming.
const MEASURING: u8 = 1;
const OVER: u8 = 2;

impl Shared {
    pub fn is_over(&self) -> bool {
        self.phase.load(Relaxed) == OVER
    }

    pub fn is_measuring(&self) -> bool {
        self.phase.load(Relaxed) == MEASURING
    }

    pub fn is_connected(&self) {
        self.connected.fetch_add(1, Relaxed);
    }

    pub fn is_warm(&self) {
        self.warm.fetch_add(1, Relaxed);
    }

    /// Ends the window before its time, once all threads have nothing left to do.
    pub fn is_done(&self) {
        self.done.fetch_add(1, Relaxed);
    }

    pub fn fail(&self, what: impl FnOnce() -> String) {
        self.errors.add(1);
        let mut first = self.first_error.lock().expect("no thread panics while it holds this");
        first.get_or_insert_with(what);
    }
}

/// How long, and whose processor time.
pub struct Window {
    pub warm: Duration,
    pub length: Duration,
    pub processes: Vec<u32>,
    /// Threads that will say that they are warm.
    pub threads: u64,
}

/// What was counted in the window.
pub struct Counted {
    seconds: f64,
    requests: u64,
    bytes: u64,
    errors: u64,
    reconnects: u64,
    cpu: cpu::RunTimes,
    first_error: String,
}

impl Window {
    /// Waits until all is warm, lets the window begin and end, and then everything.
    pub fn watch(&self, shared: &Arc<Shared>) -> Counted {
        let dialing = Instant::now();
        while shared.connected.load(Relaxed) < self.threads && dialing.elapsed() < LONGEST_DIALING {
            thread::sleep(Duration::from_millis(1));
        }
        let started = Instant::now();
        let impatient = self.warm + LONGEST_WARMING;
        while started.elapsed() < self.warm
            || (shared.warm.load(Relaxed) < self.threads && started.elapsed() < impatient)
        {
            thread::sleep(Duration::from_millis(5));
        }
        let (requests, bytes) = (shared.requests.get(), shared.bytes.get());
        let before = cpu::run_times(&self.processes);
        let begin = Instant::now();
        shared.phase.store(MEASURING, Relaxed);
        while begin.elapsed() < self.length && shared.done.load(Relaxed) < self.threads.max(1) {
            thread::sleep(Duration::from_millis(1).min(self.length));
        }
        let seconds = begin.elapsed().as_secs_f64();
        let (requests, bytes) = (shared.requests.get() - requests, shared.bytes.get() - bytes);
        let mut cpu = cpu::run_times(&self.processes);
        for (name, time) in &mut cpu {
            // A thread that has ended takes its time along.
            *time = time.saturating_sub(before.get(name).copied().unwrap_or(0));
        }
        shared.phase.store(OVER, Relaxed);
        let first = shared.first_error.lock().expect("no thread panics while it holds this").clone();
        Counted {
            seconds,
            requests,
            bytes,
            // Those of the warming as well: there should be none at all.
            errors: shared.errors.get(),
            reconnects: shared.reconnects.get(),
            cpu,
            first_error: first.unwrap_or_default(),
        }
    }
}

/// Ten thousand connections take their time where the machine does something else.
const LONGEST_DIALING: Duration = Duration::from_secs(20);
/// A subject that is so slow that keys stay unasked is measured all the same.
const LONGEST_WARMING: Duration = Duration::from_secs(15);

impl Counted {
    /// One line of JSON; `latencies` in nanoseconds, in any order.
    pub fn print(&self, mut latencies: Vec<u32>) {
        latencies.sort_unstable();
        let at = |share: f64| {
            let place = (share * latencies.len() as f64).ceil() as usize;
            latencies.get(place.saturating_sub(1)).map_or(0.0, |nanos| f64::from(*nanos) / 1000.0)
        };
        let micros = |nanos: u64| nanos as f64 / 1000.0;
        let threads = self.cpu.iter().filter(|(_, time)| **time > 0);
        let threads: Vec<_> =
            threads.map(|(name, time)| format!("\"{name}\":{:.1}", micros(*time))).collect();
        println!(
            "{{\"seconds\":{:.4},\"requests\":{},\"bytes\":{},\"errors\":{},\"reconnects\":{},\"cpu_us\":{:.1},\"threads\":{{{}}},\
             \"p50\":{:.1},\"p90\":{:.1},\"p99\":{:.1},\"p999\":{:.1},\"max\":{:.1},\"first_error\":\"{}\"}}",
            self.seconds,
            self.requests,
            self.bytes,
            self.errors,
            self.reconnects,
            micros(self.cpu.values().sum()),
            threads.join(","),
            at(0.5),
            at(0.9),
            at(0.99),
            at(0.999),
            at(1.0),
            self.first_error.escape_default().to_string().replace("\\'", "'"),
        );
    }
}

/// Nanoseconds as they are kept: four seconds are as bad as any longer time.
pub fn nanos(time: Duration) -> u32 {
    u32::try_from(time.as_nanos()).unwrap_or(u32::MAX)
}
