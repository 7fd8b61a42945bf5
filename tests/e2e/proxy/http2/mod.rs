//! HTTP/2 from clients.

mod answers;
mod conformance;
mod floods;
mod requests;

use crate::{
    proxy::house::House,
    support::frames::{Fate, Wire},
};

/// The pseudo-headers of an ordinary request, and the key.
pub fn head<'a>(house: &'a House, method: &'a str, path: &'a str) -> Vec<(&'a str, &'a str)> {
    let pseudo = [(":method", method), (":scheme", "http"), (":authority", "gw"), (":path", path)];
    [&pseudo[..], &[("x-api-key", &house.key)]].concat()
}

/// The same without a key.
pub fn plain<'a>(method: &'a str, path: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![(":method", method), (":scheme", "http"), (":authority", "gw"), (":path", path)]
}

/// What becomes of one request without a body on a connection of its own.
pub fn fate_of(house: &House, fields: &[(&str, &str)]) -> Fate {
    let mut wire = Wire::connect(house.program.gateway().0);
    wire.get(1, fields);
    wire.fate(1)
}
