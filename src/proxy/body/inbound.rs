//! A request's body on its way in: streaming, or held whole by a stage that must have seen all of it before anything
//! is forwarded (a digest, a platform's signature).
//!
//! What is held is bounded three times over: one body by `LONGEST`, all of a worker's by its [`Places`], and each in
//! time, so that nobody occupies a place by sending slowly. A held body is forwarded from memory, with its trailers,
//! and gives its place back when it has been sent or dropped.

use std::{
    cell::Cell,
    num::NonZeroU64,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;

pub use super::super::wire::Broken;
use super::super::{stream::Received, wire::Content};

/// The longest body that is held.
const LONGEST: usize = 1 << 20;
/// Bodies that one worker holds at a time.
const PLACES: usize = 64;

/// The body of a request.
pub enum Inbound {
    /// Still with the client.
    Streaming(Content),
    /// The same, on a stream of HTTP/2.
    Stream(Received),
    /// All of it, in memory; none: there is none.
    Held(Option<Box<Held>>),
    /// With a proxy that asks about the request and keeps its body, if it has one.
    Elsewhere,
}

/// A body in memory.
pub struct Held {
    data: Bytes,
    trailers: Option<HeaderMap>,
    _place: Option<Place>,
}

/// What holding a body may take.
#[derive(Debug, Clone, Copy)]
pub struct Hold<'a> {
    /// The worker's.
    pub places: &'a Places,
    /// What any body may have, in bytes; none: no bound but our own.
    pub most: Option<NonZeroU64>,
    /// From now to its last byte.
    pub patience: Duration,
}

/// Why a body is not held. Nothing of the request was forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unheld {
    /// It is longer than is held.
    #[error("the body is longer than 1 MiB, or than limits.body_bytes")]
    TooLarge,
    /// It did not come in time.
    #[error("the body did not arrive in time")]
    Stalled,
    /// It is malformed or cut short.
    #[error("the body is incomplete or malformed")]
    Broken,
    /// As many as one worker holds are held.
    #[error("too many bodies are held at this moment")]
    Crowded,
    /// It is not shown here.
    #[error("the body is with the proxy that asks")]
    Elsewhere,
}

impl Inbound {
    /// Reads it whole and keeps it, to be looked at now and forwarded later. Asked again, gives the same.
    pub async fn hold(&mut self, how: Hold<'_>) -> Result<Bytes, Unheld> {
        match self {
            Self::Held(held) => return Ok(held.as_ref().map(|held| held.data.clone()).unwrap_or_default()),
            Self::Elsewhere => return Err(Unheld::Elsewhere),
            Self::Streaming(_) | Self::Stream(_) => {}
        }
        let most = how.most.map_or(u64::MAX, NonZeroU64::get);
        let most = usize::try_from(most).map_or(LONGEST, |most| most.min(LONGEST));
        if self.size_hint().lower() > most as u64 {
            return Err(Unheld::TooLarge);
        }
        let place = if self.is_end_stream() { None } else { Some(how.places.take().ok_or(Unheld::Crowded)?) };
        let reading = tokio::time::timeout(how.patience, read(self, most));
        let (data, trailers) = reading.await.map_err(|_| Unheld::Stalled)??;
        *self = Self::Held(Some(Box::new(Held { data: data.clone(), trailers, _place: place })));
        Ok(data)
    }
}

/// No body.
impl Default for Inbound {
    fn default() -> Self {
        Self::Held(None)
    }
}

/// Memory grows with what has come, not with what was announced.
async fn read(incoming: &mut Inbound, most: usize) -> Result<(Bytes, Option<HeaderMap>), Unheld> {
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    let mut trailers = None;
    while let Some(frame) = incoming.frame().await {
        match frame.map_err(|_| Unheld::Broken)?.into_data() {
            Ok(data) => {
                if first.len().max(joined.len()) + data.len() > most {
                    return Err(Unheld::TooLarge);
                }
                if first.is_empty() {
                    first = data;
                    continue;
                }
                if joined.is_empty() {
                    joined.extend_from_slice(&first);
                }
                joined.extend_from_slice(&data);
            }
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok((if joined.is_empty() { first } else { joined.freeze() }, trailers))
}

impl Body for Inbound {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Self::Streaming(here) => Pin::new(here).poll_frame(context),
            Self::Stream(received) => Pin::new(received).poll_frame(context).map_err(|_| Broken),
            Self::Held(Some(held)) if !held.data.is_empty() => {
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut held.data)))))
            }
            Self::Held(Some(held)) => {
                Poll::Ready(held.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
            }
            Self::Held(None) | Self::Elsewhere => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Streaming(content) => content.is_end_stream(),
            Self::Stream(received) => received.is_end_stream(),
            Self::Held(held) => {
                held.as_ref().is_none_or(|held| held.data.is_empty() && held.trailers.is_none())
            }
            // It may have one.
            Self::Elsewhere => false,
        }
    }

    /// Exact for a held body, unless it has trailers: those travel with a body of unknown length alone.
    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Streaming(content) => content.size_hint(),
            Self::Stream(received) => received.size_hint(),
            Self::Held(Some(held)) if held.trailers.is_some() => SizeHint::default(),
            Self::Held(held) => SizeHint::with_exact(held.as_ref().map_or(0, |held| held.data.len() as u64)),
            Self::Elsewhere => SizeHint::default(),
        }
    }
}

/// Room for bodies in memory, one worker's.
#[derive(Debug)]
pub struct Places(Rc<Cell<usize>>);

impl Default for Places {
    fn default() -> Self {
        Self(Rc::new(Cell::new(PLACES)))
    }
}

impl Places {
    fn take(&self) -> Option<Place> {
        let left = self.0.get().checked_sub(1)?;
        self.0.set(left);
        Some(Place(Rc::clone(&self.0)))
    }
}

/// One of them, given back when dropped.
#[derive(Debug)]
struct Place(Rc<Cell<usize>>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}
