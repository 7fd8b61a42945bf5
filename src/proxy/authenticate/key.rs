//! API keys: shape, then memory, then MAC, then bcrypt.
//!
//! The order is by cost. Text of the wrong shape costs no look-up; a proof that was made before costs one read
//! of memory; the MAC costs a microsecond; bcrypt runs once for each key whose row has no MAC under the present
//! secret, on a pool of its own, and leaves a MAC behind.

use std::{net::IpAddr, sync::Arc, time::Duration};

use zeroize::Zeroizing;

use super::pace::Pace;
use crate::{
    config,
    domain::{
        access::CredentialId,
        key::{
            secret::{HashFailed, KeyHash, MacKey},
            token::{Digest, KeyShape, Presented},
        },
        time::Clock,
    },
    proxy::{
        directory::{Cache, Directory, Lookup, Record, Rules, Unavailable},
        failures::Failures,
        misses::Misses,
    },
    runtime::{
        hashing::{Hashing, Overloaded},
        jwks::NoKeys,
        single_flight::SingleFlight,
    },
};

/// Why a credential was not accepted as anybody's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Not the shape of one; nothing was looked up.
    Malformed,
    /// Nobody's. Which part of it is wrong is told to nobody.
    Invalid {
        /// The public characters it came with, for the log.
        prefix: Box<str>,
    },
    /// As `Malformed` or `Invalid`, from an address or with a prefix that was wrong too often.
    TooMany {
        /// The public characters it came with, for the log; empty when it had none.
        prefix: Box<str>,
    },
    /// A key that signs was sent as it is. Told only to whoever has proved it.
    SignatureRequired {
        /// The key's public characters.
        prefix: Box<str>,
    },
    /// A signature that does not count: wrong, too old, or over too little.
    SignatureInvalid {
        /// The public characters of the key that it names, if it names one.
        prefix: Box<str>,
    },
    /// A signature that has counted before.
    Replayed {
        /// The key's public characters.
        prefix: Box<str>,
    },
    /// A token whose time is over; its issuer's signature was proved.
    Expired,
    /// A token that its issuer signed, for somebody who has no account here.
    NoAccount {
        /// What names the token, for the log.
        prefix: Box<str>,
    },
    /// The keys of the token's issuer are not known.
    Issuer(NoKeys),
    /// It could not be asked whose key it is.
    Store(Unavailable),
    /// bcrypt is needed, and too many wait for it.
    Overloaded,
}

/// bcrypt verifications under way, by credential.
pub type SlowProofs = SingleFlight<Digest, Result<bool, Overloaded>>;

/// Proves API keys. One for all workers.
pub struct Keys {
    cache: Cache,
    directory: Arc<dyn Directory>,
    mac_key: MacKey,
    /// Made of nothing: unknown prefixes are checked against it, so that they cost the same.
    nobody: crate::domain::key::secret::Mac,
    hashing: Hashing,
    slow: SlowProofs,
    failures: Arc<Failures>,
    pace: Arc<Pace>,
    clock: Clock,
    accept_foreign: bool,
    misses: Option<Arc<Misses>>,
}

impl Keys {
    /// Nothing proved yet.
    pub fn new(
        cache: Cache,
        directory: Arc<dyn Directory>,
        mac_key: MacKey,
        hashing: Hashing,
        slow: SlowProofs,
        config: &config::Config,
        clock: Clock,
    ) -> Self {
        Self {
            nobody: mac_key.mac(""),
            slow,
            failures: Arc::new(Failures::new(config.auth.failures_per_minute, clock.clone())),
            pace: Arc::new(Pace::new(clock.clone())),
            accept_foreign: config.keys.accept_foreign,
            cache,
            directory,
            mac_key,
            hashing,
            clock,
            misses: None,
        }
    }

    /// The same, and misses of keys are counted.
    #[must_use]
    pub fn watched(self, misses: Misses) -> Self {
        Self { misses: Some(Arc::new(misses)), ..self }
    }

    /// Somebody came with this key's public characters and could not prove to hold it.
    pub fn missed(&self, key: &Record, client: IpAddr) {
        if let Some(misses) = &self.misses {
            misses.note(key, client);
        }
    }

    /// The misses of keys, for whoever proves other credentials.
    pub(super) fn misses(&self) -> Option<Arc<Misses>> {
        self.misses.clone()
    }

    /// The budgets of failures, for whoever proves other credentials.
    pub fn failures(&self) -> Arc<Failures> {
        Arc::clone(&self.failures)
    }

    /// How long being wrong takes, for whoever proves other credentials.
    pub(super) fn pace(&self) -> Arc<Pace> {
        Arc::clone(&self.pace)
    }

    /// Learns how long a verification takes, so that the first failure already takes as long.
    pub async fn calibrate(&self, cost: u32) -> Result<(), HashFailed> {
        let (pace, clock) = (Arc::clone(&self.pace), self.clock.clone());
        let measuring = self.hashing.run("calibration", move || {
            let began = clock.uptime();
            let made = KeyHash::bcrypt("calibration", cost);
            pace.measured(clock.uptime().saturating_sub(began));
            made.map(|_| ())
        });
        measuring.await.unwrap_or(Ok(()))
    }

    /// Whose key this is. The worker's own memory was asked before.
    ///
    /// Once a key is proved the answer is `Ok`, whatever its state: what it may do is decided afterwards.
    pub async fn prove(
        &self,
        text: &str,
        digest: Digest,
        rules: &Arc<Rules>,
        client: IpAddr,
    ) -> Result<Arc<Record>, Failure> {
        let began = self.clock.uptime();
        let Some((presented, lookup)) = self.read(text, digest, &rules.profile.keys.shape) else {
            let allowed = self.failures.allow(client, None);
            return Err(if allowed { Failure::Malformed } else { Failure::TooMany { prefix: "".into() } });
        };
        let record = self.cache.find(&lookup, rules).await.map_err(Failure::Store)?;
        if let Some(record) = &record
            && self
                .is_proof(&presented, digest, record, client)
                .await
                .map_err(|Overloaded| Failure::Overloaded)?
        {
            if record.is_live(rules.generation) {
                return sent(Arc::clone(record));
            }
            // bcrypt may have kept it waiting for seconds: what the key may do has changed meanwhile.
            if let Some(now) = self.cache.find(&lookup, rules).await.map_err(Failure::Store)?
                && now.id == record.id
            {
                return sent(now);
            }
        }
        Err(self.wrong(record.as_deref(), &presented, &lookup, client, began).await)
    }

    /// Shape and checksum; a foreign shape only where such keys are accepted.
    fn read<'a>(&self, text: &'a str, digest: Digest, shape: &KeyShape) -> Option<(Presented<'a>, Lookup)> {
        match shape.parse(text) {
            Ok(presented) => Some((presented, Lookup::Public(presented.public.into()))),
            Err(_) if self.accept_foreign && !shape.claims(text) => {
                let presented = Presented::foreign(text).ok()?;
                Some((presented, Lookup::foreign(digest, text)))
            }
            Err(_) => None,
        }
    }

    async fn is_proof(
        &self,
        presented: &Presented<'_>,
        digest: Digest,
        record: &Arc<Record>,
        client: IpAddr,
    ) -> Result<bool, Overloaded> {
        let Some(proof) = &record.proof else { return Ok(false) };
        let proved = match proof.quick(presented, &self.mac_key) {
            Some(verdict) => verdict,
            None if self.cache.is_proved(&digest, record.id) => true,
            None => {
                let proved = self.verify_slowly(presented, digest, record, client).await?;
                if proved {
                    self.cache.proved(digest, record.id);
                }
                proved
            }
        };
        if proved {
            self.cache.keep(record);
            if let CredentialId::Key(key) = record.id
                && record.wants_mac()
            {
                self.directory.heal(key, self.mac_key.mac(presented.text));
            }
        }
        Ok(proved)
    }

    /// bcrypt, once for each credential however many requests bring it at the same time. The pool's turns go by
    /// key and address: whoever floods it with guesses at a key stands in a line of their own, not in its holder's.
    async fn verify_slowly(
        &self,
        presented: &Presented<'_>,
        digest: Digest,
        record: &Arc<Record>,
        client: IpAddr,
    ) -> Result<bool, Overloaded> {
        let verifying = self.slow.run(digest, || {
            let (hashing, pace, clock) = (self.hashing.clone(), Arc::clone(&self.pace), self.clock.clone());
            let (text, record) = (Zeroizing::new(presented.text.to_owned()), Arc::clone(record));
            let (public, secret) = (presented.public.len(), presented.secret.len());
            async move {
                let subject = format!("{} {client}", record.principal.credential);
                let job = move || {
                    let began = clock.uptime();
                    let presented = Presented {
                        text: &text,
                        public: &text[..public.min(text.len())],
                        secret: &text[text.len() - secret..],
                    };
                    let proved = record.proof.as_ref().is_some_and(|proof| proof.slow(&presented));
                    pace.measured(clock.uptime().saturating_sub(began));
                    proved
                };
                hashing.run(&subject, job).await
            }
        });
        verifying.await.unwrap_or(Err(Overloaded))
    }

    /// The one way of being wrong: the same work, the same wait, the same answer for an unknown prefix and a
    /// wrong secret.
    async fn wrong(
        &self,
        record: Option<&Record>,
        presented: &Presented<'_>,
        lookup: &Lookup,
        client: IpAddr,
        began: Duration,
    ) -> Failure {
        if record.is_none() {
            let _ = std::hint::black_box(self.mac_key.check(&self.nobody, presented.text));
        }
        let prefix: Box<str> = match record {
            Some(record) => {
                // Whatever this costs, the wait below hides it.
                self.missed(record, client);
                record.principal.credential.clone()
            }
            None => presented.public.into(),
        };
        let allowed = self.failures.allow(client, lookup.named());
        self.pace.wait(began).await;
        if allowed { Failure::Invalid { prefix } } else { Failure::TooMany { prefix } }
    }
}

/// A proved key, unless it is one whose requests are signed: what is never sent cannot be stolen on its way, and
/// whoever sends it has to learn that they do.
fn sent(record: Arc<Record>) -> Result<Arc<Record>, Failure> {
    if record.signer.is_none() {
        return Ok(record);
    }
    Err(Failure::SignatureRequired { prefix: record.principal.credential.clone() })
}
