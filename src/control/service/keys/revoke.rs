//! Revocation: at once and for ever (R000_19, R003_04).

use serde_json::json;

use super::{KeyView, authorise, deed};
use crate::{
    control::service::{
        Caller, Control, ServiceError,
        work::{Deed, Work},
    },
    domain::{boundary::Boundary, id::OrgId, key::state::Status, profile::control},
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
        let scope = held.key.boundary.kind().as_str();
        let detail =
            json!({ "because": "its successor was revoked", "successor": key.prefix, "scope": scope });
        work.record(deed(&held.key, "revoke", "api_key.revoked", detail)).await?;
        work.changed(&held.key.changed()).await?;
        revoke_minted(work, &held.key).await?;
        before = held.key.rotated_from;
    }
    Ok(())
}

/// Ends what a key minted. One in its grace still mints, so it may have children that its successor has not.
async fn revoke_minted(work: &mut Work<'_>, parent: &Key) -> Result<(), ServiceError> {
    let org = parent.boundary.org();
    let children = keys::revoke_of_children(&mut work.tx, parent.id, work.now).await?;
    let because = json!({ "because": "the key that minted it was revoked", "parent": parent.prefix });
    record_ended(work, org, &children, &because).await?;
    for child in children {
        work.changed(&Subject::Key { org, id: child.id, lookup: child.lookup }).await?;
    }
    Ok(())
}

/// Ends the keys that act in a place which is about to go; how many there were. Nobody is told of them one by one: who
/// deletes a place tells everybody of the whole organization.
pub(in crate::control::service) async fn revoke_within(
    work: &mut Work<'_>,
    place: &Boundary,
) -> Result<usize, ServiceError> {
    let ended = keys::revoke_within(&mut work.tx, place, work.now).await?;
    let because = match place {
        Boundary::Org(_) => "its organization was deleted",
        Boundary::Team(..) => "its team was deleted",
        Boundary::Project(..) => "its project was deleted",
    };
    record_ended(work, place.org(), &ended, &json!({ "because": because })).await?;
    Ok(ended.len())
}

/// One event for each key that ended with something else.
pub(in crate::control::service) async fn record_ended(
    work: &mut Work<'_>,
    org: OrgId,
    ended: &[Ended],
    detail: &serde_json::Value,
) -> Result<(), ServiceError> {
    let deed = |key: &Ended| {
        let mut detail = detail.clone();
        detail["scope"] = key.scope.as_str().into();
        let (team, target) = (key.team, key.prefix.clone());
        Deed { org, team, table: "api_keys", target, action: "revoke", event: "api_key.revoked", detail }
    };
    work.record_all(ended.iter().map(deed)).await
}
