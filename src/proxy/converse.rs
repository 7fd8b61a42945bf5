//! What is said on a connection once it stands: requests and answers, until either side has had enough or the gateway
//! is about to end. In HTTP/1 they come one after the other, in HTTP/2 beside each other.

mod first;
mod http1;
mod http2;

use std::{io, rc::Rc, time::Duration};

use bytes::Bytes;
use tokio::{io::AsyncRead, sync::watch};

use self::first::Reread;
pub use self::first::Spoken;
use super::{peer::Peer, server::Phase, wire::Stream, worker::Worker};

/// How long a connection may take to send one more request when the gateway is about to end. A client that keeps a
/// connection sends without asking whether it is still there; what is on its way when we close is lost to it.
pub(super) const LAST_REQUEST: Duration = Duration::from_millis(500);

/// Answers the requests of a connection until it ends; an error says that it ended early. `spoken` is what was agreed on
/// before; both kinds of HTTP are served on a connection on which nothing was.
pub async fn converse(
    mut stream: Box<dyn Stream>,
    peer: Rc<Peer>,
    worker: Rc<Worker>,
    mut phase: watch::Receiver<Phase>,
    spoken: Spoken,
) -> io::Result<()> {
    match spoken {
        Spoken::Http1 => http1::serve(stream, Bytes::new(), peer, worker, &phase).await,
        Spoken::Http2 => Box::pin(http2::serve(stream, peer, worker, &mut phase)).await,
        Spoken::Unknown => {
            let patience = worker.serving().snapshot.limits.header_timeout;
            let Some((said, is_http2)) = first_words(&mut stream, patience, &mut phase).await? else {
                return Ok(());
            };
            if is_http2 {
                // In memory of its own: most connections have no room for it.
                Box::pin(http2::serve(Reread::new(said, stream), peer, worker, &mut phase)).await
            } else {
                http1::serve(stream, said, peer, worker, &phase).await
            }
        }
    }
}

/// What a client begins with, and whether that is HTTP/2. None when it says nothing in time.
async fn first_words<S: AsyncRead + Unpin>(
    stream: &mut S,
    patience: Duration,
    phase: &mut watch::Receiver<Phase>,
) -> io::Result<Option<(Bytes, bool)>> {
    let mut words = std::pin::pin!(tokio::time::timeout(patience, first::words(stream)));
    let said = tokio::select! {
        said = &mut words => said,
        () = draining(phase) => tokio::time::timeout(LAST_REQUEST, words).await.and_then(|said| said),
    };
    said.ok().transpose()
}

/// Completes when connections are to finish. What the channel lends is given back here: whoever holds on to it
/// would keep the next phase from being announced.
pub(super) async fn draining(phase: &mut watch::Receiver<Phase>) {
    drop(phase.wait_for(|phase| *phase != Phase::Running).await);
}
