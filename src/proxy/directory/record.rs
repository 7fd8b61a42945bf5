//! A credential as the data plane holds it: everything a request needs, made once.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::{Entry, Lookup, Rules};
use crate::{
    domain::{
        access::{CredentialId, Principal},
        key::secret::{KeyHash, Mac, MacKey, MacVerdict},
        key::token::Presented,
    },
    proxy::{
        authenticate::signed::Signer,
        identity::Identity,
        throttle::{Limiter, Sunset},
    },
};

/// What proves a key.
#[derive(Debug, Clone)]
pub struct Proof {
    /// The durable hash.
    pub hash: KeyHash,
    /// The fast one, where the row has it.
    pub mac: Option<Mac>,
    /// Whether the hash was made elsewhere.
    pub imported: bool,
}

impl Proof {
    /// Whether the row lacks a MAC under the present secret.
    pub fn needs_mac(&self, mac_key: &MacKey) -> bool {
        self.mac.is_none_or(|mac| !mac_key.made(&mac))
    }

    /// What can be said about a presented key without spending CPU: nothing, when only bcrypt can tell.
    pub fn quick(&self, key: &Presented<'_>, mac_key: &MacKey) -> Option<bool> {
        match self.mac.map(|mac| mac_key.check(&mac, key.text)) {
            Some(MacVerdict::Match) => Some(true),
            Some(MacVerdict::Mismatch) => Some(false),
            Some(MacVerdict::OtherSecret) | None if self.hash.is_slow() => None,
            _ => Some(self.hash.verify(key, self.imported)),
        }
    }
}

/// A credential in memory. Shared by all workers; a change of it or its organization ends it for all of them at
/// once, by one flag.
#[derive(Debug)]
pub struct Record {
    /// Which.
    pub id: CredentialId,
    /// By what it was found.
    pub lookup: Lookup,
    /// Who presents it.
    pub principal: Principal,
    /// What proves a key; none: it was found by the digest of all of it.
    pub proof: Option<Proof>,
    /// What verifies the requests of a key that signs; such a key is never accepted as it is.
    pub signer: Option<Signer>,
    /// The headers that tell the upstream who is calling.
    pub identity: Identity,
    /// Its rate limit, shared along a rotation chain.
    pub limiter: Option<Arc<Limiter>>,
    /// What a key in its grace period says on every answer.
    pub sunset: Option<Sunset>,
    /// The configuration that its permission bits and headers were made under.
    pub generation: u64,
    live: AtomicBool,
}

impl Record {
    pub(in crate::proxy) fn new(
        entry: Entry,
        lookup: Lookup,
        limiter: Option<Arc<Limiter>>,
        rules: &Rules,
    ) -> Self {
        Self {
            id: entry.id,
            lookup,
            identity: Identity::new(&entry.principal, &rules.profile, &rules.identity),
            sunset: Sunset::new(&entry.principal.life, entry.rotated_at),
            principal: entry.principal,
            proof: entry.proof,
            signer: entry.signer,
            limiter,
            generation: rules.generation,
            live: AtomicBool::new(true),
        }
    }

    /// Whether nothing that it was made from has changed.
    #[inline]
    pub fn is_live(&self, generation: u64) -> bool {
        self.live.load(Ordering::Acquire) && self.generation == generation
    }

    /// Ends it, wherever it is held.
    pub(super) fn end(&self) {
        self.live.store(false, Ordering::Release);
    }
}
