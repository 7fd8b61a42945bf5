//! Keys in numbers: lists, limits, metrics.

use std::time::Duration;

use sqlx::{Connection as _, Row as _};

use super::{Key, Lookup, columns, held::FOREIGN_PREFIX, parse};
use crate::domain::{
    id::{KeyId, OrgId, ProjectId, TeamId, UserId},
    key::state::Status,
    time::Timestamp,
};
use crate::store::{
    db::{Columns, Conn, Db, readable},
    error::StoreError,
    usage::waiting,
};

/// Which keys a list shows.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this organization only.
    pub org: Option<OrgId>,
    /// Bound to this team, or to a project of it.
    pub team: Option<TeamId>,
    /// Bound to this project.
    pub project: Option<ProjectId>,
    /// Of this person only.
    pub owner: Option<UserId>,
    /// With these public characters.
    pub prefix: Option<String>,
    /// In this state now.
    pub status: Option<Status>,
    /// With this text in name, prefix, description or environment, in any case.
    pub text: Option<String>,
}

/// A key in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The key.
    pub key: Key,
    /// The e-mail address of who issued it.
    pub created_by: Option<String>,
}

/// A part of a list.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The rows that could be read.
    pub items: Vec<T>,
    /// Where the next page begins; none at the end.
    pub next: Option<KeyId>,
}

/// Sorts after every id, so that a list from its beginning and from a cursor are one statement that seeks.
const AFTER_ALL: &str = "~";

/// Two statements, so that a prefix is looked up in its index and a list without one is not slowed by asking.
macro_rules! listed {
    ($prefix:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            ", u.email AS created_by_email
             FROM api_keys k LEFT JOIN users u ON u.id = k.created_by
             WHERE ($1 IS NULL OR k.org_id = $1) AND ($2 IS NULL OR k.team_id = $2) AND ($3 IS NULL OR k.project_id = $3)
               AND ($4 IS NULL OR k.owner_user_id = $4) AND k.id < $5
               AND ($6 IS NULL OR $6 = CASE WHEN k.revoked_at IS NOT NULL THEN 'revoked'
                                            WHEN k.expires_at <= $7 OR k.grace_until <= $7 THEN 'expired'
                                            WHEN k.grace_until IS NOT NULL THEN 'rotating'
                                            ELSE 'active' END)
               AND ($8 IS NULL OR lower(k.name) LIKE $8 ESCAPE '!' OR lower(k.prefix) LIKE $8 ESCAPE '!'
                    OR lower(k.description) LIKE $8 ESCAPE '!' OR lower(k.environment) LIKE $8 ESCAPE '!')",
            $prefix,
            " ORDER BY k.id DESC LIMIT $9"
        )
    };
}

/// The keys that `filter` allows, newest first, from before `before` on.
pub async fn list(
    conn: &mut Conn,
    filter: &Filter,
    now: Timestamp,
    before: Option<KeyId>,
    limit: u32,
) -> Result<Page<Listed>, StoreError> {
    let query = match &filter.prefix {
        None => sqlx::query::<Db>(listed!("")),
        Some(_) => sqlx::query::<Db>(listed!(" AND k.prefix = $10")),
    };
    let mut query = query
        .bind(filter.org.map(|id| id.to_string()))
        .bind(filter.team.map(|id| id.to_string()))
        .bind(filter.project.map(|id| id.to_string()))
        .bind(filter.owner.map(|id| id.to_string()))
        .bind(before.map_or_else(|| AFTER_ALL.to_owned(), |id| id.to_string()))
        .bind(filter.status.map(Status::as_str))
        .bind(now.micros())
        .bind(filter.text.as_deref().map(pattern))
        .bind(i64::from(limit));
    if let Some(prefix) = &filter.prefix {
        query = query.bind(prefix);
    }
    let mut moment = conn.begin().await?;
    let rows = query.fetch_all(&mut *moment).await?;
    let ids: Vec<KeyId> =
        rows.iter().filter_map(|row| row.try_get::<String, _>("id").ok()?.parse().ok()).collect();
    let waiting = waiting::of(&mut moment, &ids).await?;
    moment.commit().await?;

    // The cursor comes from the rows as read, so that a damaged row does not end the list.
    let full = rows.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let last = rows.last().filter(|_| full).and_then(|row| row.try_get::<String, _>("id").ok());
    let items = readable(&rows, |row| {
        let created_by = Columns::of(row, "api_keys", "id").maybe_text("created_by_email")?;
        let mut key = parse(row)?;
        waiting.get(&key.id).into_iter().flatten().for_each(|used| key.add(used));
        Ok(Listed { key, created_by })
    });
    Ok(Page { items, next: last.and_then(|id| id.parse().ok()) })
}

fn pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for character in text.to_lowercase().chars() {
        if matches!(character, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

/// The ids of those that people may mean by a prefix: keys of any shape; more than two are never needed.
pub async fn find_any(conn: &mut Conn, prefix: &str) -> Result<Vec<KeyId>, StoreError> {
    let rows = sqlx::query::<Db>("SELECT id FROM api_keys WHERE prefix = $1 ORDER BY id LIMIT 2")
        .bind(prefix)
        .fetch_all(conn)
        .await?;
    rows.iter().map(|row| Columns::of(row, "api_keys", "id").parse("id")).collect()
}

/// Whether another key is found in the way in which `key` would be. Of two foreign keys where the characters that
/// name one begin the other's, only one could be found: they are taken too.
pub async fn is_taken(conn: &mut Conn, key: &Key) -> Result<bool, StoreError> {
    let name = key.looked_up_by();
    if key.lookup == Lookup::Public {
        let query = "SELECT id FROM api_keys WHERE prefix = $1 AND foreign_lookup IS NULL";
        return Ok(sqlx::query::<Db>(query).bind(name).fetch_optional(conn).await?.is_some());
    }
    let beginning_with_it =
        "SELECT id FROM api_keys WHERE foreign_lookup >= $1 AND foreign_lookup < $2 LIMIT 1";
    // The last character that a foreign key may have is `~`.
    let query = sqlx::query::<Db>(beginning_with_it).bind(name).bind(format!("{name}\u{7f}"));
    if query.fetch_optional(&mut *conn).await?.is_some() {
        return Ok(true);
    }
    for length in FOREIGN_PREFIX {
        let Some(beginning) = name.get(..length).filter(|beginning| beginning.len() < name.len()) else {
            break;
        };
        let query = sqlx::query::<Db>("SELECT id FROM api_keys WHERE foreign_lookup = $1").bind(beginning);
        if query.fetch_optional(&mut *conn).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the key minted any.
pub async fn has_children(conn: &mut Conn, id: KeyId) -> Result<bool, StoreError> {
    let row = sqlx::query::<Db>("SELECT id FROM api_keys WHERE parent_id = $1 LIMIT 1")
        .bind(id.to_string())
        .fetch_optional(conn)
        .await?;
    Ok(row.is_some())
}

/// How many families of keys of this person work at `now`: a key in its grace and its successor are one (R000_21).
/// Meaningful for a decision only inside the transaction that acts on it.
pub async fn active_families(conn: &mut Conn, owner: UserId, now: Timestamp) -> Result<i64, StoreError> {
    let row = sqlx::query::<Db>(
        "SELECT COUNT(DISTINCT family_id) AS families FROM api_keys
         WHERE owner_user_id = $1 AND revoked_at IS NULL
           AND (expires_at IS NULL OR expires_at > $2) AND (grace_until IS NULL OR grace_until > $2)",
    )
    .bind(owner.to_string())
    .bind(now.micros())
    .fetch_one(conn)
    .await?;
    Ok(row.try_get("families")?)
}

/// How many keys there are in each state, and how many will expire soon.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census {
    /// In the order of [`Status::ALL`].
    pub by_status: [i64; 4],
    /// Working keys that end within 1, 7 and 30 days.
    pub expiring: [i64; 3],
}

/// Keys that have an end, or had one, are looked at in an index of theirs; the others are only counted, which is a walk
/// through the tops of the smallest index. So it costs little however many there are, and nothing of it is a row.
pub(in crate::store) const CENSUS: &str =
    "SELECT (SELECT COUNT(*) FROM api_keys) - COUNT(*)
              + COALESCE(SUM(CASE WHEN status = 'active' THEN 1 ELSE 0 END), 0) AS active,
            COALESCE(SUM(CASE WHEN status = 'rotating' THEN 1 ELSE 0 END), 0) AS rotating,
            COALESCE(SUM(CASE WHEN status = 'expired' THEN 1 ELSE 0 END), 0) AS expired,
            COALESCE(SUM(CASE WHEN status = 'revoked' THEN 1 ELSE 0 END), 0) AS revoked,
            COALESCE(SUM(CASE WHEN ends > $1 AND ends <= $2 AND status <> 'revoked' THEN 1 ELSE 0 END), 0) AS day,
            COALESCE(SUM(CASE WHEN ends > $1 AND ends <= $3 AND status <> 'revoked' THEN 1 ELSE 0 END), 0) AS week,
            COALESCE(SUM(CASE WHEN ends > $1 AND ends <= $4 AND status <> 'revoked' THEN 1 ELSE 0 END), 0) AS month
     FROM (SELECT CASE WHEN revoked_at IS NOT NULL THEN 'revoked'
                       WHEN expires_at <= $1 OR grace_until <= $1 THEN 'expired'
                       WHEN grace_until IS NOT NULL THEN 'rotating'
                       ELSE 'active' END AS status,
                  CASE WHEN grace_until IS NULL OR expires_at < grace_until THEN expires_at
                       ELSE grace_until END AS ends
           FROM api_keys
           WHERE revoked_at IS NOT NULL OR expires_at IS NOT NULL OR grace_until IS NOT NULL) AS k";

/// Counts all keys, for a gauge that is read now and then.
pub async fn census(conn: &mut Conn, now: Timestamp) -> Result<Census, StoreError> {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let row = sqlx::query::<Db>(CENSUS)
        .bind(now.micros())
        .bind(now.after(DAY).micros())
        .bind(now.after(DAY * 7).micros())
        .bind(now.after(DAY * 30).micros())
        .fetch_one(conn)
        .await?;
    let number = |column: &str| row.try_get::<i64, _>(column);
    Ok(Census {
        by_status: [number("active")?, number("rotating")?, number("expired")?, number("revoked")?],
        expiring: [number("day")?, number("week")?, number("month")?],
    })
}
