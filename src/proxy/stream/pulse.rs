//! Whether the other side of a connection is still there.

use std::{future::poll_fn, task::Poll, time::Duration};

use h2::{Ping, PingPong};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Asks the other side of a connection on which nothing comes.
pub struct Pulse {
    pings: Option<PingPong>,
    looks: Interval,
    /// Looks without a sign after which it is asked; at the next one it is gone.
    patience: u32,
    quiet: u32,
    seen: u64,
}

impl Pulse {
    /// Asks after so many looks, `every` time apart.
    pub fn new(pings: Option<PingPong>, every: Duration, patience: u32) -> Self {
        let mut looks = interval(every);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        looks.reset();
        Self { pings, looks, patience, quiet: 0, seen: 0 }
    }

    /// Completes when the other side does not answer. `heard` grows with everything that it says; it is only asked while it
    /// `matters`.
    pub async fn is_lost(&mut self, heard: impl Fn() -> u64, matters: impl Fn() -> bool) {
        loop {
            self.looks.tick().await;
            let heard = heard();
            if std::mem::replace(&mut self.seen, heard) != heard || !matters() {
                self.quiet = 0;
                continue;
            }
            self.quiet += 1;
            if self.quiet > self.patience {
                return;
            }
            if self.quiet == self.patience
                && let Some(pings) = &mut self.pings
            {
                // The answer to the last one has to be taken before another one may be sent.
                poll_fn(|context| Poll::Ready(pings.poll_pong(context).is_ready())).await;
                let _ = pings.send_ping(Ping::opaque());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use h2::server;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        time::timeout,
    };

    use super::*;

    const LOOK: Duration = Duration::from_millis(5);

    #[tokio::test]
    async fn only_who_is_silent_and_matters_is_lost() {
        let (silent, speaking) = (|| 7, Cell::new(0));
        let speaks = || {
            speaking.set(speaking.get() + 1);
            speaking.get()
        };
        Pulse::new(None, LOOK, 2).is_lost(silent, || true).await;
        for outcome in [
            timeout(LOOK * 20, Pulse::new(None, LOOK, 2).is_lost(silent, || false)).await,
            timeout(LOOK * 20, Pulse::new(None, LOOK, 2).is_lost(speaks, || true)).await,
        ] {
            assert!(outcome.is_err());
        }
    }

    /// A PING is the frame with which whoever is silent is asked (RFC 9113 section 6.7).
    #[tokio::test]
    async fn who_is_silent_is_asked_before() {
        let (near, mut far) = tokio::io::duplex(1 << 16);
        far.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
        let mut connection = server::handshake(near).await.unwrap();
        let mut pulse = Pulse::new(connection.ping_pong(), LOOK, 2);
        let lost = async {
            tokio::select! {
                _ = connection.accept() => {}
                () = pulse.is_lost(|| 7, || true) => {}
            }
        };
        lost.await;
        drop(connection);
        let mut said = Vec::new();
        far.read_to_end(&mut said).await.unwrap();
        assert!(said.windows(4).any(|head| head == [0, 8, 6, 0]), "{said:?}");
    }
}
