//! The feed of changes that running gateways follow to drop what they hold in memory.
//!
//! Positions grow by one and become visible in order: the counter's row is locked from the moment a transaction
//! takes a position until it commits. So a follower who has seen position n and asks for what comes after n can
//! never miss one.
//!
//! Only the last [`KEPT`] changes are kept. A follower for whom one is missing - it was away for long, or the store
//! is a restored backup whose feed is behind - gets [`Feed::Lost`] and has to drop everything it holds.

use sqlx::Row as _;

use super::{
    Tx,
    db::{Columns, Conn, Db},
    error::StoreError,
};
use crate::domain::{
    id::{ChangeId, KeyId, OrgId, SessionId},
    time::Timestamp,
};

/// How many changes are kept for followers.
pub const KEPT: i64 = 50_000;
/// Old changes are removed once per so many new ones.
const PRUNE_EVERY: i64 = 500;

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// One key, new ones included: what was remembered about it, or about its absence, no longer holds.
    Key {
        /// The tenant.
        org: OrgId,
        /// The key.
        id: KeyId,
        /// How the key is looked up: its public characters, `sha256:<hex>`, or a foreign key's beginning.
        lookup: String,
    },
    /// One session: its end, or where it acts.
    Session {
        /// The tenant.
        org: OrgId,
        /// The session.
        id: SessionId,
    },
    /// Anything in the organization: roles, members, projects, or the organization itself.
    Org(OrgId),
}

/// A row of the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its position.
    pub id: ChangeId,
    /// When it was made.
    pub at: Timestamp,
    /// What it was about.
    pub subject: Subject,
}

/// What a follower gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Feed {
    /// The next changes, oldest first; fewer than asked for when there are no more.
    Next(Vec<Change>),
    /// Changes are missing between the follower and the feed: drop everything, then go on after `latest`.
    Lost {
        /// The newest position.
        latest: ChangeId,
    },
}

/// Adds a change to the feed, as part of `tx`.
pub async fn append(tx: &mut Tx, at: Timestamp, subject: &Subject) -> Result<ChangeId, StoreError> {
    let id = reserve(tx, "changes", 1).await?;
    let (org, key, lookup, session) = match subject {
        Subject::Key { org, id, lookup } => (org, Some(id.to_string()), Some(lookup.as_str()), None),
        Subject::Session { org, id } => (org, None, None, Some(id.to_string())),
        Subject::Org(org) => (org, None, None, None),
    };
    sqlx::query::<Db>(
        "INSERT INTO changes (id, at, org_id, key_id, lookup, session_id) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(id)
    .bind(at.micros())
    .bind(org.to_string())
    .bind(key)
    .bind(lookup)
    .bind(session)
    .execute(&mut **tx)
    .await?;
    if id % PRUNE_EVERY == 0 {
        sqlx::query::<Db>("DELETE FROM changes WHERE id <= $1").bind(id - KEPT).execute(&mut **tx).await?;
    }
    tx.change = Some(ChangeId(id));
    Ok(ChangeId(id))
}

/// The newest position.
pub async fn latest(conn: &mut Conn) -> Result<ChangeId, StoreError> {
    let row = sqlx::query::<Db>("SELECT name, value FROM counters WHERE name = 'changes'")
        .fetch_optional(conn)
        .await?;
    let row = row.ok_or_else(|| StoreError::corrupt("counters", "changes", "missing"))?;
    Columns::of(&row, "counters", "name").number("value").map(ChangeId)
}

/// The changes after a position. A damaged row counts as lost: what it named cannot be known.
pub async fn since(conn: &mut Conn, after: ChangeId, limit: u32) -> Result<Feed, StoreError> {
    // The end of the feed is read first: a change that commits in between is then seen, never taken for a gap.
    let latest = latest(conn).await?;
    let lost = Feed::Lost { latest };
    let rows = sqlx::query::<Db>(
        "SELECT id, at, org_id, key_id, lookup, session_id FROM changes WHERE id > $1 ORDER BY id LIMIT $2",
    )
    .bind(after.0)
    .bind(i64::from(limit))
    .fetch_all(conn)
    .await?;
    let mut expected = after.0;
    let mut changes = Vec::with_capacity(rows.len());
    for row in &rows {
        expected += 1;
        match change(&Columns::of(row, "changes", "id")) {
            Ok(change) if change.id.0 == expected => changes.push(change),
            Ok(_) => return Ok(lost),
            Err(error) => {
                tracing::error!(%error, "store.row_damaged");
                return Ok(lost);
            }
        }
    }
    // All were removed, or the feed ends before the follower's position.
    if changes.is_empty() && latest != after {
        return Ok(lost);
    }
    Ok(Feed::Next(changes))
}

fn change(columns: &Columns<'_>) -> Result<Change, StoreError> {
    let org: OrgId = columns.parse("org_id")?;
    let subject = match (columns.maybe_parse("key_id")?, columns.maybe_parse("session_id")?) {
        (Some(id), _) => Subject::Key { org, id, lookup: columns.text("lookup")? },
        (None, Some(id)) => Subject::Session { org, id },
        (None, None) => Subject::Org(org),
    };
    Ok(Change { id: ChangeId(columns.number("id")?), at: columns.time("at")?, subject })
}

/// Takes the next `count` values of a counter and gives the last; its row stays locked until the transaction ends.
pub(super) async fn reserve(conn: &mut Conn, counter: &'static str, count: i64) -> Result<i64, StoreError> {
    let row = sqlx::query::<Db>("UPDATE counters SET value = value + $2 WHERE name = $1 RETURNING value")
        .bind(counter)
        .bind(count)
        .fetch_optional(conn)
        .await?;
    let row = row.ok_or_else(|| StoreError::corrupt("counters", counter, "missing"))?;
    Ok(row.try_get("value")?)
}
