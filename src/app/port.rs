//! The ports beside the gateway's (admin, ops, redirect, ext_authz): connections are taken in alike on each.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::net::{TcpListener, TcpStream};

use super::places::Places;
use crate::{
    runtime::tasks::{Stopped, Tasks},
    telemetry::metrics::Level,
};

/// One of them.
pub(super) struct Port {
    /// As logs call it.
    pub(super) name: &'static str,
    /// How many connections there may be.
    pub(super) places: Arc<Places>,
    /// Counts them.
    pub(super) open: Arc<Level>,
}

/// Who comes in from an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guest {
    /// Somebody, who may have so many places.
    One,
    /// A proxy, which stands for many.
    Many,
    /// This port is not for them.
    Nobody,
}

impl Guest {
    /// Somebody, or a proxy.
    pub(super) const fn shared(is_proxy: bool) -> Self {
        if is_proxy { Self::Many } else { Self::One }
    }
}

/// Serves connections until the group is asked to end; those under way are told by the [`Stopped`] that they are given.
pub(super) async fn accept<F: Future<Output = ()> + Send + 'static>(
    listener: TcpListener,
    port: Port,
    tasks: Tasks,
    guest: impl Fn(IpAddr) -> Guest,
    serve: impl Fn(TcpStream, SocketAddr, Stopped) -> F,
) {
    let Port { name, places, open } = port;
    let mut stopped = tasks.stopped();
    loop {
        let next = async {
            // Beyond the limit the kernel's backlog waits, not our memory.
            let one = places.free().await;
            (listener.accept().await, one)
        };
        let (accepted, one) = tokio::select! {
            next = next => next,
            () = &mut stopped => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let ip = peer.ip().to_canonical();
                let guest = guest(ip);
                if guest == Guest::Nobody {
                    continue;
                }
                let place = one.and_then(|one| places.give(one, ip, guest == Guest::Many));
                let Some(place) = place else { continue };
                // Answers are small and whole: waiting for more to send only delays them.
                let _ = stream.set_nodelay(true);
                let (served, open) = (serve(stream, peer, tasks.stopped()), open.hold());
                tasks.spawn(name, async move {
                    served.await;
                    drop((open, place));
                });
            }
            Err(error) => {
                tracing::warn!(%error, port = name, "no connection can be accepted; trying on");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Out of file descriptors: others must close some first.
const PAUSE: Duration = Duration::from_millis(100);
