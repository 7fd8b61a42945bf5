//! A connection that went on in another protocol: its upstream's end, and the request that led there.

use std::rc::Rc;

use tokio::io::{AsyncRead, AsyncWrite};

use super::{forward::Far, record::Exchange};

/// What remains of a request when its connection has become something else.
pub struct Tunnel {
    far: Far,
    exchange: Box<Exchange>,
}

impl Tunnel {
    pub(super) const fn new(far: Far, exchange: Box<Exchange>) -> Self {
        Self { far, exchange }
    }

    /// Passes bytes both ways until it ends, or its credential does. The request's line is written then.
    pub async fn run<S: AsyncRead + AsyncWrite + Unpin>(self, near: S) {
        let Self { far, exchange } = self;
        let turn = Rc::clone(exchange.turn());
        tokio::select! {
            () = far.join(near) => {}
            () = turn.is_cut() => {}
        }
        drop(exchange);
    }
}
