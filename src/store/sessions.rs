//! Sessions of people, by the SHA-256 of their tokens.

use super::{
    Store, Tx,
    db::{Columns, Conn, Db, Row, hex},
    error::StoreError,
    people::{self, Acting, columns},
};
use crate::domain::{
    id::{OrgId, SessionId, TeamId, UserId},
    key::{state::Life, token::Digest},
    time::Timestamp,
};

/// A session as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// Its id, which may be seen by everybody.
    pub id: SessionId,
    /// Whose.
    pub user_id: UserId,
    /// Their organization.
    pub org_id: OrgId,
    /// The team it acts in; none: the organization.
    pub team_id: Option<TeamId>,
    /// When they signed in.
    pub created_at: Timestamp,
    /// When they have to sign in again, whatever they do.
    pub expires_at: Timestamp,
    /// When it was last used, as far as that was written down.
    pub last_seen_at: Timestamp,
    /// When it was ended.
    pub ended_at: Option<Timestamp>,
}

impl Session {
    /// Its dates.
    pub const fn life(&self) -> Life {
        Life {
            created_at: self.created_at,
            expires_at: Some(self.expires_at),
            grace_until: None,
            revoked_at: self.ended_at,
        }
    }

    /// The change that voids what is remembered about it.
    pub const fn changed(&self) -> super::changes::Subject {
        super::changes::Subject::Session { org: self.org_id, id: self.id }
    }
}

/// A session with the person behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The session.
    pub session: Session,
    /// Who, where they act.
    pub person: Acting,
}

/// Adds one.
pub async fn insert(tx: &mut Tx, session: &Session, token: &Digest) -> Result<(), StoreError> {
    sqlx::query::<Db>(
        "INSERT INTO sessions (id, token_sha256, user_id, org_id, team_id, created_at, expires_at, last_seen_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(session.id.to_string())
    .bind(hex(token.bytes()))
    .bind(session.user_id.to_string())
    .bind(session.org_id.to_string())
    .bind(session.team_id.map(|id| id.to_string()))
    .bind(session.created_at.micros())
    .bind(session.expires_at.micros())
    .bind(session.last_seen_at.micros())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT s.id, s.user_id AS session_user, s.org_id, s.team_id, s.created_at, s.expires_at, s.last_seen_at,
                    s.ended_at, ",
            columns!("s.team_id"),
            " FROM sessions s JOIN users u ON u.id = s.user_id
              LEFT JOIN teams t ON t.id = s.team_id AND t.org_id = u.org_id
              WHERE ",
            $condition
        )
    };
}

/// The one with this token, ended or not, with everything that a decision about it needs.
pub async fn find_by_token(conn: &mut Conn, token: &Digest) -> Result<Option<Held>, StoreError> {
    let row = sqlx::query::<Db>(select!("s.token_sha256 = $1"))
        .bind(hex(token.bytes()))
        .fetch_optional(conn)
        .await?;
    row.as_ref().map(held).transpose()
}

/// The one with this id, ended or not.
pub async fn find(conn: &mut Conn, id: SessionId) -> Result<Option<Held>, StoreError> {
    let row = sqlx::query::<Db>(select!("s.id = $1")).bind(id.to_string()).fetch_optional(conn).await?;
    row.as_ref().map(held).transpose()
}

/// Lets it act in another team, or in the organization.
pub async fn set_team(tx: &mut Tx, id: SessionId, team: Option<TeamId>) -> Result<(), StoreError> {
    sqlx::query::<Db>("UPDATE sessions SET team_id = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind(team.map(|id| id.to_string()))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Ends it; false when it had ended.
pub async fn end(tx: &mut Tx, id: SessionId, at: Timestamp) -> Result<bool, StoreError> {
    let done = sqlx::query::<Db>("UPDATE sessions SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL")
        .bind(id.to_string())
        .bind(at.micros())
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Ends all of a person's but `kept`; how many had not ended.
pub async fn end_of_user(
    tx: &mut Tx,
    user: UserId,
    kept: Option<SessionId>,
    at: Timestamp,
) -> Result<u64, StoreError> {
    let done = sqlx::query::<Db>(
        "UPDATE sessions SET ended_at = $2
         WHERE user_id = $1 AND ended_at IS NULL AND expires_at > $2 AND id <> $3",
    )
    .bind(user.to_string())
    .bind(at.micros())
    .bind(kept.map(|id| id.to_string()).unwrap_or_default())
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}

/// Ends a person's that act in this team, or in the organization.
pub async fn end_of_member(
    tx: &mut Tx,
    user: UserId,
    team: Option<TeamId>,
    at: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query::<Db>(
        "UPDATE sessions SET ended_at = $3 WHERE user_id = $1 AND ended_at IS NULL
         AND ((team_id IS NULL AND $2 IS NULL) OR team_id = $2)",
    )
    .bind(user.to_string())
    .bind(team.map(|id| id.to_string()))
    .bind(at.micros())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes down when sessions were last used, many at once. What is older than what is there changes nothing.
///
/// # Errors
/// [`StoreError::Unavailable`]: nothing was written; the caller tries again with the next batch.
pub async fn seen(store: &Store, batch: &[(SessionId, Timestamp)]) -> Result<(), StoreError> {
    if batch.is_empty() {
        return Ok(());
    }
    let mut tx = store.write().await?;
    for (id, at) in batch {
        sqlx::query::<Db>("UPDATE sessions SET last_seen_at = $2 WHERE id = $1 AND last_seen_at < $2")
            .bind(id.to_string())
            .bind(at.micros())
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Forgets those that were over before `before`; how many.
pub async fn prune(store: &Store, before: Timestamp) -> Result<u64, StoreError> {
    let mut tx = store.write().await?;
    let done = sqlx::query::<Db>(
        "DELETE FROM sessions WHERE expires_at < $1 OR (ended_at IS NOT NULL AND ended_at < $1)",
    )
    .bind(before.micros())
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(done.rows_affected())
}

fn held(row: &Row) -> Result<Held, StoreError> {
    let columns = Columns::of(row, "sessions", "id");
    let session = Session {
        id: columns.parse("id")?,
        user_id: columns.parse("session_user")?,
        org_id: columns.parse("org_id")?,
        team_id: columns.maybe_parse("team_id")?,
        created_at: columns.time("created_at")?,
        expires_at: columns.time("expires_at")?,
        last_seen_at: columns.time("last_seen_at")?,
        ended_at: columns.maybe_time("ended_at")?,
    };
    Ok(Held { session, person: people::parse(row)? })
}
