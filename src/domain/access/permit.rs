//! Proof that a decision was made, and that it was yes.

/// Only [`decide`](super::decide()) makes one, and forwarding takes one: a request that nobody judged cannot be
/// forwarded, because it does not compile.
#[derive(Debug)]
#[must_use = "a permit is for forwarding one request"]
pub struct Permit {
    _made_by_decide: (),
}

impl Permit {
    pub(super) const fn new() -> Self {
        Self { _made_by_decide: () }
    }
}
