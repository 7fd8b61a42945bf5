//! The keys that sign assertions: made when they are needed, followed by the next in time, forgotten when nobody needs
//! them.
//!
//! Every node calls [`Control::keep_assertion_keys`] again and again. What is to be made is decided under the store's
//! write lock, so of two nodes that find it missing one makes it and the other finds it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Caller, Control, ServiceError, caller::Who};
use crate::{
    domain::{
        assertion::{Pair, PairFailed, Schedule},
        audit::{Actor, ActorKind, Event},
        id::AuditId,
        seal::{NotOpened, SealFailed},
        time::Timestamp,
    },
    store::{
        Tx,
        assertion_keys::{self, AssertionKey},
        audit,
    },
};

/// A key as nodes use it.
#[derive(Debug, Clone)]
pub struct Signing {
    /// From when on it signs.
    pub from: Timestamp,
    /// What signs.
    pub pair: Arc<Pair>,
}

/// The keys that there are.
#[derive(Debug, Clone, Default)]
pub struct AssertionKeys {
    /// Those that this node can open, the first to sign first.
    pub signing: Vec<Signing>,
    /// The public half of each.
    pub public: Vec<Value>,
}

/// A key as shown.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct AssertionKeyView {
    /// As tokens name it.
    pub id: String,
    /// `next`, `signing` or `published`: it signed before.
    pub status: &'static str,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it signs.
    pub signs_from: Timestamp,
}

impl Control {
    /// Whether upstreams get assertions.
    pub fn asserts(&self) -> bool {
        self.settings().assertion
    }

    /// The keys, after whatever is due: the first is made, the next announced, old ones forgotten.
    pub async fn keep_assertion_keys(&self) -> Result<AssertionKeys, ServiceError> {
        let mut keys = assertion_keys::all(&mut *self.store().read().await?).await?;
        let now = self.clock().now();
        if self.due(&keys, now).is_some() || !over(&keys, now).is_empty() {
            let mut tx = self.store().write().await?;
            keys = assertion_keys::all(&mut tx).await?;
            let now = self.clock().now();
            for id in over(&keys, now) {
                assertion_keys::delete(&mut tx, &id).await?;
            }
            if let Some(begin) = self.due(&keys, now) {
                let actor = Actor { kind: ActorKind::System, name: "system".into() };
                self.make(&mut tx, (now, begin), actor, "create").await?;
            }
            keys = assertion_keys::all(&mut tx).await?;
            tx.commit().await?;
        }
        let signing = keys
            .iter()
            .filter_map(|key| Some(Signing { from: key.signs_from, pair: Arc::new(self.pair_of(key)?) }));
        Ok(AssertionKeys {
            signing: signing.collect(),
            public: keys.iter().map(|key| key.public.clone()).collect(),
        })
    }

    /// Makes a key before its time. It signs in an hour, when everybody knows it; or `at_once`, and then those before
    /// it are forgotten: what they have signed counts for nobody any more.
    pub async fn rotate_assertion_keys(
        &self,
        caller: &Caller,
        at_once: bool,
    ) -> Result<AssertionKeyView, ServiceError> {
        let mut tx = self.store().write().await?;
        let now = self.clock().now();
        let who = Who::read(&mut tx, self.profile(), caller, now).await?;
        operator(&who)?;
        if at_once {
            for key in assertion_keys::all(&mut tx).await? {
                assertion_keys::delete(&mut tx, &key.id).await?;
            }
        }
        let begin = if at_once { now } else { Schedule::announced(now) };
        let key = self.make(&mut tx, (now, begin), who.actor(), "rotate").await?;
        tx.commit().await?;
        let status = if at_once { "signing" } else { "next" };
        Ok(AssertionKeyView { id: key.id, status, created_at: now, signs_from: begin })
    }

    /// The keys, the first to sign first.
    pub async fn list_assertion_keys(&self, caller: &Caller) -> Result<Vec<AssertionKeyView>, ServiceError> {
        let mut conn = self.store().read().await?;
        let now = self.clock().now();
        operator(&Who::read(&mut conn, self.profile(), caller, now).await?)?;
        let keys = assertion_keys::all(&mut conn).await?;
        let present = keys.iter().map(|key| key.signs_from).filter(|begin| *begin <= now).max();
        let view = |key: AssertionKey| AssertionKeyView {
            status: match Some(key.signs_from).cmp(&present) {
                std::cmp::Ordering::Less => "published",
                std::cmp::Ordering::Equal => "signing",
                std::cmp::Ordering::Greater => "next",
            },
            id: key.id,
            created_at: key.created_at,
            signs_from: key.signs_from,
        };
        Ok(keys.into_iter().map(view).collect())
    }

    /// When a key has to begin that is not there; keys that this node cannot open are none.
    fn due(&self, keys: &[AssertionKey], now: Timestamp) -> Option<Timestamp> {
        let usable = keys.iter().filter(|key| self.pair_of(key).is_some());
        Schedule::new(usable.map(|key| key.signs_from)).next(now)
    }

    fn pair_of(&self, key: &AssertionKey) -> Option<Pair> {
        let opened = self.0.parts.seal_key.open(&place(&key.id), &key.sealed);
        let pair = opened.map_err(Unusable::Sealed).and_then(|private| Ok(Pair::read(&private)?));
        pair.inspect_err(|error| {
            tracing::debug!(key = key.id, %error, "a key for assertions cannot be used by this node");
        })
        .ok()
    }

    async fn make(
        &self,
        tx: &mut Tx,
        (now, begin): (Timestamp, Timestamp),
        actor: Actor,
        action: &'static str,
    ) -> Result<AssertionKey, ServiceError> {
        let (id, public, sealed) = self.new_pair().map_err(|error| {
            tracing::error!(%error, "no key for assertions can be made");
            ServiceError::Overloaded
        })?;
        let key = AssertionKey { id, public, sealed, created_at: now, signs_from: begin };
        assertion_keys::insert(tx, &key).await?;
        let event = Event {
            id: AuditId::new(now),
            at: now,
            org: None,
            team: None,
            target_table: "assertion_keys".into(),
            target: key.id.clone(),
            action: action.into(),
            event: if action == "rotate" { "assertion_key.rotated" } else { "assertion_key.created" }.into(),
            actor,
            ip: None,
            detail: json!({ "signs_from": begin }).to_string(),
        };
        audit::append(tx, &[event]).await?;
        self.count_recorded([action]);
        tracing::info!(key = key.id, signs_from = %begin, "a key for assertions was made");
        Ok(key)
    }

    fn new_pair(&self) -> Result<(String, Value, Vec<u8>), Unusable> {
        let (pair, private) = Pair::generate()?;
        let sealed = self.0.parts.seal_key.seal(&place(pair.id()), &private)?;
        Ok((pair.id().to_owned(), pair.jwk(), sealed))
    }
}

#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error(transparent)]
    Pair(#[from] PairFailed),
    #[error(transparent)]
    Seal(#[from] SealFailed),
    #[error(transparent)]
    Sealed(NotOpened),
}

/// Those that nobody needs any more.
fn over(keys: &[AssertionKey], now: Timestamp) -> Vec<String> {
    let schedule = Schedule::new(keys.iter().map(|key| key.signs_from));
    let over = keys.iter().filter(|key| schedule.is_over(key.signs_from, now));
    over.map(|key| key.id.clone()).collect()
}

fn operator(who: &Who) -> Result<(), ServiceError> {
    match who {
        Who::Operator => Ok(()),
        _ => Err(ServiceError::Forbidden("only the operator sees to the keys of assertions".into())),
    }
}

fn place(id: &str) -> String {
    format!("assertion_keys {id}")
}
