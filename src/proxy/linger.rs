//! A flood of wrong credentials is answered late.
//!
//! A flood of wrong credentials is as fast as it is answered, and on one core everybody else waits behind it. Waiting
//! costs nothing, so an address that was refused ten times as often as its budget of failures allows gets four answers a
//! second on each connection. Only what was refused waits: the right credential from the same address does not, and
//! neither does the answer to another proxy that asks on behalf of many (`decide/`).

use std::time::Duration;

use super::{record::Exchange, reject::Refusal};
use crate::domain::access::Denied;

/// From the head of the request to its answer.
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
    if let Some(rest) = LATE.checked_sub(passed) {
        tokio::time::sleep(rest).await;
    }
}
