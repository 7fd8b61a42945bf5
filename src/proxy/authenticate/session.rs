//! Sessions of people: whoever has the token is the one who signed in.
//!
//! A token has 256 random bits, so its digest is as good a proof as any, and being found by it is being proved. What
//! the person may do is decided afterwards, as for a key.

use std::{net::IpAddr, sync::Arc};

use super::key::Failure;
use crate::{
    domain::{session::SessionToken, time::Timestamp},
    proxy::{
        directory::{Cache, Lookup, Record, Rules},
        failures::Failures,
    },
};

/// Proves sessions. One for all workers.
pub struct Sessions {
    cache: Cache,
    failures: Arc<Failures>,
}

impl Sessions {
    /// From this memory; wrong tokens count against the same budgets as wrong keys.
    pub const fn new(cache: Cache, failures: Arc<Failures>) -> Self {
        Self { cache, failures }
    }

    /// Whose session this is, whatever its state. The worker's own memory was asked before.
    pub async fn prove(
        &self,
        text: &str,
        rules: &Arc<Rules>,
        client: IpAddr,
        now: Timestamp,
    ) -> Result<Arc<Record>, Failure> {
        let Ok(digest) = SessionToken::read(text) else {
            return Err(self.wrong(client, Failure::Malformed));
        };
        let lookup = Lookup::Session(Box::new(digest));
        let record = self.cache.find(&lookup, rules).await.map_err(Failure::Store)?;
        match record {
            // Another node may have seen it since.
            Some(record) if record.principal.is_idle(now) => {
                let anew = self.cache.find_anew(&lookup, rules).await.map_err(Failure::Store)?;
                Ok(anew.unwrap_or(record))
            }
            Some(record) => Ok(record),
            None => Err(self.wrong(client, Failure::Invalid { prefix: "".into() })),
        }
    }

    fn wrong(&self, client: IpAddr, failure: Failure) -> Failure {
        if self.failures.allow(client, None) { failure } else { Failure::TooMany { prefix: "".into() } }
    }
}
