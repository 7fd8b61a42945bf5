//! Keys that sign assertions.

use super::{
    Tx,
    db::{Columns, Conn, Db, Row, hex, readable, unhex},
    error::StoreError,
};
use crate::domain::time::Timestamp;

/// A key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssertionKey {
    /// As tokens name it.
    pub id: String,
    /// The public half as a JWK.
    pub public: serde_json::Value,
    /// The private half, sealed.
    pub sealed: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it signs, until the next one does.
    pub signs_from: Timestamp,
}

/// All that can be read, the first to sign first.
pub async fn all(conn: &mut Conn) -> Result<Vec<AssertionKey>, StoreError> {
    let rows = sqlx::query::<Db>(
        "SELECT id, public, sealed, created_at, signs_from FROM assertion_keys ORDER BY signs_from, created_at, id",
    )
    .fetch_all(conn)
    .await?;
    Ok(readable(&rows, parse))
}

/// Adds one.
pub async fn insert(tx: &mut Tx, key: &AssertionKey) -> Result<(), StoreError> {
    sqlx::query::<Db>(
        "INSERT INTO assertion_keys (id, public, sealed, created_at, signs_from) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(&key.id)
    .bind(key.public.to_string())
    .bind(hex(&key.sealed))
    .bind(key.created_at.micros())
    .bind(key.signs_from.micros())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Forgets one, private half and public.
pub async fn delete(tx: &mut Tx, id: &str) -> Result<(), StoreError> {
    sqlx::query::<Db>("DELETE FROM assertion_keys WHERE id = $1").bind(id).execute(&mut **tx).await?;
    Ok(())
}

fn parse(row: &Row) -> Result<AssertionKey, StoreError> {
    let columns = Columns::of(row, "assertion_keys", "id");
    let public = serde_json::from_str(&columns.text("public")?);
    Ok(AssertionKey {
        id: columns.text("id")?,
        public: public.map_err(|_| columns.bad("public", "not JSON"))?,
        sealed: unhex(&columns.text("sealed")?).ok_or_else(|| columns.bad("sealed", "not hexadecimal"))?,
        created_at: columns.time("created_at")?,
        signs_from: columns.time("signs_from")?,
    })
}
