//! What the data plane must know about credentials, and no more: one narrow port, cached in memory.
//!
//! [`Directory`] is the port; [`Cache`] remembers what it said; [`follow`] keeps the memory honest by the
//! change feed. A secret's proof never grows old, the state of a key does: see [`cache`].

mod activity;
mod alike;
pub mod cache;
mod feed;
pub mod follow;
pub mod lookup;
pub mod memory;
mod record;
mod registry;
mod rules;
mod shelf;

use std::{future::Future, pin::Pin};

pub use cache::Cache;
pub use lookup::{Lookup, Vouched};
pub use record::{Proof, Record};
pub use rules::Rules;

use super::authenticate::signed::Signer;
use crate::domain::{
    access::{CredentialId, Principal, RatePerMinute},
    id::{ChangeId, KeyId, OrgId},
    key::secret::Mac,
    time::Timestamp,
};

/// An answer that may take a while.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Unavailable>> + Send + 'a>>;

/// Where credentials and their changes are read.
pub trait Directory: Send + Sync + 'static {
    /// The credential of this name, judged by these rules, with everything joined that a decision needs; `None` when
    /// nobody holds it, or when its row is damaged (which the directory reports, once).
    fn find<'a>(&'a self, lookup: &'a Lookup, rules: &'a Rules) -> Answer<'a, Option<Entry>>;

    /// The position of the newest change.
    fn latest(&self) -> Answer<'_, ChangeId>;

    /// What changed after a position, oldest first.
    fn changes(&self, after: ChangeId) -> Answer<'_, Changes>;

    /// Waits until there may be news; the caller polls now and then anyway.
    fn news(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// Stores a look-up MAC beside a key that had none under the present secret. Best effort.
    fn heal(&self, key: KeyId, mac: Mac);
}

/// The store cannot be asked now. Never a statement about a credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store cannot be reached: {0}")]
pub struct Unavailable(pub String);

/// A credential as the directory knows it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Which.
    pub id: CredentialId,
    /// The first key of its rotation chain: limits are shared along the chain.
    pub family: CredentialId,
    /// Who presents it.
    pub principal: Principal,
    /// Its own rate limit, or the default one.
    pub rate: Option<RatePerMinute>,
    /// What proves a key; none: it is found by the digest of all of it, and whoever has that has it.
    pub proof: Option<Proof>,
    /// What verifies the requests of a key that signs.
    pub signer: Option<Signer>,
    /// When a rotation replaced it.
    pub rotated_at: Option<Timestamp>,
    /// For a session: when it was last used, as far as that was written down.
    pub seen_at: Option<Timestamp>,
}

/// A stretch of the change feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changes {
    /// The changes after the position asked for, up to and including `upto`.
    These {
        /// What changed.
        changed: Vec<Change>,
        /// The position reached.
        upto: ChangeId,
    },
    /// The feed no longer reaches back that far: anything may have changed.
    Everything {
        /// The position reached.
        upto: ChangeId,
    },
}

/// One change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// What it is about.
    pub subject: Subject,
    /// When it was made, by the clock of whoever made it.
    pub at: Timestamp,
}

/// What one change names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// One key, one session, or all that speaks for one person by somebody else's word.
    Credential(CredentialId),
    /// Everything of an organization: its members, teams, projects, roles.
    Org(OrgId),
}
