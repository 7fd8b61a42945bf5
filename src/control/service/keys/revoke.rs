//! Revocation: at once and for ever (R000_19, R003_04).

use std::time::Duration;

use serde_json::json;

use super::{KeyView, authorise, deed};
use crate::{
    control::service::{
        Caller, Control, ServiceError,
        work::{Deed, Work},
    },
    domain::{boundary::Boundary, id::OrgId, key::state::Status, profile::control, time::Timestamp},
    store::{
        changes::Subject,
        keys::{self, Ended, Key},
    },
};

impl Control {
    /// Ends a key, what it made, and predecessors of it that are in their grace. Ending it again changes nothing and is
    /// no error.
    ///
    /// What a key made are the keys that it minted and a successor by which it renewed itself: whoever held the key
    /// holds those too, so that a stolen key cannot outrun its revocation by renewing itself first. A successor that a
    /// person made lives on: to revoke the old key is how its grace is cut short (case 156).
    pub async fn revoke_key(&self, caller: &Caller, named: &str) -> Result<KeyView, ServiceError> {
        let mut work = self.begin(caller).await?;
        let held = self.key(&mut work.tx, &work.who, named).await?;
        let (mut key, created_by) = (held.key, held.issuer.map(|person| person.email));
        authorise(self.profile(), &work.who, &key, control::API_KEY_REVOKE)?;
        let now = work.now;
        if let Ok(life) = key.life.revoke(now) {
            let since = self.counts_since(&key, now);
            keys::revoke(&mut work.tx, key.id, now).await?;
            key.life = life;
            let detail = json!({ "name": key.name, "scope": key.boundary.kind().as_str() });
            work.record(deed(&key, "revoke", "api_key.revoked", detail)).await?;
            work.changed(&key.changed()).await?;
            revoke_made_by(&mut work, &key, since).await?;
            revoke_predecessors(&mut work, &key).await?;
        }
        let view = KeyView::new(key, created_by, now);
        work.finish(&view).await?;
        Ok(view)
    }

    /// From when on successors that a key made itself end with it: all of them while it works, grace included; of one
    /// that has ended, those of the last grace, however short the grace was that it gave itself. Older ones are keys in
    /// their own right, and somebody who tidies up ended keys must not stop what works.
    fn counts_since(&self, key: &Key, now: Timestamp) -> Timestamp {
        if key.life.status(now).works() { begin(key) } else { now.before(self.settings().rotation_grace) }
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
        revoke_made_by(work, &held.key, begin(&held.key)).await?;
        before = held.key.rotated_from;
    }
    Ok(())
}

/// Before all that a key can have made, were it made in the same moment.
fn begin(key: &Key) -> Timestamp {
    key.life.created_at.before(Duration::from_micros(1))
}

/// Ends what a key made. One in its grace still mints, so it may have children that its successor has not.
async fn revoke_made_by(work: &mut Work<'_>, key: &Key, since: Timestamp) -> Result<(), ServiceError> {
    let org = key.boundary.org();
    let made = keys::revoke_made_by(&mut work.tx, key.id, since, work.now).await?;
    let because = json!({ "because": "the key that made it was revoked", "parent": key.prefix });
    record_ended(work, org, &made, &because).await?;
    for made in made {
        work.changed(&Subject::Key { org, id: made.id, lookup: made.lookup }).await?;
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
