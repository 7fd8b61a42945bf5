//! Names of backends, looked up again and again: a name with several addresses is several places.
//!
//! Nobody waits for a resolver but the very first request for a name. An answer is good until the next one; when there
//! is none, the last one is kept for a while, since an address that answers is worth more than a resolver that does not.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{runtime::Handle, time::timeout};

use super::fleet::Fleet;
use crate::{
    config::Place,
    domain::time::Clock,
    runtime::{dial::Address, tasks::Tasks},
};

/// What looking after backends needs.
#[derive(Clone)]
pub struct Tending {
    /// Ends it all.
    pub tasks: Tasks,
    /// Where it is done.
    pub runtime: Handle,
    /// What time it is.
    pub clock: Clock,
    /// Who is asked for addresses.
    pub resolver: Arc<dyn Resolve>,
    /// Random, so that many gateways do not ask at the same moments.
    pub seed: u64,
}

/// Knows the addresses of names.
pub trait Resolve: Send + Sync {
    /// The addresses of a name, with this port. It may take as long as it likes.
    fn look_up(&self, name: &str, port: u16) -> Looking;
}

/// A look-up under way.
pub type Looking = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// The system's resolver: what `/etc/hosts`, `/etc/resolv.conf` and their like say.
#[derive(Debug)]
pub struct System;

impl Resolve for System {
    fn look_up(&self, name: &str, port: u16) -> Looking {
        let asked = (name.to_owned(), port);
        Box::pin(async move { tokio::net::lookup_host(asked).await.map(Iterator::collect) })
    }
}

/// Looks up the names of this backend for as long as somebody holds it.
pub(super) fn begin(fleet: &Arc<Fleet>, tending: &Tending) {
    for (target, config) in fleet.config().targets.iter().enumerate() {
        let Place::Name(name, port) = &config.place else { continue };
        let asking = Asking {
            fleet: Arc::downgrade(fleet),
            target,
            name: name.clone(),
            port: *port,
            clock: tending.clock.clone(),
            resolver: Arc::clone(&tending.resolver),
            random: tending.seed.wrapping_add(target as u64),
        };
        let stopped = tending.tasks.stopped();
        tending.tasks.spawn_on(&tending.runtime, "upstream names", async move {
            tokio::select! {
                () = asking.go_on() => {}
                () = stopped => {}
            }
        });
    }
}

struct Asking {
    fleet: Weak<Fleet>,
    target: usize,
    name: String,
    port: u16,
    clock: Clock,
    resolver: Arc<dyn Resolve>,
    random: u64,
}

impl Asking {
    async fn go_on(mut self) {
        let mut failing = false;
        let mut good = self.clock.uptime();
        loop {
            let mut looking = self.resolver.look_up(&self.name, self.port);
            // A look-up that hangs occupies a thread: there is never a second one of the same name.
            let outcome = loop {
                match timeout(PAUSE, &mut looking).await {
                    Ok(outcome) => break outcome,
                    Err(_) if !self.give_up_since(good) => return,
                    Err(_) => {}
                }
            };
            let problem = match outcome {
                Ok(found) if found.is_empty() => Some("the name has no address".to_owned()),
                Ok(found) => {
                    let Some(fleet) = Fleet::in_use(&self.fleet) else { return };
                    let mut found: Vec<_> = found.into_iter().take(MOST).collect();
                    found.sort_unstable();
                    found.dedup();
                    let found: Vec<_> = found.into_iter().map(Address::Tcp).collect();
                    fleet.found(self.target, &found);
                    good = self.clock.uptime();
                    None
                }
                Err(error) => Some(error.to_string()),
            };
            match &problem {
                Some(problem) if !failing => {
                    tracing::warn!(
                        name = self.name,
                        problem,
                        "an upstream's name cannot be looked up; trying on"
                    );
                }
                None if failing => tracing::info!(name = self.name, "an upstream's name is found again"),
                _ => {}
            }
            failing = problem.is_some();
            if !self.give_up_since(good) {
                return;
            }
            let pause = if failing { RETRY } else { PAUSE };
            tokio::time::sleep(pause + self.jitter(pause)).await;
        }
    }

    /// Forgets addresses that nobody has confirmed for too long. False: nobody holds the backend any more.
    fn give_up_since(&self, good: Duration) -> bool {
        let Some(fleet) = Fleet::in_use(&self.fleet) else { return false };
        if self.clock.uptime().saturating_sub(good) > KEPT {
            fleet.found(self.target, &[]);
        }
        true
    }

    /// Something up to this long (SplitMix64).
    fn jitter(&mut self, most: Duration) -> Duration {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let share = u32::try_from(mixed >> 48).unwrap_or(0);
        most * share / 65_536
    }
}

/// From an answer to the next question, and up to as long again.
const PAUSE: Duration = Duration::from_secs(5);
/// The same when there was no answer.
const RETRY: Duration = Duration::from_secs(1);
/// How long the last answer is good for when there is no other.
const KEPT: Duration = Duration::from_secs(60);
/// More addresses than anybody balances between.
const MOST: usize = 64;
