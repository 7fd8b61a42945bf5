//! The nonces of signed requests: what makes a request that comes twice known, also after a restart and on every node.

use sqlx::Row as _;

use super::{
    Store, Tx,
    db::{Db, hex},
    error::StoreError,
};
use crate::domain::{id::KeyId, key::token::Digest, time::Timestamp};

/// A nonce that a key's request brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nonce {
    /// Whose.
    pub key: KeyId,
    /// Of its text.
    pub digest: Digest,
    /// Until when it has to be remembered.
    pub until: Timestamp,
}

/// Remembers nonces, all of them durably or none. For each, whether it is new.
///
/// # Errors
/// [`StoreError::Unavailable`]: none of them counts as used.
pub async fn take(store: &Store, nonces: &[Nonce]) -> Result<Vec<bool>, StoreError> {
    let mut tx = store.write().await?;
    let mut new = Vec::with_capacity(nonces.len());
    for nonce in nonces {
        new.push(insert(&mut tx, nonce).await?);
    }
    tx.commit().await?;
    Ok(new)
}

async fn insert(tx: &mut Tx, nonce: &Nonce) -> Result<bool, StoreError> {
    let done = sqlx::query::<Db>(
        "INSERT INTO nonces (key_id, nonce, expires_at) VALUES ($1, $2, $3) ON CONFLICT (key_id, nonce) DO NOTHING",
    )
    .bind(nonce.key.to_string())
    .bind(hex(nonce.digest.bytes()))
    .bind(nonce.until.micros())
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Forgets nonces that need not be remembered any longer, about so many at once; how many it forgot.
pub async fn prune(store: &Store, now: Timestamp, at_once: u32) -> Result<u64, StoreError> {
    let mut tx = store.write().await?;
    let row = sqlx::query::<Db>("SELECT expires_at FROM nonces ORDER BY expires_at LIMIT 1 OFFSET $1")
        .bind(i64::from(at_once))
        .fetch_optional(&mut *tx)
        .await?;
    let last = row.map(|row| row.try_get::<i64, _>("expires_at")).transpose()?;
    let done = sqlx::query::<Db>("DELETE FROM nonces WHERE expires_at <= $1")
        .bind(last.map_or(now.micros(), |last| last.min(now.micros())))
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(done.rows_affected())
}
