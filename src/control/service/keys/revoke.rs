//! Revocation: at once and for ever (R000_19, R003_04).

use serde_json::json;

use super::{KeyView, authorise, deed};
use crate::{
    control::service::{
        Caller, Control, ServiceError,
        work::{Deed, Work},
    },
    domain::{key::state::Status, profile::control},
    store::{
        changes::Subject,
        keys::{self, Ended, Key},
    },
};

impl Control {
    /// Ends a key, the keys that it minted, and predecessors of it that are in their grace. Ending it again changes
    /// nothing and is no error.
    pub async fn revoke_key(&self, caller: &Caller, named: &str) -> Result<KeyView, ServiceError> {
        let mut work = self.begin(caller).await?;
        let held = self.key(&mut work.tx, &work.who, named).await?;
        let (mut key, created_by) = (held.key, held.issuer.map(|person| person.email));
        authorise(self.profile(), &work.who, &key, control::API_KEY_REVOKE)?;
        let now = work.now;
        if let Ok(life) = key.life.revoke(now) {
            keys::revoke(&mut work.tx, key.id, now).await?;
            key.life = life;
            let detail = json!({ "name": key.name, "scope": key.boundary.kind().as_str() });
            work.record(deed(&key, "revoke", "api_key.revoked", detail)).await?;
            work.changed(&key.changed()).await?;
            revoke_minted(&mut work, &key).await?;
            revoke_predecessors(&mut work, &key).await?;
        }
        let view = KeyView::new(key, created_by, now);
        work.finish(&view).await?;
        Ok(view)
    }
}

/// A key in its grace is what is left of the one that replaced it, and goes with it.
async fn revoke_predecessors(work: &mut Work<'_>, key: &Key) -> Result<(), ServiceError> {
    let mut before = key.rotated_from;
    while let Some(id) = before {
        let Some(held) = keys::find(&mut work.tx, id).await? else { return Ok(()) };
        if held.key.life.status(work.now) != Status::Rotating {
            return Ok(());
        }
        keys::revoke(&mut work.tx, id, work.now).await?;
        let detail = json!({ "because": "its successor was revoked", "successor": key.prefix });
        work.record(deed(&held.key, "revoke", "api_key.revoked", detail)).await?;
        work.changed(&held.key.changed()).await?;
        revoke_minted(work, &held.key).await?;
        before = held.key.rotated_from;
    }
    Ok(())
}

/// Ends what a key minted. One in its grace still mints, so it may have children that its successor has not.
async fn revoke_minted(work: &mut Work<'_>, parent: &Key) -> Result<(), ServiceError> {
    for child in &keys::revoke_of_children(&mut work.tx, parent.id, work.now).await? {
        record_ended(work, parent, child).await?;
    }
    Ok(())
}

async fn record_ended(work: &mut Work<'_>, parent: &Key, child: &Ended) -> Result<(), ServiceError> {
    let org = parent.boundary.org();
    work.record(Deed {
        org,
        team: child.team,
        table: "api_keys",
        target: child.prefix.clone(),
        action: "revoke",
        event: "api_key.revoked",
        detail: json!({ "because": "the key that minted it was revoked", "parent": parent.prefix }),
    })
    .await?;
    work.changed(&Subject::Key { org, id: child.id, lookup: child.lookup.clone() }).await
}
