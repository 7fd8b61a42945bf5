//! Requests over HTTP/1.1, with or without TLS: as fast as they are answered, or at a rate that nothing slows down.

mod connection;
mod request;

use std::{
    collections::VecDeque,
    io,
    net::IpAddr,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token};

use self::connection::{Answer, Connection, Dial};
pub use self::{
    connection::connect,
    request::{Choice, Template},
};
use crate::{
    Outcome, cpu,
    options::Options,
    report::{Shared, Window, nanos},
    serve::patiently,
    tls,
};

/// `--address A --keys FILE --path P --cores 2,3`, and
/// `--connections 64`; `--warm S`, `--seconds S`: unmeasured, then measured; `--rate N`: requests a second, each timed
/// from when it should have been sent; `--once yes`: each key once, measured from the first on; `--processes 1,2`: whose
/// processor time; `--status 200`, `--body 1024`: what is expected (0: anything); `--source A`: the client's address;
/// `--tls yes`.
pub fn run(options: &Options) -> Outcome {
    let cores: Vec<usize> = options.list("cores")?;
    let once = options.given("once").is_some();
    let plan = Arc::new(Plan {
        dial: Dial {
            address: options.needed("address")?,
            source: options.given("source").map(str::parse::<IpAddr>).transpose()?,
            tls: options.given("tls").map(|_| tls::config(&["http/1.1"], false)).transpose()?,
        },
        template: Template::new(&options.needed::<String>("path")?, options.keys()?),
        connections: options.value("connections", 64)?,
        threads: cores.len(),
        rate: options.value("rate", 0.0)?,
        once,
        expected: Answer { status: options.value("status", 200)?, body: options.value("body", 1024)? },
    });
    let window = Window {
        warm: Duration::from_secs_f64(options.value("warm", 0.5)?),
        length: Duration::from_secs_f64(options.value("seconds", 2.0)?),
        processes: options.list("processes")?,
        threads: cores.len() as u64,
    };
    let shared = Arc::new(Shared::default());
    let threads: Vec<_> = cores
        .into_iter()
        .enumerate()
        .map(|(index, core)| {
            let (plan, shared) = (Arc::clone(&plan), Arc::clone(&shared));
            thread::spawn(move || {
                cpu::pin(core);
                Worker::new(index, &plan, &shared).and_then(Worker::run).map_err(|error| error.to_string())
            })
        })
        .collect();
    let counted = window.watch(&shared);
    let mut latencies = Vec::new();
    for thread in threads {
        latencies.extend(thread.join().map_err(|_| "a thread panicked")??);
    }
    counted.print(latencies);
    Ok(())
}

struct Plan {
    dial: Dial,
    template: Template,
    /// Of all threads together.
    connections: usize,
    threads: usize,
    /// Requests a second of all threads together; 0: the next one follows the answer.
    rate: f64,
    once: bool,
    expected: Answer,
}

struct Worker<'p> {
    plan: &'p Plan,
    shared: &'p Shared,
    poll: Poll,
    connections: Vec<Connection>,
    choice: Choice,
    /// Connections without a request, the one that rested longest first.
    idle: VecDeque<usize>,
    latencies: Vec<u32>,
    scratch: Vec<u8>,
    warm: bool,
    answered: usize,
}

impl<'p> Worker<'p> {
    fn new(index: usize, plan: &'p Plan, shared: &'p Shared) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut connections = Vec::new();
        for token in 0..plan.connections.div_ceil(plan.threads).max(1) {
            let mut connection = Connection::dial(&plan.dial)?;
            register(&poll, &mut connection, token)?;
            connections.push(connection);
        }
        shared.is_connected();
        let choice = Choice::new(&plan.template, index, plan.threads);
        Ok(Self {
            plan,
            shared,
            poll,
            idle: (0..connections.len()).collect(),
            connections,
            choice,
            latencies: Vec::with_capacity(1 << 20),
            scratch: vec![0; SCRATCH],
            warm: false,
            answered: 0,
        })
    }

    fn run(mut self) -> io::Result<Vec<u32>> {
        let mut events = Events::with_capacity(1024);
        if self.plan.once {
            self.shared.is_warm();
        }
        let paced = self.plan.rate > 0.0;
        // With a rate the warming is as fast as can be, so that each key is known before.
        while !self.shared.is_over() && !(paced && self.shared.is_measuring()) {
            while let Some(at) = self.idle.pop_front() {
                if !self.send(at, Instant::now())? {
                    break;
                }
            }
            self.turn(&mut events)?;
        }
        if paced {
            self.keep_pace(&mut events)?;
        }
        Ok(self.latencies)
    }

    /// A request whenever one is due, whatever became of those before.
    fn keep_pace(&mut self, events: &mut Events) -> io::Result<()> {
        let interval = Duration::from_secs_f64(self.plan.threads as f64 / self.plan.rate);
        // What was asked while warming is not part of it.
        while self.idle.len() < self.connections.len() && !self.shared.is_over() {
            self.turn(events)?;
        }
        self.latencies.clear();
        let mut due = Instant::now();
        while !self.shared.is_over() {
            while due <= Instant::now() {
                let Some(at) = self.idle.pop_front() else { break };
                self.send(at, due)?;
                due += interval;
            }
            self.turn(events)?;
        }
        Ok(())
    }

    /// Sends the next request; false when there is none.
    fn send(&mut self, at: usize, started: Instant) -> io::Result<bool> {
        // Each key is known then, and each connection has led to an upstream.
        if !self.warm && self.choice.asked_all() && self.answered >= self.connections.len() {
            self.warm = true;
            if !self.plan.once {
                self.shared.is_warm();
            }
        }
        if self.plan.once && self.choice.asked_all() {
            return Ok(false);
        }
        let request = self.choice.next(&self.plan.template);
        self.connections[at].send(request, started).or_else(|error| self.lost(at, &error))?;
        Ok(true)
    }

    fn turn(&mut self, events: &mut Events) -> io::Result<()> {
        patiently(self.poll.poll(events, Some(Duration::ZERO)))?;
        for event in &*events {
            let at = event.token().0;
            match self.connections[at].take(&mut self.scratch) {
                Ok(None) => {}
                Ok(Some((answer, bytes))) => self.answered(at, answer, bytes),
                Err(error) => self.lost(at, &error)?,
            }
        }
        Ok(())
    }

    fn answered(&mut self, at: usize, answer: Answer, bytes: u64) {
        let expected = self.plan.expected;
        if answer.status != expected.status && expected.status != 0 {
            self.shared.fail(|| format!("status {}", answer.status));
        } else if answer.body != expected.body && expected.body != 0 {
            self.shared.fail(|| format!("a body of {} bytes", answer.body));
        } else {
            self.shared.requests.add(1);
            self.shared.bytes.add(bytes);
            if self.shared.is_measuring() {
                self.latencies.push(nanos(self.connections[at].started.elapsed()));
            }
        }
        self.rests(at);
    }

    /// Whether it went well or not, the connection is free for the next request.
    fn rests(&mut self, at: usize) {
        self.answered += 1;
        if self.plan.once && self.answered == self.choice.share() {
            self.shared.is_done();
        }
        self.idle.push_back(at);
    }

    /// Another connection in the place of one that ended, which some do after a refusal.
    fn lost(&mut self, at: usize, error: &io::Error) -> io::Result<()> {
        let waited = self.connections[at].waits();
        self.shared.reconnects.add(1);
        self.connections[at] = Connection::dial(&self.plan.dial)?;
        register(&self.poll, &mut self.connections[at], at)?;
        if waited {
            self.shared.fail(|| format!("connection lost: {error}"));
            self.rests(at);
        }
        Ok(())
    }
}

fn register(poll: &Poll, connection: &mut Connection, token: usize) -> io::Result<()> {
    poll.registry().register(&mut connection.stream, Token(token), Interest::READABLE)
}

/// More than a connection receives at a time.
const SCRATCH: usize = 256 * 1024;
