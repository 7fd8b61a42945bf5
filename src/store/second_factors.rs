//! What people prove besides their password. Everything that may be used once is used up by one statement, inside the
//! transaction of what it is used for.

use super::{
    Tx,
    db::{Columns, Conn, Db, Row, hex, unhex},
    error::StoreError,
};
use crate::domain::{id::UserId, key::token::Digest, time::Timestamp};

/// Somebody's second factor as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecondFactor {
    /// What makes the codes, sealed for its row.
    pub sealed: Vec<u8>,
    /// When it was begun.
    pub created_at: Timestamp,
    /// Since when it is asked for; none: it was begun alone.
    pub since: Option<Timestamp>,
    /// The newest step whose code was taken.
    pub last_step: Option<i64>,
}

/// Theirs, in force or begun.
pub async fn find(conn: &mut Conn, user: UserId) -> Result<Option<SecondFactor>, StoreError> {
    let row = sqlx::query::<Db>(
        "SELECT user_id, sealed, created_at, since, last_step FROM second_factors WHERE user_id = $1",
    )
    .bind(user.to_string())
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(parse).transpose()
}

/// Begins one, in place of one that was begun. One in force stays; false then.
pub async fn begin(tx: &mut Tx, user: UserId, sealed: &[u8], at: Timestamp) -> Result<bool, StoreError> {
    let done = sqlx::query::<Db>(
        "INSERT INTO second_factors (user_id, sealed, created_at) VALUES ($1, $2, $3)
         ON CONFLICT (user_id) DO UPDATE SET sealed = excluded.sealed, created_at = excluded.created_at
         WHERE second_factors.since IS NULL",
    )
    .bind(user.to_string())
    .bind(hex(sealed))
    .bind(at.micros())
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Puts the one that was begun in force; `step` is that of the code which showed that somebody has it. False when
/// there is none, or it is in force.
pub async fn confirm(tx: &mut Tx, user: UserId, step: i64, at: Timestamp) -> Result<bool, StoreError> {
    let done = sqlx::query::<Db>(
        "UPDATE second_factors SET since = $2, last_step = $3 WHERE user_id = $1 AND since IS NULL",
    )
    .bind(user.to_string())
    .bind(at.micros())
    .bind(step)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Uses a step up; false when it, or a newer one, was used.
pub async fn take_step(tx: &mut Tx, user: UserId, step: i64) -> Result<bool, StoreError> {
    let done = sqlx::query::<Db>(
        "UPDATE second_factors SET last_step = $2
         WHERE user_id = $1 AND since IS NOT NULL AND (last_step IS NULL OR last_step < $2)",
    )
    .bind(user.to_string())
    .bind(step)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Forgets it with its recovery codes; false when there was none in force.
pub async fn remove(tx: &mut Tx, user: UserId) -> Result<bool, StoreError> {
    set_recovery_codes(tx, user, &[]).await?;
    let was = find(tx, user).await?.is_some_and(|factor| factor.since.is_some());
    sqlx::query::<Db>("DELETE FROM second_factors WHERE user_id = $1")
        .bind(user.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(was)
}

/// Gives them these recovery codes in place of all they had.
pub async fn set_recovery_codes(tx: &mut Tx, user: UserId, codes: &[Digest]) -> Result<(), StoreError> {
    sqlx::query::<Db>("DELETE FROM recovery_codes WHERE user_id = $1")
        .bind(user.to_string())
        .execute(&mut **tx)
        .await?;
    for code in codes {
        sqlx::query::<Db>("INSERT INTO recovery_codes (user_id, sha256) VALUES ($1, $2)")
            .bind(user.to_string())
            .bind(hex(code.bytes()))
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

/// Uses a recovery code up; false when it is none of theirs, or was used.
pub async fn take_recovery_code(tx: &mut Tx, user: UserId, code: &Digest) -> Result<bool, StoreError> {
    let done = sqlx::query::<Db>("DELETE FROM recovery_codes WHERE user_id = $1 AND sha256 = $2")
        .bind(user.to_string())
        .bind(hex(code.bytes()))
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// How many recovery codes they have left.
pub async fn recovery_codes_left(conn: &mut Conn, user: UserId) -> Result<u64, StoreError> {
    let row =
        sqlx::query::<Db>("SELECT 'count' AS name, COUNT(*) AS codes FROM recovery_codes WHERE user_id = $1")
            .bind(user.to_string())
            .fetch_one(conn)
            .await?;
    Columns::of(&row, "recovery_codes", "name").count("codes")
}

fn parse(row: &Row) -> Result<SecondFactor, StoreError> {
    let columns = Columns::of(row, "second_factors", "user_id");
    Ok(SecondFactor {
        sealed: unhex(&columns.text("sealed")?).ok_or_else(|| columns.bad("sealed", "not hexadecimal"))?,
        created_at: columns.time("created_at")?,
        since: columns.maybe_time("since")?,
        last_step: columns.maybe_number("last_step")?,
    })
}
