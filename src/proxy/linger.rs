//! A flood of wrong credentials is answered late.
//!
//! A flood of wrong credentials is as fast as it is answered, and on one core everybody else waits behind it. Waiting
//! costs nothing, so an address that was refused ten times as often as its budget of failures allows gets four answers a
//! second on each connection. Only what was refused waits: the right credential from the same address does not, and
//! neither does the answer to another proxy that asks on behalf of many (`decide/`).

use std::time::Duration;

use super::{record::Exchange, reject::Refusal};
use crate::domain::access::Denied;

/// From the head of the request to its answer, at the least.
const LATE: Duration = Duration::from_millis(250);

/// Waits before a refusal is answered, where it is one of a flood.
pub async fn linger(exchange: &mut Exchange, refusal: &Refusal) {
    // What has ended was proved by its holder, who is told so however often.
    let counts = matches!(
        refusal,
        Refusal::TooManyFailures | Refusal::Denied(Denied::Revoked | Denied::Expired | Denied::SessionEnded)
    );
    let address = exchange.client.address.unwrap_or(exchange.peer.ip);
    if !counts || exchange.worker.gateway.keys.failures().answers_promptly(address) {
        return;
    }
    exchange.leave();
    let passed = exchange.worker.gateway.clock.uptime().saturating_sub(exchange.began.uptime);
    if let Some(rest) = (LATE + spread(exchange.began.uptime)).checked_sub(passed) {
        tokio::time::sleep(rest).await;
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
    use super::*;

    #[test]
    fn whoever_comes_together_is_answered_apart() {
        let mut at: Vec<_> = (0..1024).map(|n| spread(Duration::from_micros(20 * n))).collect();
        at.sort_unstable();
        assert!(at.iter().all(|spread| *spread <= LATE * 6 / 10));
        let crowded = at.windows(32).filter(|some| some[0] + Duration::from_millis(1) > some[31]).count();
        assert_eq!(crowded, 0, "32 of 1024 within a millisecond");
    }
}
