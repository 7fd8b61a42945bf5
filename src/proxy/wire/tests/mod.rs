//! Requests of honest and hostile clients, however their bytes are cut.

mod beside_hyper;
mod bodies;
mod heads;
mod server;
mod talk;

use super::*;

/// As configured unless said otherwise.
const BOUNDS: Bounds = Bounds { bytes: 32 << 10, fields: MOST_FIELDS };

/// All that is said on a connection, read in one piece.
fn read(said: impl AsRef<[u8]>) -> Whole {
    Whole::read(said.as_ref(), usize::MAX, BOUNDS)
}
