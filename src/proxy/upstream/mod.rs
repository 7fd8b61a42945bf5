//! The backends, as one worker sees them: which copies there are, and the connections open to each.
//!
//! Every worker has its own, on its own thread: no connection is shared, locked or sent. What bounds an upstream as a
//! whole, `max_connections`, is divided among the workers. What the node knows as a whole - which addresses there are,
//! and which of them are well - is the [`Fleet`]'s, and only read here.

mod balance;
mod fleet;
pub mod http1;
mod http2;
mod member;
mod message;
mod pool;
mod probe;
mod resolve;
mod standing;

use std::{
    cell::{Cell, RefCell},
    num::NonZeroUsize,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use self::{balance::Turn, pool::Pool};
pub use self::{
    fleet::{Fleet, FleetError, Fleets},
    member::Member,
    pool::{ConnectError, Connection},
    resolve::{Looking, Resolve, System, Tending},
};
pub(super) use self::{
    message::{Answer, Message, NoAnswer, Reached, Rest},
    pool::Kind,
};
use crate::{config, proxy::route::Routes};

/// How long an upload may go on behind a whole answer: whoever sent it was judged for an exchange that has ended, and may be
/// nobody by now. With the look once a second at who is served ([`lasting`](super::lasting)) it stays within what is promised
/// of credentials that end.
const BEHIND_THE_ANSWER: Duration = Duration::from_secs(2);

/// The upstreams of all routes.
#[derive(Debug)]
pub struct Upstreams {
    /// None for routes that lead elsewhere.
    by_route: Vec<Option<Rc<Upstream>>>,
}

/// Which worker this is, of how many.
#[derive(Debug, Clone, Copy)]
pub struct Worker {
    /// Counted from 0.
    pub index: usize,
    /// How many there are.
    pub of: NonZeroUsize,
}

/// One upstream.
#[derive(Debug)]
pub struct Upstream {
    fleet: Arc<Fleet>,
    pools: RefCell<Pools>,
    /// This worker's part of `max_connections`.
    share: Option<usize>,
    turn: Turn,
    /// What may be tried again, in fifths.
    retries: Cell<u32>,
    /// Counts sweeps. Ages are measured in them, so that no request reads a clock.
    now: Rc<Cell<u32>>,
}

/// A pool for each place of a list, in its order.
#[derive(Debug)]
struct Pools {
    generation: u64,
    list: Vec<Rc<Pool>>,
}

impl Upstreams {
    /// The upstreams of these routes. Those of `previous` that have not changed stay, with their connections.
    ///
    /// Call it on the worker's thread: idle connections are swept by a task there.
    pub fn new(routes: &Routes, fleets: &Fleets, worker: Worker, previous: Option<&Self>) -> Self {
        let mut known: Vec<Rc<Upstream>> =
            previous.map(|old| old.by_route.iter().flatten().cloned().collect()).unwrap_or_default();
        let mut upstream = |fleet: &Arc<Fleet>| {
            if let Some(same) = known.iter().find(|known| Arc::ptr_eq(&known.fleet, fleet)) {
                return Rc::clone(same);
            }
            let new = Upstream::new(fleet, worker);
            known.push(Rc::clone(&new));
            new
        };
        let of = |route: &config::Route| match &route.destination {
            config::Destination::Upstream(wanted) => fleets.find(&wanted.name).map(&mut upstream),
            config::Destination::Control => None,
        };
        Self { by_route: routes.iter().map(of).collect() }
    }

    /// The upstream of the route with this [index](super::route::Match::index); none where it has another
    /// destination.
    pub fn of(&self, route: usize) -> Option<&Rc<Upstream>> {
        self.by_route.get(route)?.as_ref()
    }
}

impl Upstream {
    /// An upstream without connections yet. Call it on the worker's thread.
    pub fn new(fleet: &Arc<Fleet>, worker: Worker) -> Rc<Self> {
        let now = Rc::new(Cell::new(0));
        let share = fleet.config().max_connections.map(|all| share(all.get(), worker));
        let pools = RefCell::new(Pools { generation: u64::MAX, list: Vec::new() });
        let upstream = Rc::new(Self {
            fleet: Arc::clone(fleet),
            pools,
            share,
            turn: Turn::new(worker.index),
            retries: Cell::new(FREE_RETRIES * REQUESTS_FOR_ONE),
            now,
        });
        upstream.follow();
        upstream.sweep_while_used();
        upstream
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.config().name
    }

    /// Its configuration.
    pub fn config(&self) -> &config::Upstream {
        self.fleet.config()
    }

    /// Requests of this worker that were sent and not answered to the end yet.
    pub fn in_flight(&self) -> usize {
        self.pools.borrow().list.iter().map(|pool| pool.in_flight()).sum()
    }

    /// Completes when there is somewhere to go, or when there was nothing for `timeouts.connect`: a name has not been
    /// looked up yet.
    pub(super) async fn known(&self) {
        self.follow();
        if self.pools.borrow().list.is_empty() {
            Box::pin(self.fleet.known(self.config().timeouts.connect)).await;
        }
    }

    /// A place that was not tried yet, with its number to add to `tried`.
    pub(super) fn choose(&self, tried: Tried) -> Option<(usize, Rc<Pool>)> {
        self.follow();
        let Pools { list, .. } = &*self.pools.borrow();
        let candidates = list
            .iter()
            .enumerate()
            .filter(|(at, pool)| !tried.contains(*at) && pool.member().standing.is_well());
        let candidates = candidates.map(|(at, pool)| {
            let avoided = pool.is_avoided() || pool.member().standing.is_out();
            (at, avoided, pool.in_flight())
        });
        let chosen = self.turn.choose(self.config().balance, list.len(), candidates)?;
        Some((chosen, Rc::clone(list.get(chosen)?)))
    }

    /// Whether a request that failed at this place can go to another one that is not known to fail.
    pub(super) fn has_another(&self, mut tried: Tried, target: usize) -> bool {
        tried.add(target);
        let serves = |pool: &Pool| pool.member().standing.is_well() && !pool.is_avoided();
        self.pools.borrow().list.iter().enumerate().any(|(at, pool)| !tried.contains(at) && serves(pool))
    }

    /// A connection to that place.
    pub(super) async fn connection(&self, pool: &Rc<Pool>, kind: Kind) -> Result<Connection, ConnectError> {
        let outcome = pool.connection(self.config().timeouts.connect, kind).await;
        if let Err(
            error @ (ConnectError::Failed(_)
            | ConnectError::NoHttp2(_)
            | ConnectError::NotHttp2
            | ConnectError::Slow),
        ) = &outcome
        {
            self.fleet.failed(pool.member());
            if pool.avoid_for_now() {
                let Member { name, address, .. } = &**pool.member();
                let error = error as &dyn std::error::Error;
                tracing::warn!(upstream = self.name(), at = &**name, %address, error, "no connection");
            }
        }
        outcome
    }

    /// The place at the other end of this connection did not do what it should.
    pub(super) fn failed_by(&self, connection: &Connection) {
        self.fleet.failed(connection.member());
    }

    /// A request begins: a fifth of another attempt is earned.
    pub(super) fn earn_retry(&self) {
        self.retries.set((self.retries.get() + 1).min(MOST_RETRIES * REQUESTS_FOR_ONE));
    }

    /// Whether there may be another attempt, which is spent then: when everything fails, retries would only add to it.
    pub(super) fn spend_retry(&self) -> bool {
        let left = self.retries.get().checked_sub(REQUESTS_FOR_ONE);
        self.retries.set(left.unwrap_or(self.retries.get()));
        left.is_some()
    }

    /// Takes over the list of places that is in force. Connections to places that are gone are closed when they are
    /// not in use.
    #[inline]
    fn follow(&self) {
        if self.pools.borrow().generation != self.fleet.generation() {
            self.renew();
        }
    }

    #[cold]
    fn renew(&self) {
        // Read before the list: a list that is newer than its number is only read once more.
        let generation = self.fleet.generation();
        let mut pools = self.pools.borrow_mut();
        let pool = |member: &Arc<Member>| {
            let same = pools.list.iter().find(|pool| Arc::ptr_eq(pool.member(), member));
            let new = || {
                Rc::new(Pool::new(
                    Arc::clone(member),
                    self.config().protocol,
                    self.share,
                    Rc::clone(&self.now),
                ))
            };
            same.map_or_else(new, Rc::clone)
        };
        let list = self.fleet.members().iter().map(pool).collect();
        *pools = Pools { generation, list };
    }

    /// Closes connections that nobody used for `timeouts.idle`, as long as anybody holds the upstream.
    fn sweep_while_used(self: &Rc<Self>) {
        let period = (self.config().timeouts.idle / pool::LIFETIME).max(SHORTEST_SWEEP);
        let upstream = Rc::downgrade(self);
        // Ends with the upstream, or with the worker.
        tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(period).await;
                let Some(upstream) = upstream.upgrade() else { return };
                upstream.now.set(upstream.now.get().wrapping_add(1));
                upstream.follow();
                upstream.retries.set(upstream.retries.get().max(FREE_RETRIES * REQUESTS_FOR_ONE));
                for pool in &upstream.pools.borrow().list {
                    pool.sweep();
                }
            }
        });
    }
}

/// Targets that were tried for one request. Behind the 64th nobody remembers, and after so many it is enough.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tried {
    which: u64,
    count: u32,
}

impl Tried {
    pub(super) fn add(&mut self, target: usize) {
        self.which |= bit(target);
        self.count += 1;
    }

    fn contains(self, target: usize) -> bool {
        self.which & bit(target) != 0 || self.count >= u64::BITS
    }
}

fn bit(target: usize) -> u64 {
    u32::try_from(target).ok().and_then(|at| 1_u64.checked_shl(at)).unwrap_or(0)
}

/// A worker's part of a bound; at least one, or it could serve nobody.
fn share(all: u32, worker: Worker) -> usize {
    let all = usize::try_from(all).unwrap_or(usize::MAX);
    let extra = usize::from(worker.index < all % worker.of);
    (all / worker.of + extra).max(1)
}

/// So many requests are worth one that is tried again.
const REQUESTS_FOR_ONE: u32 = 5;
/// Attempts that are there anyway, each eighth of `timeouts.idle` anew: few requests must not mean none.
const FREE_RETRIES: u32 = 10;
/// What is saved up at most.
const MOST_RETRIES: u32 = 100;

const SHORTEST_SWEEP: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_divided_without_a_rest() {
        let of = NonZeroUsize::new(4).unwrap();
        let shares = |all| (0..4).map(|index| share(all, Worker { index, of })).collect::<Vec<_>>();
        assert_eq!(shares(10), [3, 3, 2, 2]);
        assert_eq!(shares(4), [1, 1, 1, 1]);
        assert_eq!(shares(1), [1, 1, 1, 1]);
    }

    #[test]
    fn tried_targets_are_remembered() {
        let mut tried = Tried::default();
        tried.add(0);
        tried.add(63);
        tried.add(64);
        assert!(tried.contains(0) && tried.contains(63) && !tried.contains(1) && !tried.contains(64));
        (3..64).for_each(|_| tried.add(64));
        assert!(tried.contains(64) && tried.contains(1), "it goes on for ever");
    }
}
