//! Answers to changes that their callers named, so that asking again changes nothing.

use super::{
    Tx,
    db::{Columns, Conn, Db, hex, unhex},
    error::StoreError,
};
use crate::domain::{key::secret::Mac, time::Timestamp};

/// Rows that one change clears away: more than one, so that they become fewer, and few, so that no writer waits.
const PRUNED_AT_ONCE: i64 = 20;

/// What is kept of a request that was carried out.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Over what was asked.
    pub request: Mac,
    /// What was answered.
    pub answer: serde_json::Value,
}

/// What this caller's request of this name was answered, if not before `since`.
pub async fn find(
    conn: &mut Conn,
    caller: &str,
    name: &str,
    since: Timestamp,
) -> Result<Option<Kept>, StoreError> {
    let row = sqlx::query::<Db>(
        "SELECT name, request, answer FROM idempotency WHERE caller = $1 AND name = $2 AND created_at > $3",
    )
    .bind(caller)
    .bind(name)
    .bind(since.micros())
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let columns = Columns::of(&row, "idempotency", "name");
    let request = unhex(&columns.text("request")?).and_then(|bytes| Mac::from_bytes(&bytes));
    let request = request.ok_or_else(|| columns.bad("request", "not a MAC"))?;
    let answer = serde_json::from_str(&columns.text("answer")?);
    let answer = answer.map_err(|_| columns.bad("answer", "not JSON"))?;
    Ok(Some(Kept { request, answer }))
}

/// Keeps an answer, in place of one that is older than whoever asks would believe.
pub async fn put(
    tx: &mut Tx,
    caller: &str,
    name: &str,
    kept: &Kept,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query::<Db>(
        "INSERT INTO idempotency (caller, name, request, answer, created_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (caller, name) DO UPDATE SET
             request = excluded.request, answer = excluded.answer, created_at = excluded.created_at",
    )
    .bind(caller)
    .bind(name)
    .bind(hex(&kept.request.to_bytes()))
    .bind(kept.answer.to_string())
    .bind(now.micros())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Forgets some of what is older than `before`.
pub async fn prune(tx: &mut Tx, before: Timestamp) -> Result<(), StoreError> {
    sqlx::query::<Db>(
        "DELETE FROM idempotency WHERE (caller, name) IN
             (SELECT caller, name FROM idempotency WHERE created_at <= $1 ORDER BY created_at LIMIT $2)",
    )
    .bind(before.micros())
    .bind(PRUNED_AT_ONCE)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
