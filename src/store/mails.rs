//! Mails that wait for their delivery. Written in the transaction that they tell of, so none is sent of what never
//! was, and none is lost when the program dies; a delivered one leaves no row.

use std::time::Duration;

use super::{
    Tx,
    db::{Columns, Conn, Db, Row, hex, readable, unhex},
    error::StoreError,
};
use crate::domain::{
    id::{InvitationId, MailId, OrgId},
    time::Timestamp,
};

/// A new mail.
#[derive(Debug)]
pub struct NewMail {
    /// Its id, from which its Message-ID is made.
    pub id: MailId,
    /// Whose it is.
    pub org_id: OrgId,
    /// What it is about: `invitation`, `notice`.
    pub kind: &'static str,
    /// The invitation that it carries, and without which it is not sent.
    pub invitation: Option<InvitationId>,
    /// All of it, sealed.
    pub sealed: Vec<u8>,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it is of no use any more.
    pub give_up_at: Timestamp,
}

/// A mail to be delivered now.
#[derive(Debug)]
pub struct Due {
    /// Its id.
    pub id: MailId,
    /// What it is about.
    pub kind: String,
    /// All of it, sealed.
    pub sealed: Vec<u8>,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it is of no use any more.
    pub give_up_at: Timestamp,
    /// How often it was tried, this time included.
    pub attempts: u32,
}

/// Adds one, to be delivered at once.
pub async fn insert(tx: &mut Tx, mail: &NewMail) -> Result<(), StoreError> {
    sqlx::query::<Db>(
        "INSERT INTO mails (id, org_id, kind, invitation_id, sealed, created_at, next_attempt_at, give_up_at)
         VALUES ($1, $2, $3, $4, $5, $6, $6, $7)",
    )
    .bind(mail.id.to_string())
    .bind(mail.org_id.to_string())
    .bind(mail.kind)
    .bind(mail.invitation.map(|id| id.to_string()))
    .bind(hex(&mail.sealed))
    .bind(mail.created_at.micros())
    .bind(mail.give_up_at.micros())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// How many wait, and how many of them are due at `now`.
pub async fn waiting(conn: &mut Conn, now: Timestamp) -> Result<(i64, i64), StoreError> {
    let row = sqlx::query::<Db>(
        "SELECT 'count' AS name, COUNT(*) AS waiting,
                COALESCE(SUM(CASE WHEN next_attempt_at <= $1 THEN 1 ELSE 0 END), 0) AS due FROM mails",
    )
    .bind(now.micros())
    .fetch_one(conn)
    .await?;
    let columns = Columns::of(&row, "mails", "name");
    Ok((columns.number("waiting")?, columns.number("due")?))
}

/// Takes some that are due. For `lease` nobody else takes them: should whoever took them die, they are due again then.
pub async fn claim(tx: &mut Tx, now: Timestamp, lease: Duration, most: u32) -> Result<Vec<Due>, StoreError> {
    let rows = sqlx::query::<Db>(
        "UPDATE mails SET next_attempt_at = $2, attempts = attempts + 1
         WHERE id IN (SELECT id FROM mails WHERE next_attempt_at <= $1 ORDER BY next_attempt_at, id LIMIT $3)
         RETURNING id, kind, sealed, created_at, give_up_at, attempts",
    )
    .bind(now.micros())
    .bind(now.after(lease).micros())
    .bind(i64::from(most))
    .fetch_all(&mut **tx)
    .await?;
    Ok(readable(&rows, parse))
}

/// Tries it again at `at`.
pub async fn postpone(tx: &mut Tx, id: MailId, at: Timestamp) -> Result<(), StoreError> {
    sqlx::query::<Db>("UPDATE mails SET next_attempt_at = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind(at.micros())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Forgets it: it was delivered, or never will be.
pub async fn remove(tx: &mut Tx, id: MailId) -> Result<(), StoreError> {
    sqlx::query::<Db>("DELETE FROM mails WHERE id = $1").bind(id.to_string()).execute(&mut **tx).await?;
    Ok(())
}

/// Forgets the mail of an invitation that cannot be accepted any more.
pub async fn withdraw(tx: &mut Tx, invitation: InvitationId) -> Result<(), StoreError> {
    sqlx::query::<Db>("DELETE FROM mails WHERE invitation_id = $1")
        .bind(invitation.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

fn parse(row: &Row) -> Result<Due, StoreError> {
    let columns = Columns::of(row, "mails", "id");
    Ok(Due {
        id: columns.parse("id")?,
        kind: columns.text("kind")?,
        sealed: unhex(&columns.text("sealed")?).ok_or_else(|| columns.bad("sealed", "not hexadecimal"))?,
        created_at: columns.time("created_at")?,
        give_up_at: columns.time("give_up_at")?,
        attempts: u32::try_from(columns.count("attempts")?).unwrap_or(u32::MAX),
    })
}
