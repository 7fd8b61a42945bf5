//! Bearer tokens of identity providers: a provider's signature is the proof, the person of its e-mail address the caller.
//!
//! A token is proved once for the process: its signature is checked on the control runtime, and what it proved is
//! remembered by its digest, until the provider takes the key away that signed it. Who the person is and what they may
//! do comes from the directory like everything else, and follows the change feed; the token's own end is judged at every
//! request, like a key's. A token cannot make a person: whoever has no account here is told so.

use std::{net::IpAddr, sync::Arc};

use moka::sync::Cache as Memory;

use super::key::Failure;
use crate::{
    config::{JwtIssuer, JwtKeys},
    domain::{
        access::Holder,
        jwt::{Bearer, Compact, Expected, Wrong},
        key::token::Digest,
    },
    proxy::{
        directory::{Cache, Lookup, Record, Rules, Vouched},
        failures::Failures,
    },
    runtime::{
        jwks::{IssuerKeys, Keeping, Published},
        single_flight::SingleFlight,
    },
};

/// Proves tokens of the issuers of one configuration. One for all workers.
pub struct Tokens {
    issuers: Vec<Arc<Issuer>>,
    proved: Memory<Digest, Arc<Token>>,
    checks: SingleFlight<Digest, Result<Arc<Token>, Failure>>,
    cache: Cache,
    failures: Arc<Failures>,
    keeping: Keeping,
}

/// An issuer with its keys, which outlive a reload that does not change it.
struct Issuer {
    settings: JwtIssuer,
    keys: IssuerKeys,
}

/// A token whose signature was checked.
struct Token {
    issuer: Arc<Issuer>,
    /// Of the issuer's keys, when it was checked.
    generation: u64,
    vouched: Arc<Vouched>,
}

impl Tokens {
    /// Nothing proved yet. Issuers that `before` had too keep their keys.
    pub fn new(
        issuers: &[JwtIssuer],
        before: Option<&Self>,
        cache: &Cache,
        failures: Arc<Failures>,
        keeping: &Keeping,
    ) -> Self {
        let kept = |settings: &JwtIssuer| {
            let before =
                before.and_then(|before| before.issuers.iter().find(|one| one.settings == *settings));
            before.map_or_else(|| Issuer::new(settings, cache, keeping), Arc::clone)
        };
        let (tasks, runtime) = (keeping.tasks.clone(), keeping.runtime.clone());
        Self {
            issuers: issuers.iter().map(kept).collect(),
            proved: Memory::new(CAPACITY),
            checks: SingleFlight::new("check of a token", tasks, runtime),
            cache: cache.clone(),
            failures,
            keeping: keeping.clone(),
        }
    }

    /// Who sends this token. The worker's own memory was asked before.
    pub async fn prove(
        &self,
        text: &str,
        digest: Digest,
        rules: &Arc<Rules>,
        client: IpAddr,
    ) -> Result<Arc<Record>, Failure> {
        for _ in 0..ATTEMPTS {
            let token = match self.known(&digest) {
                Some(token) => token,
                None => self.check(text, digest, client).await?,
            };
            let lookup = Lookup::Vouched(Arc::clone(&token.vouched));
            let found = self.cache.find(&lookup, rules).await.map_err(Failure::Store)?;
            // Asked after the record was made: a key that is taken away from now on ends the record itself.
            if !token.is_current() {
                continue;
            }
            let found = found.filter(|record| record.principal.holder == Holder::Present);
            return found.ok_or_else(|| Failure::NoAccount { prefix: token.vouched.credential.clone() });
        }
        Err(self.wrong(client))
    }

    fn known(&self, digest: &Digest) -> Option<Arc<Token>> {
        self.proved.get(digest).filter(|token| token.is_current())
    }

    /// Checks the signature, once for each token however many requests bring it at the same time.
    async fn check(&self, text: &str, digest: Digest, client: IpAddr) -> Result<Arc<Token>, Failure> {
        let issuer = Compact::claimed_issuer(text);
        let issuer = self.issuers.iter().find(|known| issuer.as_ref() == Some(&known.settings.issuer));
        let Some(issuer) = issuer.cloned() else { return Err(self.wrong(client)) };
        let checked = self.checks.run(digest, || {
            let (text, clock) = (zeroize::Zeroizing::new(text.to_owned()), self.keeping.clock.clone());
            async move { issuer.check(&text, digest, clock.now()).await.map(Arc::new) }
        });
        match checked.await.unwrap_or(Err(Failure::Overloaded)) {
            Ok(token) => {
                self.proved.insert(digest, Arc::clone(&token));
                Ok(token)
            }
            Err(Failure::Invalid { .. }) => Err(self.wrong(client)),
            Err(failure) => Err(failure),
        }
    }

    fn wrong(&self, client: IpAddr) -> Failure {
        let prefix = "".into();
        if self.failures.allow(client, None) {
            Failure::Invalid { prefix }
        } else {
            Failure::TooMany { prefix }
        }
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.issuers.iter().map(|issuer| &issuer.settings.issuer)).finish()
    }
}

impl Issuer {
    fn new(settings: &JwtIssuer, cache: &Cache, keeping: &Keeping) -> Arc<Self> {
        let published = match &settings.keys {
            JwtKeys::At(address) => Published::At(address.to_string()),
            JwtKeys::In(file) => Published::In(file.clone()),
        };
        let keys = IssuerKeys::new(&settings.issuer, published, settings.refresh, keeping.clone());
        keys.keep_fresh();
        let (mut changed, cache, stopped) = (keys.changed(), cache.clone(), keeping.tasks.stopped());
        keeping.tasks.spawn_on(&keeping.runtime, "end of an issuer's tokens", async move {
            let ending = async {
                // Until nobody holds the keys any more.
                while changed.changed().await.is_ok() {
                    cache.end_vouched();
                }
            };
            tokio::select! {
                () = ending => {}
                () = stopped => {}
            }
        });
        Arc::new(Self { settings: settings.clone(), keys })
    }

    async fn check(
        self: Arc<Self>,
        text: &str,
        digest: Digest,
        now: crate::domain::time::Timestamp,
    ) -> Result<Token, Failure> {
        let invalid = || Failure::Invalid { prefix: "".into() };
        let token = Compact::parse(text).ok_or_else(invalid)?;
        let generation = self.keys.generation();
        let keys = self.keys.keys_for(&token).await.map_err(Failure::Issuer)?;
        let JwtIssuer { issuer, audience, email, .. } = &self.settings;
        let proved = Bearer::prove(&token, &keys, &Expected { issuer, audience }, email, now);
        let Bearer { email, ends_at, id } = proved.map_err(|wrong| {
            tracing::debug!(issuer = self.settings.issuer, %wrong, "a token was refused");
            if wrong == Wrong::Expired { Failure::Expired } else { invalid() }
        })?;
        let vouched = Arc::new(Vouched::new(email, id, ends_at, digest));
        Ok(Token { issuer: self, generation, vouched })
    }
}

impl Token {
    /// Whether all keys that its issuer had when it was checked are still the issuer's.
    fn is_current(&self) -> bool {
        self.issuer.keys.generation() == self.generation
    }
}

/// Tokens that are remembered as proved.
const CAPACITY: u64 = 100_000;
/// An issuer takes keys away now and then, not all the time.
const ATTEMPTS: usize = 2;
