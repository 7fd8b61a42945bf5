//! A flood of wrong credentials is answered late, and one by one.
//!
//! A flood of wrong credentials is as fast as it is answered, and on one core everybody else waits behind it. Waiting
//! costs nothing, so an address that was refused ten times as often as its budget of failures allows gets four answers a
//! second on each connection. Only what was refused waits: the right credential from the same address does not, and
//! neither does the answer to another proxy that asks on behalf of many (`decide/`).
//!
//! Timers tell milliseconds apart, so answers that were held back, for this or for the time that being wrong takes
//! (`authenticate/pace.rs`), come several at a time, and each brings the next question at once. A worker does what it was
//! woken for in the order in which it was woken: whoever came meanwhile would wait behind all of them.

use std::time::Duration;

use tokio::{sync::Semaphore, time::timeout};

use super::{record::Exchange, reject::Refusal};
use crate::domain::access::Denied;

/// From the head of the request to its answer, at the least.
const LATE: Duration = Duration::from_millis(250);
/// For those before in the lane.
const LONGEST_WAIT: Duration = Duration::from_millis(250);

/// Waits before a refusal is answered, where it is one of a flood; then until nobody else waits for this worker. Whoever
/// waits holds no place among the requests that are under way.
pub async fn linger(exchange: &mut Exchange, refusal: &Refusal) {
    match refusal {
        // What has ended was proved by its holder, who is told so however often.
        Refusal::TooManyFailures
        | Refusal::Denied(Denied::Revoked | Denied::Expired | Denied::SessionEnded) => {
            exchange.leave();
            let address = exchange.client.address.unwrap_or(exchange.peer.ip);
            if !exchange.worker.gateway.keys.failures().answers_promptly(address) {
                be_late(exchange).await;
            }
        }
        Refusal::CredentialInvalid | Refusal::SignatureInvalid => exchange.leave(),
        _ => return,
    }
    exchange.worker.lane.pass().await;
}

async fn be_late(exchange: &Exchange) {
    let passed = exchange.worker.gateway.clock.uptime().saturating_sub(exchange.began.uptime);
    if let Some(rest) = (LATE + spread(exchange.began.uptime)).checked_sub(passed) {
        tokio::time::sleep(rest).await;
    }
}

/// Where those stand in line, on their worker, whose answers nobody else should wait behind.
#[derive(Debug)]
pub struct Lane(Semaphore);

impl Default for Lane {
    fn default() -> Self {
        Self(Semaphore::new(1))
    }
}

impl Lane {
    /// One passes for each time that the worker has looked at its sockets and done what it found. A worker that has much to
    /// do looks seldom, and nobody waits long for that.
    async fn pass(&self) {
        // Never closed.
        if let Ok(_first) = timeout(LONGEST_WAIT, self.0.acquire()).await {
            tokio::task::yield_now().await;
        }
    }
}

/// Whoever came together is not answered together: they would all come back at once, and everybody else would wait behind
/// them. Up to half as long again, by the moment in which a request came.
fn spread(came: Duration) -> Duration {
    // Fibonacci hashing: neighbours land far from each other, in 27 bits of nanoseconds.
    let nanos = u64::try_from(came.as_nanos()).unwrap_or_default();
    Duration::from_nanos(nanos.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 37)
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        runtime::{Builder, LocalOptions},
        task::{spawn_local, yield_now},
    };

    use super::*;

    /// Whoever comes while a hundred are about to be answered waits behind one or two of them.
    #[test]
    fn whoever_comes_meanwhile_goes_first() {
        let runtime =
            Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
        let answered = Rc::new(RefCell::new(Vec::new()));
        runtime.block_on(async {
            let lane = Rc::new(Lane::default());
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut client = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (mut server, _) = listener.accept().await.unwrap();
            let held_back: Vec<_> = (0..100)
                .map(|number| {
                    let (lane, answered) = (Rc::clone(&lane), Rc::clone(&answered));
                    spawn_local(async move {
                        lane.pass().await;
                        answered.borrow_mut().push(number);
                    })
                })
                .collect();
            let by_then = Rc::clone(&answered);
            let good = spawn_local(async move {
                server.read_u8().await.unwrap();
                by_then.borrow().len()
            });
            while answered.borrow().len() < 10 {
                yield_now().await;
            }
            client.write_u8(1).await.unwrap();
            let before = answered.borrow().len();
            let behind = good.await.unwrap() - before;
            assert!(behind <= 2, "behind {behind} of them");
            for one in held_back {
                one.await.unwrap();
            }
        });
        assert_eq!(*answered.borrow(), (0..100).collect::<Vec<_>>(), "in the order in which they came");
    }

    #[test]
    fn whoever_comes_together_is_answered_apart() {
        let mut at: Vec<_> = (0..1024).map(|n| spread(Duration::from_micros(20 * n))).collect();
        at.sort_unstable();
        assert!(at.iter().all(|spread| *spread <= LATE * 6 / 10));
        let crowded = at.windows(32).filter(|some| some[0] + Duration::from_millis(1) > some[31]).count();
        assert_eq!(crowded, 0, "32 of 1024 within a millisecond");
    }
}
