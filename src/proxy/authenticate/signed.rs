//! Signed requests: whoever can sign for a key is its holder, and each signature counts once (R001_05).
//!
//! A signature is judged by the request's head alone, so that nobody's body is read for a stranger. What it says of
//! the body is held against the body afterwards, and its nonce is used up last of all: a request that breaks off on
//! its way can be sent again.

use std::{net::IpAddr, sync::Arc, time::Duration};

use super::{
    key::{Failure, Keys},
    pace::Pace,
    replay::{Nonce, Nonces, Taken},
};
use crate::{
    domain::{
        access::CredentialId,
        key::signing::Verifier,
        time::{Clock, Timestamp},
    },
    proxy::{
        directory::{Cache, Lookup, Record, Rules, Unavailable},
        failures::Failures,
        misses::Misses,
        signature::{Claim, Found},
    },
};

/// What verifies the requests of a key that signs.
#[derive(Debug, Clone)]
pub enum Signer {
    /// Ready for use.
    Ready(Verifier),
    /// Sealed under another secret file than the present one. The key is not wrong; it cannot be judged.
    Sealed,
}

/// Proves signed requests. One for all workers.
pub struct Signatures {
    cache: Cache,
    nonces: Arc<dyn Nonces>,
    failures: Arc<Failures>,
    misses: Option<Arc<Misses>>,
    pace: Arc<Pace>,
    clock: Clock,
}

impl Signatures {
    /// From this memory; what is wrong counts against the same budgets as wrong keys, and takes as long.
    pub fn new(cache: Cache, nonces: Arc<dyn Nonces>, keys: &Keys, clock: Clock) -> Self {
        let (failures, misses, pace) = (keys.failures(), keys.misses(), keys.pace());
        Self { cache, nonces, failures, misses, pace, clock }
    }

    /// Whose signature this is, whatever their key's state; the body and the nonce are still to be judged.
    pub async fn prove(
        &self,
        found: &Found,
        rules: &Arc<Rules>,
        client: IpAddr,
        now: Timestamp,
    ) -> Result<Arc<Record>, Failure> {
        match found {
            Found::Claim(claim) => self.prove_claim(claim, rules, client, now).await,
            Found::Flawed { keyid } => Err(self.refuse(keyid.as_deref(), client).await),
            // By nobody that this platform could know.
            Found::Foreign | Found::Nothing | Found::Several => {
                let failure = Failure::Invalid { prefix: "".into() };
                Err(self.wrong(failure, None, client, self.clock.uptime()).await)
            }
        }
    }

    async fn prove_claim(
        &self,
        claim: &Claim,
        rules: &Arc<Rules>,
        client: IpAddr,
        now: Timestamp,
    ) -> Result<Arc<Record>, Failure> {
        let began = self.clock.uptime();
        let lookup = Lookup::Public(claim.keyid.clone());
        let record = self.cache.find(&lookup, rules).await.map_err(Failure::Store)?;
        let prefix = claim.keyid.clone();
        match record.as_ref().and_then(|record| record.signer.as_deref()) {
            Some(Signer::Ready(verifier)) if claim.is_timely(now) && claim.is_made_by(verifier) => {
                return record.ok_or(Failure::Invalid { prefix });
            }
            Some(Signer::Ready(_)) => {}
            Some(Signer::Sealed) => {
                return Err(Failure::Store(Unavailable(format!(
                    "the secret of key {prefix} cannot be opened"
                ))));
            }
            // Nobody's, or that of a key which does not sign: as if there were none.
            None => {
                return Err(self.wrong(Failure::Invalid { prefix }, Some(&claim.keyid), client, began).await);
            }
        }
        if let (Some(misses), Some(record)) = (&self.misses, &record) {
            misses.note(record, client);
        }
        Err(self.wrong(Failure::SignatureInvalid { prefix }, Some(&claim.keyid), client, began).await)
    }

    /// A signature that cannot count, of a key that may be there or not: none is looked for.
    async fn refuse(&self, keyid: Option<&str>, client: IpAddr) -> Failure {
        let failure = Failure::SignatureInvalid { prefix: keyid.unwrap_or_default().into() };
        self.wrong(failure, keyid, client, self.clock.uptime()).await
    }

    /// The last step, once the caller may do what is asked: the body is what was signed, and the nonce of a request
    /// that is right in everything is used up. `body` is all of it where the claim [covers](Claim::covers_body) one.
    pub async fn complete(
        &self,
        claim: &Claim,
        id: CredentialId,
        body: &[u8],
        client: IpAddr,
    ) -> Result<(), Failure> {
        if !claim.is_over(body) {
            return Err(self.refuse(Some(&claim.keyid), client).await);
        }
        let CredentialId::Key(key) = id else { return Ok(()) };
        let nonce = Nonce { key, digest: claim.nonce(), until: claim.remembered_until() };
        match self.nonces.take(nonce).await.map_err(Failure::Store)? {
            Taken::New => Ok(()),
            Taken::Full => Err(Failure::Overloaded),
            Taken::Again => {
                let failure = Failure::Replayed { prefix: claim.keyid.clone() };
                Err(self.charged(failure, Some(&claim.keyid), client))
            }
        }
    }

    /// The one way of being wrong: the same budgets and the same wait, whatever was wrong.
    async fn wrong(&self, failure: Failure, named: Option<&str>, client: IpAddr, began: Duration) -> Failure {
        let failure = self.charged(failure, named, client);
        self.pace.wait(began).await;
        failure
    }

    fn charged(&self, failure: Failure, named: Option<&str>, client: IpAddr) -> Failure {
        if self.failures.allow(client, named) {
            failure
        } else {
            Failure::TooMany { prefix: named.unwrap_or_default().into() }
        }
    }
}
