//! Changes to keys. None of these writes an audit row or a change row: that is the service's part of the transaction.

use super::{Key, Lookup, mac_text};
use crate::domain::{
    access::{Networks, RatePerMinute},
    boundary::Boundary,
    id::{KeyId, TeamId, UserId},
    key::{secret::Mac, state::Life},
    time::Timestamp,
};
use crate::store::{
    Store, Tx,
    db::{Db, Row, json},
    error::StoreError,
};

/// Adds a key.
pub async fn insert(tx: &mut Tx, key: &Key) -> Result<(), StoreError> {
    let foreign = match &key.lookup {
        Lookup::Public => None,
        Lookup::Foreign(lookup) => Some(lookup.as_str()),
    };
    sqlx::query::<Db>(
        "INSERT INTO api_keys (id, org_id, team_id, project_id, scope, owner_user_id, created_by, parent_id,
             family_id, name, description, prefix, foreign_lookup, hash, mac, imported_at, scopes, roles,
             effective_role, security_level, environment, rate_limit_per_minute, allowed_ips, created_at,
             expires_at, grace_until, revoked_at, rotated_from, rotated_to, signing)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
             $22, $23, $24, $25, $26, $27, $28, $29, $30)",
    )
    .bind(key.id.to_string())
    .bind(key.boundary.org().to_string())
    .bind(key.boundary.team().map(|id| id.to_string()))
    .bind(key.boundary.project().map(|id| id.to_string()))
    .bind(key.boundary.kind().as_str())
    .bind(key.owner.map(|id| id.to_string()))
    .bind(key.created_by.map(|id| id.to_string()))
    .bind(key.parent.map(|id| id.to_string()))
    .bind(key.family.to_string())
    .bind(&key.name)
    .bind(&key.description)
    .bind(&key.prefix)
    .bind(foreign)
    .bind(key.hash.to_string())
    .bind(key.mac.map(mac_text))
    .bind(key.imported_at.map(Timestamp::micros))
    .bind(key.scopes.as_deref().map(json))
    .bind(key.roles.as_deref().map(json))
    .bind(&key.effective_role)
    .bind(key.security_level.as_str())
    .bind(&key.environment)
    .bind(key.rate.map(|rate| i64::from(rate.get().get())))
    .bind(json(&key.networks.to_strings()))
    .bind(key.life.created_at.micros())
    .bind(key.life.expires_at.map(Timestamp::micros))
    .bind(key.life.grace_until.map(Timestamp::micros))
    .bind(key.life.revoked_at.map(Timestamp::micros))
    .bind(key.rotated_from.map(|id| id.to_string()))
    .bind(key.rotated_to.map(|id| id.to_string()))
    .bind(key.security_level.signing_text())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What may be changed about a key without a new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Details {
    /// Its label.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// A label such as `production`.
    pub environment: Option<String>,
    /// How often it may call.
    pub rate: Option<RatePerMinute>,
    /// From where it may call.
    pub networks: Networks,
}

/// Replaces a key's details.
pub async fn set_details(tx: &mut Tx, id: KeyId, details: &Details) -> Result<(), StoreError> {
    sqlx::query::<Db>(
        "UPDATE api_keys SET name = $2, description = $3, environment = $4, rate_limit_per_minute = $5,
             allowed_ips = $6 WHERE id = $1",
    )
    .bind(id.to_string())
    .bind(&details.name)
    .bind(&details.description)
    .bind(&details.environment)
    .bind(details.rate.map(|rate| i64::from(rate.get().get())))
    .bind(json(&details.networks.to_strings()))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes the dates that a rotation or a revocation sets.
pub async fn set_life(tx: &mut Tx, id: KeyId, life: &Life) -> Result<(), StoreError> {
    sqlx::query::<Db>("UPDATE api_keys SET grace_until = $2, revoked_at = $3 WHERE id = $1")
        .bind(id.to_string())
        .bind(life.grace_until.map(Timestamp::micros))
        .bind(life.revoked_at.map(Timestamp::micros))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Names the key that replaces another.
pub async fn link_successor(tx: &mut Tx, old: KeyId, successor: KeyId) -> Result<(), StoreError> {
    sqlx::query::<Db>("UPDATE api_keys SET rotated_to = $2 WHERE id = $1")
        .bind(old.to_string())
        .bind(successor.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Says that a successor was made by the key that it replaces.
pub async fn set_self_made(tx: &mut Tx, id: KeyId) -> Result<(), StoreError> {
    sqlx::query::<Db>("UPDATE api_keys SET self_made = 1 WHERE id = $1")
        .bind(id.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Hands the keys that `from` minted over to its successor.
pub async fn move_children(tx: &mut Tx, from: KeyId, to: KeyId) -> Result<(), StoreError> {
    sqlx::query::<Db>("UPDATE api_keys SET parent_id = $2 WHERE parent_id = $1")
        .bind(from.to_string())
        .bind(to.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// A key that a bulk revocation ended: enough to announce it, whatever else is in its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its id, as stored.
    pub id: KeyId,
    /// The team in which it acted.
    pub team: Option<TeamId>,
    /// Where it acted, in a word.
    pub scope: String,
    /// Its public characters.
    pub prefix: String,
    /// What it is looked up by.
    pub lookup: String,
}

/// Ends one key, even one whose row is damaged elsewhere; false when it was revoked already or never was.
pub async fn revoke(tx: &mut Tx, id: KeyId, at: Timestamp) -> Result<bool, StoreError> {
    let done = sqlx::query::<Db>("UPDATE api_keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL")
        .bind(id.to_string())
        .bind(at.micros())
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Ends what a key made: the keys that it minted, a successor that it made itself after `since`, and what those made;
/// gives those that were not ended before.
pub async fn revoke_made_by(
    tx: &mut Tx,
    id: KeyId,
    since: Timestamp,
    at: Timestamp,
) -> Result<Vec<Ended>, StoreError> {
    let rows = sqlx::query::<Db>(
        "WITH RECURSIVE made (id) AS (
             SELECT id FROM api_keys WHERE id = $1
             UNION SELECT k.id FROM made m JOIN api_keys k
                 ON k.parent_id = m.id OR (k.rotated_from = m.id AND k.self_made = 1 AND k.created_at > $2))
         UPDATE api_keys SET revoked_at = $3 WHERE id IN (SELECT id FROM made) AND id <> $1 AND revoked_at IS NULL
         RETURNING id, team_id, scope, prefix, foreign_lookup",
    )
    .bind(id.to_string())
    .bind(since.micros())
    .bind(at.micros())
    .fetch_all(&mut **tx)
    .await?;
    rows.iter().map(ended).collect()
}

/// Ends all keys of a person; gives those that were not ended before.
pub async fn revoke_of_owner(tx: &mut Tx, owner: UserId, at: Timestamp) -> Result<Vec<Ended>, StoreError> {
    let rows = sqlx::query::<Db>(
        "UPDATE api_keys SET revoked_at = $2 WHERE owner_user_id = $1 AND revoked_at IS NULL
         RETURNING id, team_id, scope, prefix, foreign_lookup",
    )
    .bind(owner.to_string())
    .bind(at.micros())
    .fetch_all(&mut **tx)
    .await?;
    rows.iter().map(ended).collect()
}

/// Ends every key that acts in this place, before the place itself goes; gives those that were not ended before.
pub async fn revoke_within(tx: &mut Tx, place: &Boundary, at: Timestamp) -> Result<Vec<Ended>, StoreError> {
    let rows = sqlx::query::<Db>(
        "UPDATE api_keys SET revoked_at = $4
         WHERE org_id = $1 AND ($2 IS NULL OR team_id = $2) AND ($3 IS NULL OR project_id = $3)
           AND revoked_at IS NULL
         RETURNING id, team_id, scope, prefix, foreign_lookup",
    )
    .bind(place.org().to_string())
    .bind(place.team().map(|id| id.to_string()))
    .bind(place.project().map(|id| id.to_string()))
    .bind(at.micros())
    .fetch_all(&mut **tx)
    .await?;
    rows.iter().map(ended).collect()
}

fn ended(row: &Row) -> Result<Ended, StoreError> {
    let columns = crate::store::db::Columns::of(row, "api_keys", "id");
    let prefix = columns.text("prefix")?;
    let lookup = columns.maybe_text("foreign_lookup")?.unwrap_or_else(|| prefix.clone());
    // What does not parse must not keep the key alive.
    let team = columns.maybe_parse("team_id").unwrap_or_default();
    let scope = columns.text("scope").unwrap_or_default();
    Ok(Ended { id: columns.parse("id")?, team, scope, prefix, lookup })
}

/// Stores the fast proof of keys that were proved the slow way. No change of state: nobody is told.
///
/// # Errors
/// [`StoreError::Unavailable`]: none was stored; proving the slow way goes on working.
pub async fn set_mac(store: &Store, macs: &[(KeyId, Mac)]) -> Result<(), StoreError> {
    let mut tx = store.write().await?;
    for (id, mac) in macs {
        sqlx::query::<Db>("UPDATE api_keys SET mac = $2 WHERE id = $1")
            .bind(id.to_string())
            .bind(mac_text(*mac))
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    Ok(())
}
