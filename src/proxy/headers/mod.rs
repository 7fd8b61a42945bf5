//! What the headers say on their way through: checks, removals, additions.
//!
//! The order in which a request is edited is the point of it. First everything that the client has no business
//! to say goes: what its `Connection` names, what is for this connection only, every spelling of a name that the
//! gateway itself will set. Then the gateway sets its own. The other way round, `Connection: X-Tenant-Id` would
//! strip the identity that the upstream trusts.

mod authority;
mod caching;
mod forwarded;
mod lines;
mod names;
mod request;
mod request_id;
mod response;
mod rules;
mod trailers;
mod upgrade;

pub use self::{
    authority::{Authority, Malformed, authority, authority_of, names_two_hosts},
    caching::keep_private,
    forwarded::translate,
    lines::{Lines, Phrase},
    request::{Hop, LoopDetected, X_REQUEST_ID, is_for_the_gateway},
    request_id::{RequestIds, RequestName},
    response::{BadResponse, binds_connection},
    rules::{HeaderRules, Pseudonym},
    upgrade::wanted_protocols,
};
