//! Rotation: a successor at once, and a while in which both work (R000_18).

use std::time::Duration;

use serde_json::json;

use super::{
    super::caller::Who,
    Created, KeyView, announce, authorise, deed,
    giver::may_issue,
    signing::{Forged, Way},
};
use crate::{
    control::service::{Caller, Control, ServiceError, work::Work},
    domain::{
        id::KeyId,
        key::{
            grant::Grant,
            state::{Life, Status},
        },
        profile::control,
        time::Timestamp,
    },
    store::{
        Conn,
        keys::{self, Held, Key, Lookup},
    },
};

/// A grace longer than this is two keys, not a rotation.
const LONGEST_GRACE: Duration = Duration::from_secs(90 * 24 * 3600);

impl Control {
    /// Makes a successor with the same rights; the old key works for `grace` more (none: as configured) and not a
    /// second longer.
    ///
    /// While a successor has never been used, rotating the old key again replaces it, so that a lost answer locks
    /// nobody out; the end of the grace stays where the first rotation put it.
    ///
    /// # Errors
    /// `conflict` for a key that has ended, or whose successor is in use.
    pub async fn rotate_key(
        &self,
        caller: &Caller,
        named: &str,
        grace: Option<Duration>,
    ) -> Result<Created, ServiceError> {
        self.rotate_key_to(caller, named, grace, None).await
    }

    /// The same for a key that signs with a pair: `public_key` is the public half of the new one, as PEM.
    pub async fn rotate_key_to(
        &self,
        caller: &Caller,
        named: &str,
        grace: Option<Duration>,
        public_key: Option<&str>,
    ) -> Result<Created, ServiceError> {
        if grace.is_some_and(|grace| grace > LONGEST_GRACE) {
            return Err(ServiceError::field("grace_hours", "expected 0 to 2160"));
        }
        let grace = grace.unwrap_or(self.settings().rotation_grace);
        // Asked before the hash, so that what is refused anyway does not cost it.
        let mut conn = self.store().read().await?;
        let now = self.clock().now();
        let who = Who::read(&mut conn, self.profile(), caller, now).await?;
        let held = self.rotation(&mut conn, &who, named, grace, now).await?.held;
        drop(conn);
        let forged = self.forge(Way::again(&held.key.security_level, public_key)?).await?;

        let mut work = self.begin(caller).await?;
        let Rotation { held, life, replaced } =
            self.rotation(&mut work.tx, &work.who, named, grace, work.now).await?;
        let created_by = held.issuer.map(|person| person.email);
        let old = held.key;
        let successor = self.successor(&old, &work.who, &forged, work.now)?;
        keys::insert(&mut work.tx, &successor).await?;
        if matches!(work.who, Who::Key(..)) {
            keys::set_self_made(&mut work.tx, successor.id).await?;
        }
        if let Some(unused) = replaced {
            revoke_unused(&mut work, &unused).await?;
            keys::move_children(&mut work.tx, unused.id, successor.id).await?;
        }
        keys::set_life(&mut work.tx, old.id, &life).await?;
        keys::link_successor(&mut work.tx, old.id, successor.id).await?;
        keys::move_children(&mut work.tx, old.id, successor.id).await?;
        let detail = json!({
            "scope": old.boundary.kind().as_str(),
            "successor": successor.prefix,
            "grace_until": life.grace_until,
        });
        work.record(deed(&old, "rotate", "api_key.rotated", detail)).await?;
        let detail = json!({
            "name": successor.name,
            "scope": successor.boundary.kind().as_str(),
            "rotated_from": old.prefix,
            "expires_at": successor.life.expires_at,
        });
        work.record(deed(&successor, "create", "api_key.created", detail)).await?;
        work.changed(&old.changed()).await?;
        announce(&mut work, &successor).await?;
        let view = KeyView::new(successor, created_by, work.now);
        work.finish(&view).await?;
        Ok(Created { key: view, token: forged.token })
    }

    /// Whether the key can be rotated by the caller, and what would become of it.
    async fn rotation(
        &self,
        conn: &mut Conn,
        who: &Who,
        named: &str,
        grace: Duration,
        now: Timestamp,
    ) -> Result<Rotation, ServiceError> {
        let held = self.key(conn, who, named).await?;
        authorise(self.profile(), who, &held.key, control::API_KEY_ROTATE)?;
        self.holds_as_much(who, &held)?;
        let key = &held.key;
        if key.life.status(now) == Status::Rotating {
            let replaced = match key.rotated_to {
                Some(id) => keys::find(conn, id).await?.map(|held| held.key),
                None => None,
            };
            // One that was itself rotated has handed on what it is: beside its successor another one would be a
            // second working key that counts as none.
            let in_use = replaced
                .as_ref()
                .is_some_and(|successor| successor.last_used_at.is_some() || successor.rotated_to.is_some());
            if in_use {
                let refusal = "the key has been rotated and its successor is in use: rotate the successor";
                return Err(ServiceError::Conflict(refusal.into()));
            }
            return Ok(Rotation { life: key.life, held, replaced });
        }
        let life = key.life.rotate(now, grace);
        let life = life.map_err(|refused| ServiceError::Conflict(format!("cannot rotate: {refused}")))?;
        Ok(Rotation { held, life, replaced: None })
    }

    /// Whoever rotates a key sees the successor's text, and so gains what the key holds: they must hold it already,
    /// and must be one who may issue such keys (R002_04).
    fn holds_as_much(&self, who: &Who, held: &Held) -> Result<(), ServiceError> {
        let key = &held.key;
        match who {
            Who::Key(holder, _) if holder.key.id == key.id => return Ok(()),
            Who::Person(person, _) => may_issue(self.profile(), person, &key.boundary)?,
            Who::Operator | Who::Key(..) => {}
        }
        let Some(giver) = who.grant(&key.boundary) else { return Ok(()) };
        let standing = held.standing(self.profile());
        let gains = Grant {
            boundary: key.boundary,
            permissions: standing.permissions,
            expires_at: standing.life.expires_at,
            networks: standing.networks,
            rate: standing.rate,
        };
        gains.within(&giver).map_err(|excess| {
            ServiceError::Forbidden(format!("rotating this key would give you more than you hold: {excess}"))
        })
    }

    /// The same key with another text. Those who may issue keys get the same length of life again, as far as the
    /// profile lets keys live that are made now; a key that rotates itself keeps its end, or a stolen one could live
    /// for ever.
    fn successor(&self, old: &Key, who: &Who, forged: &Forged, now: Timestamp) -> Result<Key, ServiceError> {
        let expires_at = match who {
            Who::Key(..) => old.life.expires_at,
            Who::Operator | Who::Person(..) if old.parent.is_some() => old.life.expires_at,
            Who::Operator | Who::Person(..) => {
                let longest = self.profile().keys.max_expiry.duration();
                old.life.expires_at.map(|end| now.after(end.since(old.life.created_at).min(longest)))
            }
        };
        let id = KeyId::new(now);
        Ok(Key {
            id,
            prefix: forged.prefix.clone(),
            lookup: Lookup::Public,
            hash: forged.hash.clone(),
            mac: forged.mac,
            security_level: self.level(forged, id)?,
            imported_at: None,
            life: Life::begin(now, expires_at),
            last_used_at: None,
            last_used_ip: None,
            usage_count: 0,
            rotated_from: Some(old.id),
            rotated_to: None,
            ..old.clone()
        })
    }
}

struct Rotation {
    held: Held,
    /// The old key's dates afterwards.
    life: Life,
    /// A successor that nobody has used and that makes room.
    replaced: Option<Key>,
}

async fn revoke_unused(work: &mut Work<'_>, unused: &Key) -> Result<(), ServiceError> {
    if keys::revoke(&mut work.tx, unused.id, work.now).await? {
        let scope = unused.boundary.kind().as_str();
        let detail = json!({ "because": "another successor takes its place", "scope": scope });
        work.record(deed(unused, "revoke", "api_key.revoked", detail)).await?;
        work.changed(&unused.changed()).await?;
    }
    Ok(())
}
