//! Tells people that somebody guesses at a key (R002_15): one message for each key and minute, to whatever takes
//! Slack's format.
//!
//! Messages are sent one after another, each a few times before it is given up; a few wait meanwhile. Nobody's request
//! waits for any of it. A line in the program's own log is written in any case.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use serde_json::json;
use tokio::sync::mpsc;

use super::background;
use crate::{
    config::{AlertAddress, Config},
    proxy::misses::Guessing,
    runtime::{
        outbound::{Outbound, OutboundError},
        tasks::Tasks,
    },
    telemetry::metrics::{AlertMetrics, Metrics},
};

/// Alerts that wait to be sent.
pub const WAITING: usize = 64;
/// The pauses before a message is sent again.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(25)];

/// Where alerts go at present.
pub type Receiver = Arc<ArcSwapOption<AlertAddress>>;

/// Starts sending what comes, to where the configuration says; the receiver may be another one later.
pub fn start(
    config: &Config,
    alerts: mpsc::Receiver<Guessing>,
    outbound: &Outbound,
    metrics: &Arc<Metrics>,
    tasks: &Tasks,
) -> Receiver {
    let receiver = Receiver::new(ArcSwapOption::new(config.audit.alert_webhook.clone().map(Arc::new)));
    let sending = send(alerts, outbound.clone(), Arc::clone(&receiver), Arc::clone(metrics));
    background::start(tasks, "alerts", sending);
    receiver
}

/// Sends alerts as they come.
async fn send(
    mut alerts: mpsc::Receiver<Guessing>,
    outbound: Outbound,
    receiver: Receiver,
    metrics: Arc<Metrics>,
) {
    while let Some(guessing) = alerts.recv().await {
        tracing::warn!(
            prefix = &*guessing.prefix,
            misses = guessing.misses,
            addresses = addresses(&guessing),
            "api_key.guessed"
        );
        let Some(address) = receiver.load_full() else { continue };
        deliver(&outbound, &address, &text(&guessing), &metrics.alerts).await;
    }
}

async fn deliver(outbound: &Outbound, address: &AlertAddress, text: &str, metrics: &AlertMetrics) {
    let message = json!({ "text": text });
    let mut pauses = PAUSES.into_iter();
    loop {
        let Err(error) = outbound.post_json(address.reveal(), &message).await else {
            return metrics.sent.inc();
        };
        let Some(pause) = pauses.next().filter(|_| may_pass(&error)) else {
            tracing::error!(%error, "an alert could not be sent: see audit.alert_webhook");
            return metrics.failed.inc();
        };
        tokio::time::sleep(pause).await;
    }
}

/// Whether the same message may be taken a little later.
const fn may_pass(error: &OutboundError) -> bool {
    match error {
        OutboundError::Unreachable(_) | OutboundError::TimedOut => true,
        OutboundError::Refused { status, .. } => matches!(status, 408 | 429 | 500..),
        _ => false,
    }
}

/// What people read. Never a secret: the prefix is what lists of keys show.
fn text(guessing: &Guessing) -> String {
    let prefix = escaped(&guessing.prefix);
    let Guessing { misses, org, .. } = guessing;
    format!(
        "*Somebody is guessing at API key `{prefix}`*: {misses} wrong secrets, at least 5 of them within 60 seconds, \
         from {}. Organization {org}. None of them was let in.\n\
         If these addresses are yours, something there uses an old or mistyped key. If not: \
         `latchgate keys rotate {prefix}` replaces the key, `latchgate keys revoke {prefix}` ends it, and its \
         `allowed_ips` can shut the addresses out.",
        addresses(guessing)
    )
}

fn addresses(guessing: &Guessing) -> String {
    let some: Vec<String> = guessing.addresses.iter().map(ToString::to_string).collect();
    let more = if guessing.from_more { " and more" } else { "" };
    format!("{}{more}", some.join(", "))
}

/// Slack reads these three as its own; an imported key may begin with anything.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('`', "'")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{id::OrgId, time::Timestamp};

    #[test]
    fn a_message_says_which_key_from_where_and_what_to_do() {
        let guessing = Guessing {
            prefix: "a<!channel>`b".into(),
            org: OrgId::new(Timestamp::from_micros(1_800_000_000_000_000)),
            misses: 12,
            addresses: vec!["192.0.2.1".parse().expect("v4"), "2001:db8::1".parse().expect("v6")],
            from_more: true,
        };
        let text = text(&guessing);
        assert!(text.contains("12 wrong secrets"), "{text}");
        assert!(text.contains("from 192.0.2.1, 2001:db8::1 and more."), "{text}");
        assert!(text.contains("`latchgate keys rotate a&lt;!channel&gt;'b`"), "{text}");
        assert!(!text.contains("<!"), "{text}");
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let refused = |status| OutboundError::Refused { status, body: Vec::new() };
        for passing in
            [OutboundError::TimedOut, OutboundError::Unreachable(String::new()), refused(503), refused(429)]
        {
            assert!(may_pass(&passing), "{passing:?}");
        }
        for lasting in [OutboundError::BadAddress, refused(404), refused(302), OutboundError::TooLarge] {
            assert!(!may_pass(&lasting), "{lasting:?}");
        }
    }
}
