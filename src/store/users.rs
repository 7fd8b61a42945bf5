//! People. A removed one leaves a row behind, so that keys and audit can name them; it is found by id alone.

use std::fmt;

use super::{
    Tx,
    db::{Columns, Conn, Db, Row, readable},
    error::StoreError,
};
use crate::domain::{
    id::{OrgId, TeamId, UserId},
    time::Timestamp,
};

/// A person of an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Their id.
    pub id: UserId,
    /// Their organization.
    pub org_id: OrgId,
    /// Their e-mail address as they write it; unique without regard to case among those who are not removed.
    pub email: String,
    /// Their name for people.
    pub name: String,
    /// When they were added.
    pub created_at: Timestamp,
    /// Since when they may not act.
    pub deactivated_at: Option<Timestamp>,
    /// Since when they are gone.
    pub removed_at: Option<Timestamp>,
}

impl User {
    /// Whether they, and the keys that are theirs, may act.
    pub fn active(&self) -> bool {
        self.deactivated_at.is_none() && self.removed_at.is_none()
    }
}

/// An Argon2 hash in PHC form; prints as nothing.
#[derive(Clone)]
pub struct PasswordHash(pub String);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

/// The form in which two spellings of one address are equal. A sign whose small letter is an ASCII one, such as that for
/// kelvin, stays what it is: the address with it is another mailbox than the one with a `k`, and perhaps another
/// person's.
pub fn folded(email: &str) -> String {
    let small = |character: char| {
        let small = character.to_lowercase().collect::<String>();
        if small.is_ascii() && !character.is_ascii() { character.into() } else { small }
    };
    email.chars().map(small).collect()
}

/// Adds one.
pub async fn insert(tx: &mut Tx, user: &User, password: Option<&PasswordHash>) -> Result<(), StoreError> {
    sqlx::query::<Db>(
        "INSERT INTO users (id, org_id, email, email_folded, name, password_hash, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(user.id.to_string())
    .bind(user.org_id.to_string())
    .bind(&user.email)
    .bind(folded(&user.email))
    .bind(&user.name)
    .bind(password.map(|hash| hash.0.as_str()))
    .bind(user.created_at.micros())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The one with this id, removed or not.
pub async fn find(conn: &mut Conn, id: UserId) -> Result<Option<User>, StoreError> {
    let row = sqlx::query::<Db>(
        "SELECT id, org_id, email, name, created_at, deactivated_at, removed_at FROM users WHERE id = $1",
    )
    .bind(id.to_string())
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(parse).transpose()
}

/// The one with this e-mail address who has not been removed.
pub async fn find_by_email(conn: &mut Conn, email: &str) -> Result<Option<User>, StoreError> {
    let row = sqlx::query::<Db>(
        "SELECT id, org_id, email, name, created_at, deactivated_at, removed_at FROM users
         WHERE email_folded = $1 AND removed_at IS NULL",
    )
    .bind(folded(email))
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(parse).transpose()
}

/// Those who have not been removed, of one organization or of all, after `after`, in the order they were added.
pub async fn list(
    conn: &mut Conn,
    org: Option<OrgId>,
    after: Option<UserId>,
    limit: u32,
) -> Result<Vec<User>, StoreError> {
    let rows = sqlx::query::<Db>(
        "SELECT id, org_id, email, name, created_at, deactivated_at, removed_at FROM users
         WHERE removed_at IS NULL AND ($1 IS NULL OR org_id = $1) AND id > $2 ORDER BY id LIMIT $3",
    )
    .bind(org.map(|id| id.to_string()))
    .bind(after.map(|id| id.to_string()).unwrap_or_default())
    .bind(i64::from(limit))
    .fetch_all(conn)
    .await?;
    Ok(readable(&rows, parse))
}

/// The people of a team after `after`, in the order they were added.
pub async fn list_of_team(
    conn: &mut Conn,
    team: TeamId,
    after: Option<UserId>,
    limit: u32,
) -> Result<Vec<User>, StoreError> {
    let rows = sqlx::query::<Db>(
        "SELECT u.id, u.org_id, u.email, u.name, u.created_at, u.deactivated_at, u.removed_at
         FROM memberships m JOIN users u ON u.id = m.user_id
         WHERE m.team_id = $1 AND u.removed_at IS NULL AND u.id > $2 ORDER BY u.id LIMIT $3",
    )
    .bind(team.to_string())
    .bind(after.map(|id| id.to_string()).unwrap_or_default())
    .bind(i64::from(limit))
    .fetch_all(conn)
    .await?;
    Ok(readable(&rows, parse))
}

/// Their password's hash, if they have one.
pub async fn password(conn: &mut Conn, id: UserId) -> Result<Option<PasswordHash>, StoreError> {
    let row = sqlx::query::<Db>("SELECT id, password_hash FROM users WHERE id = $1 AND removed_at IS NULL")
        .bind(id.to_string())
        .fetch_optional(conn)
        .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Columns::of(&row, "users", "id").maybe_text("password_hash")?.map(PasswordHash))
}

/// The one with this e-mail address who has not been removed, with their password's hash if they have one: one
/// statement, whoever it is asked about.
pub async fn find_to_sign_in(
    conn: &mut Conn,
    email: &str,
) -> Result<Option<(User, Option<PasswordHash>)>, StoreError> {
    let row = sqlx::query::<Db>(
        "SELECT id, org_id, email, name, created_at, deactivated_at, removed_at, password_hash FROM users
         WHERE email_folded = $1 AND removed_at IS NULL",
    )
    .bind(folded(email))
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let hash = Columns::of(&row, "users", "id").maybe_text("password_hash")?;
    Ok(Some((parse(&row)?, hash.map(PasswordHash))))
}

/// Gives them another password.
pub async fn set_password(tx: &mut Tx, id: UserId, password: &PasswordHash) -> Result<(), StoreError> {
    sqlx::query::<Db>("UPDATE users SET password_hash = $2 WHERE id = $1 AND removed_at IS NULL")
        .bind(id.to_string())
        .bind(&password.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The team in which they last chose to act.
pub async fn last_team(conn: &mut Conn, id: UserId) -> Result<Option<TeamId>, StoreError> {
    let row = sqlx::query::<Db>("SELECT id, last_team_id FROM users WHERE id = $1")
        .bind(id.to_string())
        .fetch_optional(conn)
        .await?;
    let Some(row) = row else { return Ok(None) };
    Columns::of(&row, "users", "id").maybe_parse("last_team_id")
}

/// They chose to act there.
pub async fn set_last_team(tx: &mut Tx, id: UserId, team: Option<TeamId>) -> Result<(), StoreError> {
    sqlx::query::<Db>("UPDATE users SET last_team_id = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind(team.map(|id| id.to_string()))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Gives them another name; false when there is no such person.
pub async fn rename(tx: &mut Tx, id: UserId, name: &str) -> Result<bool, StoreError> {
    let done = sqlx::query::<Db>("UPDATE users SET name = $2 WHERE id = $1 AND removed_at IS NULL")
        .bind(id.to_string())
        .bind(name)
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Sets or clears the time since when they may not act; false when there is no such person.
pub async fn set_deactivated(tx: &mut Tx, id: UserId, since: Option<Timestamp>) -> Result<bool, StoreError> {
    let done = sqlx::query::<Db>("UPDATE users SET deactivated_at = $2 WHERE id = $1 AND removed_at IS NULL")
        .bind(id.to_string())
        .bind(since.map(Timestamp::micros))
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Marks them as gone, forgets their password, second factor, memberships and groups; false when there is no such person.
pub async fn remove(tx: &mut Tx, id: UserId, at: Timestamp) -> Result<bool, StoreError> {
    sqlx::query::<Db>("DELETE FROM memberships WHERE user_id = $1")
        .bind(id.to_string())
        .execute(&mut **tx)
        .await?;
    super::groups::remove_from_all(tx, id).await?;
    super::second_factors::remove(tx, id).await?;
    let done = sqlx::query::<Db>(
        "UPDATE users SET removed_at = $2, password_hash = NULL WHERE id = $1 AND removed_at IS NULL",
    )
    .bind(id.to_string())
    .bind(at.micros())
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

fn parse(row: &Row) -> Result<User, StoreError> {
    let columns = Columns::of(row, "users", "id");
    Ok(User {
        id: columns.parse("id")?,
        org_id: columns.parse("org_id")?,
        email: columns.text("email")?,
        name: columns.text("name")?,
        created_at: columns.time("created_at")?,
        deactivated_at: columns.maybe_time("deactivated_at")?,
        removed_at: columns.maybe_time("removed_at")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_are_one_and_look_alikes_are_not() {
        assert_eq!(folded("Jack.\u{c4}@Acme.Example"), folded("jack.\u{e4}@acme.example"));
        assert_ne!(folded("jac\u{212a}@acme.example"), folded("jack@acme.example"));
        assert_ne!(folded("\u{130}da@acme.example"), folded("ida@acme.example"));
        assert_eq!(folded("\u{130}da@acme.example"), "\u{130}da@acme.example".to_lowercase());
    }
}
