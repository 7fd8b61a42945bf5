//! Joins the store to the data plane: what a row means, as an entry that can be judged.

use std::{
    collections::HashSet,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{mpsc, watch};

use super::lookups::Lookups;
use crate::{
    domain::{
        access::{CredentialId, Holder, Method, Networks, Principal, Rights},
        boundary::Boundary,
        id::{ChangeId, KeyId},
        key::{
            secret::{Mac, MacKey},
            signing::{SigningSecret, Verifier},
            state::Life,
        },
        seal::SealKey,
        time::Timestamp,
    },
    proxy::{
        authenticate::signed::Signer,
        directory::{
            Answer, Change, Changes, Directory, Entry, Lookup, Proof, Rules, Subject, Unavailable, Vouched,
        },
    },
    runtime::tasks::{Stopped, Tasks},
    store::{
        Store, StoreError, changes,
        keys::{self, Held, Key, Signing},
        orgs::{self, Org},
        people::{self, Acting},
        sessions,
    },
    telemetry::metrics::Metrics,
};

/// Changes read at once; a follower that is further behind reads again.
const CHANGES_AT_ONCE: u32 = 1_000;
/// Damaged rows and secrets that are remembered as reported.
const REPORTED: usize = 10_000;

/// The store as a [`Directory`].
pub struct StoreDirectory {
    store: Store,
    lookups: Lookups,
    /// Kept between waits, so that no news is missed while nobody waits.
    changed: tokio::sync::Mutex<watch::Receiver<ChangeId>>,
    heal: mpsc::Sender<(KeyId, Mac)>,
    mac_key: MacKey,
    seal_key: SealKey,
    reported: Mutex<HashSet<String>>,
    metrics: Arc<Metrics>,
}

impl StoreDirectory {
    /// A directory of this store; MACs to be stored go to `heal`.
    pub fn new(
        store: Store,
        heal: mpsc::Sender<(KeyId, Mac)>,
        (mac_key, seal_key): (MacKey, SealKey),
        metrics: Arc<Metrics>,
        tasks: &Tasks,
    ) -> Self {
        let lookups = Lookups::start(&store, tasks);
        let changed = tokio::sync::Mutex::new(store.changed());
        Self { store, lookups, changed, heal, mac_key, seal_key, reported: Mutex::default(), metrics }
    }

    async fn entry(&self, lookup: &Lookup, rules: &Rules) -> Result<Option<Entry>, Arc<StoreError>> {
        let store = &self.store;
        let key = match lookup {
            Lookup::Public(public) => match self.lookups.find(public).await {
                Some(found) => found?,
                None => return Err(Arc::new(StoreError::Unavailable("nobody looked".into()))),
            },
            Lookup::Foreign(foreign) => {
                let (digest, leading) = (&foreign.digest, foreign.leading.as_str());
                let found = keys::find_foreign(&mut *store.read().await?, digest, leading).await?;
                found.into_iter().next()
            }
            Lookup::Session(token) => {
                let held = sessions::find_by_token(&mut *store.read().await?, token).await?;
                return Ok(held.map(|held| session(held, rules)));
            }
            Lookup::Webhook(webhook) => {
                let (name, org, mut reader) = (&*webhook.name, &*webhook.org, store.read().await?);
                let org = match org.parse() {
                    Ok(id) => orgs::find(&mut reader, id).await?,
                    Err(_) => orgs::find_by_slug(&mut reader, org).await?,
                };
                return Ok(org.map(|org| called(name, &org, rules)));
            }
            Lookup::Vouched(vouched) => {
                let person = people::find_by_email(&mut *store.read().await?, &vouched.email).await?;
                return Ok(person.map(|person| token(vouched, person, rules)));
            }
        };
        Ok(key.map(|held| self.key(held, rules)))
    }

    fn key(&self, held: Held, rules: &Rules) -> Entry {
        let signer = held.key.security_level.signing().map(|signing| self.signer(&held.key, signing));
        entry(held, signer, rules, &self.mac_key)
    }

    /// What verifies a key's signatures. A secret that does not open is said aloud: nothing is wrong with the key.
    fn signer(&self, key: &Key, signing: &Signing) -> Signer {
        let sealed = match signing {
            Signing::Public(public) => return Signer::Ready(Verifier::Public(*public)),
            Signing::Sealed(sealed) => sealed,
        };
        let opened = self.seal_key.open(&keys::signing_place(key.id), sealed);
        if let Ok(Some(secret)) = opened.map(|key| SigningSecret::new(&key)) {
            return Signer::Ready(Verifier::Secret(secret));
        }
        if self.is_news(format!("signing secret of {}", key.id)) {
            tracing::error!(
                key = key.prefix,
                "the signing secret of a key was sealed under another store.secret_file, or is damaged: its requests \
                 are answered 503 until that file is back or the key is rotated"
            );
        }
        Signer::Sealed
    }

    /// A damaged row is nobody's key, and is reported once.
    fn report(&self, error: &StoreError) {
        if self.is_news(error.to_string()) {
            tracing::error!(%error, "a damaged row was found; the credential is refused, others are not affected");
            self.metrics.store.corrupt_rows.inc();
        }
    }

    fn is_news(&self, what: String) -> bool {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        reported.len() < REPORTED && reported.insert(what)
    }
}

impl Directory for StoreDirectory {
    fn find<'a>(&'a self, lookup: &'a Lookup, rules: &'a Rules) -> Answer<'a, Option<Entry>> {
        Box::pin(async move {
            match self.entry(lookup, rules).await {
                Ok(entry) => Ok(entry),
                Err(error) if matches!(*error, StoreError::Corrupt { .. }) => {
                    self.report(&error);
                    Ok(None)
                }
                Err(error) => Err(unavailable(&error)),
            }
        })
    }

    fn latest(&self) -> Answer<'_, ChangeId> {
        Box::pin(async move {
            let mut reader = self.store.read().await.map_err(|error| unavailable(&error))?;
            changes::latest(&mut reader).await.map_err(|error| unavailable(&error))
        })
    }

    fn changes(&self, after: ChangeId) -> Answer<'_, Changes> {
        Box::pin(async move {
            let mut changed = Vec::new();
            let mut upto = after;
            loop {
                let mut reader = self.store.read().await.map_err(|error| unavailable(&error))?;
                let feed = changes::since(&mut reader, upto, CHANGES_AT_ONCE).await;
                match feed.map_err(|error| unavailable(&error))? {
                    changes::Feed::Lost { latest } => return Ok(Changes::Everything { upto: latest }),
                    changes::Feed::Next(next) => {
                        let last = next.len() < CHANGES_AT_ONCE as usize;
                        upto = next.last().map_or(upto, |change| change.id);
                        changed.extend(next.iter().map(change));
                        if last {
                            return Ok(Changes::These { changed, upto });
                        }
                    }
                }
            }
        })
    }

    fn news(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            // Closed only with the store itself, that is with the program.
            if self.changed.lock().await.changed().await.is_err() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        })
    }

    fn heal(&self, key: KeyId, mac: Mac) {
        // Best effort: a MAC that does not fit in the queue is made again at the next start.
        let _ = self.heal.try_send((key, mac));
    }
}

/// Writes MACs beside keys that had none, many in one transaction. When asked to end, writes what waits first.
pub async fn write_macs(store: Store, mut heal: mpsc::Receiver<(KeyId, Mac)>, mut stopped: Stopped) {
    const AT_ONCE: usize = 500;
    let mut batch = Vec::with_capacity(AT_ONCE);
    let mut stopping = false;
    loop {
        tokio::select! {
            count = heal.recv_many(&mut batch, AT_ONCE) => if count == 0 { return },
            () = &mut stopped, if !stopping => {
                stopping = true;
                heal.close();
            }
        }
        if let Err(error) = keys::set_mac(&store, &batch).await {
            tracing::warn!(%error, "look-up MACs could not be stored; they are made again at the next start");
        }
        batch.clear();
    }
}

fn entry(held: Held, signer: Option<Signer>, rules: &Rules, mac_key: &MacKey) -> Entry {
    let standing = held.standing(&rules.profile);
    // Its projects come sorted, as a decision needs them.
    let Held { key, team_projects, rotated_at, .. } = held;
    Entry {
        id: CredentialId::Key(key.id),
        family: CredentialId::Key(key.family),
        principal: Principal {
            method: if signer.is_some() { Method::Signed } else { Method::ApiKey },
            credential: key.prefix.into(),
            life: standing.life.into(),
            activity: None,
            rights: Arc::new(Rights {
                boundary: key.boundary,
                team_projects: team_projects.into(),
                user: key.owner,
                role: standing.role,
                permissions: standing.permissions,
                holder: standing.holder,
                networks: standing.networks,
            }),
        },
        rate: standing.rate.or(rules.default_rate),
        proof: Some(Proof::new(key.hash, key.imported_at.is_some(), key.mac, mac_key)),
        signer,
        rotated_at,
        seen_at: None,
    }
}

fn session(held: sessions::Held, rules: &Rules) -> Entry {
    let sessions::Held { session, person } = held;
    let id = CredentialId::Session(session.id);
    Entry {
        id,
        family: id,
        principal: Principal {
            method: Method::Session,
            credential: session.id.to_string().into(),
            life: session.life().into(),
            activity: None,
            rights: rights(person, rules),
        },
        rate: None,
        proof: None,
        signer: None,
        rotated_at: None,
        seen_at: Some(session.last_seen_at),
    }
}

/// What a person may do where they act, from anywhere.
fn rights(person: Acting, rules: &Rules) -> Arc<Rights> {
    let standing = person.standing(&rules.profile);
    Arc::new(Rights {
        boundary: person.boundary,
        team_projects: person.team_projects.into(),
        user: Some(person.user),
        role: standing.role,
        permissions: standing.permissions,
        holder: standing.holder,
        networks: Networks::default(),
    })
}

fn token(vouched: &Vouched, person: Acting, rules: &Rules) -> Entry {
    let id = CredentialId::Person(person.user);
    Entry {
        id,
        family: id,
        principal: Principal {
            method: Method::Jwt,
            credential: vouched.credential.clone(),
            life: Life::begin(Timestamp::default(), Some(vouched.ends_at)).into(),
            activity: None,
            rights: rights(person, rules),
        },
        rate: None,
        proof: None,
        signer: None,
        rotated_at: None,
        seen_at: None,
    }
}

/// A webhook acts in its organization, and holds what every webhook holds.
fn called(name: &str, org: &Org, rules: &Rules) -> Entry {
    let id = CredentialId::Webhook(org.id);
    Entry {
        id,
        family: id,
        principal: Principal {
            method: Method::Webhook,
            credential: name.into(),
            life: Life::begin(org.created_at, None).into(),
            activity: None,
            rights: Arc::new(Rights {
                boundary: Boundary::Org(org.id),
                team_projects: Box::default(),
                user: None,
                role: None,
                permissions: rules.profile.received(),
                holder: Holder::Present,
                networks: Networks::default(),
            }),
        },
        rate: None,
        proof: None,
        signer: None,
        rotated_at: None,
        seen_at: None,
    }
}

fn change(change: &changes::Change) -> Change {
    let subject = match &change.subject {
        changes::Subject::Key { id, .. } => Subject::Credential(CredentialId::Key(*id)),
        changes::Subject::Session { id, .. } => Subject::Credential(CredentialId::Session(*id)),
        changes::Subject::Org(org) => Subject::Org(*org),
    };
    Change { subject, at: change.at }
}

/// With what lies behind it: "not available" alone tells an operator nothing.
fn unavailable(error: &StoreError) -> Unavailable {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    Unavailable(format!("{error}{}", cause.unwrap_or_default()))
}
