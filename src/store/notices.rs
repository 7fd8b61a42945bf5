//! Which words of keys' coming ends were given, and which keys are next.

use std::time::Duration;

use super::{
    Tx,
    db::{Columns, Conn, Db, Row, readable},
    error::StoreError,
};
use crate::domain::{
    id::{KeyId, OrgId, TeamId, UserId},
    time::Timestamp,
};

/// A key that ends soon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// Which.
    pub id: KeyId,
    /// Whose tenant it is in.
    pub org_id: OrgId,
    /// The team that it acts in; none: the whole organization.
    pub team_id: Option<TeamId>,
    /// The person whose key it is; none: the organization's.
    pub owner: Option<UserId>,
    /// Its name.
    pub name: String,
    /// Its public characters.
    pub prefix: String,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Working keys that end within `span` of `now`, live longer than that altogether, and of which nobody was told for
/// this span yet; the next to end first. A rotated key ends because it was replaced: that is no news.
pub async fn ending(
    conn: &mut Conn,
    within: &str,
    span: Duration,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Ending>, StoreError> {
    let rows = sqlx::query::<Db>(
        "SELECT k.id, k.org_id, k.team_id, k.owner_user_id, k.name, k.prefix, k.expires_at FROM api_keys k
         WHERE k.expires_at > $1 AND k.expires_at <= $2 AND k.revoked_at IS NULL AND k.grace_until IS NULL
           AND k.rotated_to IS NULL AND k.expires_at - k.created_at > $3
           AND NOT EXISTS (SELECT 1 FROM notices n WHERE n.key_id = k.id AND n.within = $4)
         ORDER BY k.expires_at, k.id LIMIT $5",
    )
    .bind(now.micros())
    .bind(now.after(span).micros())
    .bind(i64::try_from(span.as_micros()).unwrap_or(i64::MAX))
    .bind(within)
    .bind(i64::from(limit))
    .fetch_all(conn)
    .await?;
    Ok(readable(&rows, parse))
}

/// Writes down that this word was given; false when it was before.
pub async fn give(tx: &mut Tx, key: KeyId, within: &str, at: Timestamp) -> Result<bool, StoreError> {
    let done = sqlx::query::<Db>(
        "INSERT INTO notices (key_id, within, at) VALUES ($1, $2, $3) ON CONFLICT (key_id, within) DO NOTHING",
    )
    .bind(key.to_string())
    .bind(within)
    .bind(at.micros())
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

fn parse(row: &Row) -> Result<Ending, StoreError> {
    let columns = Columns::of(row, "api_keys", "id");
    Ok(Ending {
        id: columns.parse("id")?,
        org_id: columns.parse("org_id")?,
        team_id: columns.maybe_parse("team_id")?,
        owner: columns.maybe_parse("owner_user_id")?,
        name: columns.text("name")?,
        prefix: columns.text("prefix")?,
        expires_at: columns.time("expires_at")?,
    })
}
