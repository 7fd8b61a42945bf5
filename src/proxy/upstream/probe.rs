//! Asks each place of a backend whether it is well. Once for the node: the workers read the result.

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header::HOST, uri::Scheme};
use http_body_util::Empty;
use hyper::{
    client::conn::{http1, http2},
    rt::Executor,
};
use hyper_util::rt::TokioIo;
use tokio::time::{sleep, timeout};

use super::{fleet::Fleet, member::Member, resolve::Tending};
use crate::config::{Health, Protocol};

/// Looks after how the places of this backend stand, for as long as somebody holds it.
pub(super) fn begin(fleet: &Arc<Fleet>, tending: &Tending) {
    let weak = Arc::downgrade(fleet);
    spawn(tending, "upstream standing", async move {
        loop {
            sleep(TICK).await;
            let Some(fleet) = Fleet::in_use(&weak) else { return };
            fleet.tick();
        }
    });
    let Some(health) = fleet.config().health.clone() else { return };
    let (weak, tending, protocol) = (Arc::downgrade(fleet), tending.clone(), fleet.config().protocol);
    let mut random = tending.seed;
    let asking = tending.clone();
    spawn(&tending, "upstream health", async move {
        loop {
            let Some(fleet) = Fleet::in_use(&weak) else { return };
            // Each on its own, so that one that does not answer delays none; each ends before the next round.
            for member in fleet.members().iter() {
                let (fleet, member, health) = (Arc::downgrade(&fleet), Arc::clone(member), health.clone());
                let answer = ask(Arc::clone(&member), health.clone(), protocol, asking.clone());
                spawn(&asking, "upstream health question", async move {
                    let late = || Err("no answer in time".to_owned());
                    let outcome = timeout(health.interval, answer).await.unwrap_or_else(|_| late());
                    if let Some(fleet) = fleet.upgrade() {
                        fleet.asked(&member, outcome, &health);
                    }
                });
            }
            drop(fleet);
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let share = u32::try_from(random >> 48).unwrap_or(0);
            sleep(health.interval + health.interval / 10 * share / 65_536).await;
        }
    });
}

fn spawn(tending: &Tending, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
    let stopped = tending.tasks.stopped();
    tending.tasks.spawn_on(&tending.runtime, name, async move {
        tokio::select! {
            () = work => {}
            () = stopped => {}
        }
    });
}

/// One question, on a connection of its own.
async fn ask(
    member: Arc<Member>,
    health: Health,
    protocol: Protocol,
    tending: Tending,
) -> Result<(), String> {
    let stream = TokioIo::new(member.dial().await.map_err(|error| error.to_string())?);
    let mut request = Request::new(Empty::<Bytes>::new());
    let answer = match protocol {
        Protocol::Http1 => {
            *request.uri_mut() = Uri::from(health.path);
            let host = http::HeaderValue::try_from(member.authority().as_str());
            request.headers_mut().extend(host.ok().map(|host| (HOST, host)));
            let (mut sender, driver) = http1::handshake(stream).await.map_err(|error| error.to_string())?;
            // The connection is done with when the head is there.
            tokio::select! {
                answer = sender.send_request(request) => answer,
                Err(error) = driver => Err(error),
            }
        }
        Protocol::H2 => {
            let mut parts = Uri::from(health.path).into_parts();
            parts.scheme = Some(if member.is_secure() { Scheme::HTTPS } else { Scheme::HTTP });
            parts.authority = Some(member.authority().clone());
            *request.uri_mut() = Uri::from_parts(parts).map_err(|error| error.to_string())?;
            let (mut sender, driver) =
                http2::handshake(Spawning(tending), stream).await.map_err(|error| error.to_string())?;
            tokio::select! {
                answer = sender.send_request(request) => answer,
                Err(error) = driver => Err(error),
            }
        }
    };
    let status: StatusCode = answer.map_err(|error| error.to_string())?.status();
    if status.is_success() || status.is_redirection() { Ok(()) } else { Err(format!("it answered {status}")) }
}

/// Runs what a connection of HTTP/2 needs beside it; it ends with the connection.
#[derive(Clone)]
struct Spawning(Tending);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Spawning {
    fn execute(&self, work: F) {
        spawn(&self.0, "upstream health connection", work);
    }
}

const TICK: Duration = Duration::from_millis(500);
