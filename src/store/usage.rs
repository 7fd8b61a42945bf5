//! How often keys are used, in minutes, and when and from where last. Written in batches, never per request.

use std::net::IpAddr;

use sqlx::Connection as _;

use super::{
    Store, Tx,
    db::{Columns, Conn, Db},
    error::StoreError,
};
use crate::domain::{
    id::{KeyId, OrgId, TeamId},
    time::Timestamp,
};

const MINUTE: i64 = 60_000_000;
/// More cannot be in one batch; sums of it stay far from overflow.
const MOST: i64 = 1 << 40;

/// Uses of one key from one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// The key.
    pub key: KeyId,
    /// From where, if known.
    pub ip: Option<IpAddr>,
    /// How often.
    pub count: u64,
    /// When last; its minute is the one that is counted.
    pub last: Timestamp,
}

/// Whose a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whose {
    /// Its public characters.
    pub prefix: String,
    /// Its organization.
    pub org: OrgId,
    /// Its team.
    pub team: Option<TeamId>,
}

/// Adds uses to what is stored; gives whose the key is, none when it is gone or its row is damaged.
pub async fn add(tx: &mut Tx, used: &Used) -> Result<Option<Whose>, StoreError> {
    let count = i64::try_from(used.count).unwrap_or(MOST).min(MOST);
    let ip = used.ip.map(|ip| ip.to_string());
    let known = sqlx::query::<Db>(
        "UPDATE api_keys SET usage_count = usage_count + $2,
             last_used_ip = CASE WHEN last_used_at IS NULL OR last_used_at <= $3
                                 THEN COALESCE($4, last_used_ip) ELSE last_used_ip END,
             last_used_at = CASE WHEN last_used_at IS NULL OR last_used_at <= $3 THEN $3 ELSE last_used_at END
         WHERE id = $1
         RETURNING id, prefix, org_id, team_id",
    )
    .bind(used.key.to_string())
    .bind(count)
    .bind(used.last.micros())
    .bind(&ip)
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = known else { return Ok(None) };
    sqlx::query::<Db>(
        "INSERT INTO usage_minutes (key_id, minute, ip, count) VALUES ($1, $2, $3, $4)
         ON CONFLICT (key_id, minute, ip) DO UPDATE SET count = usage_minutes.count + excluded.count",
    )
    .bind(used.key.to_string())
    .bind(used.last.micros().div_euclid(MINUTE) * MINUTE)
    .bind(ip.unwrap_or_default())
    .bind(count)
    .execute(&mut **tx)
    .await?;
    let columns = Columns::of(&row, "api_keys", "id");
    let whose = || {
        let (prefix, org) = (columns.text("prefix")?, columns.parse("org_id")?);
        Ok::<_, StoreError>(Whose { prefix, org, team: columns.maybe_parse("team_id")? })
    };
    // A damaged row is reported where it is looked up; here it must not keep others from being counted.
    Ok(whose().ok())
}

/// Whether a key was used from this address before, as far back as uses are kept.
pub async fn was_used_from(conn: &mut Conn, key: KeyId, ip: Option<IpAddr>) -> Result<bool, StoreError> {
    let row = sqlx::query::<Db>("SELECT key_id FROM usage_minutes WHERE key_id = $1 AND ip = $2 LIMIT 1")
        .bind(key.to_string())
        .bind(ip.map(|ip| ip.to_string()).unwrap_or_default())
        .fetch_optional(conn)
        .await?;
    Ok(row.is_some())
}

/// Uses of a key in one minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Minute {
    /// Its first microsecond.
    pub start: Timestamp,
    /// How often.
    pub count: u64,
}

/// The minutes since `since` in which a key was used, oldest first.
pub async fn of_key(conn: &mut Conn, key: KeyId, since: Timestamp) -> Result<Vec<Minute>, StoreError> {
    let rows = sqlx::query::<Db>(
        "SELECT key_id, minute, SUM(count) AS count FROM usage_minutes
         WHERE key_id = $1 AND minute >= $2 GROUP BY key_id, minute ORDER BY minute",
    )
    .bind(key.to_string())
    .bind(since.micros())
    .fetch_all(conn)
    .await?;
    let minutes = rows.iter().map(|row| {
        let columns = Columns::of(row, "usage_minutes", "key_id");
        Ok(Minute { start: columns.time("minute")?, count: columns.count("count")? })
    });
    minutes.collect()
}

/// Uses of a key from one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// From where; none when it could not be told.
    pub ip: Option<IpAddr>,
    /// How often.
    pub count: u64,
    /// The last minute in which it was used.
    pub last: Timestamp,
}

/// By minute and by address, as of one moment: uses that are written meanwhile are in both or in neither.
pub async fn by_minute_and_source(
    conn: &mut Conn,
    key: KeyId,
    since: Timestamp,
    limit: u32,
) -> Result<(Vec<Minute>, Vec<Source>), StoreError> {
    let mut moment = conn.begin().await?;
    let minutes = of_key(&mut moment, key, since).await?;
    let sources = sources(&mut moment, key, since, limit).await?;
    moment.commit().await?;
    Ok((minutes, sources))
}

/// The addresses from which a key was used since `since`, the busiest first.
async fn sources(
    conn: &mut Conn,
    key: KeyId,
    since: Timestamp,
    limit: u32,
) -> Result<Vec<Source>, StoreError> {
    let rows = sqlx::query::<Db>(
        "SELECT key_id, ip, SUM(count) AS count, MAX(minute) AS last FROM usage_minutes
         WHERE key_id = $1 AND minute >= $2 GROUP BY key_id, ip ORDER BY SUM(count) DESC, ip LIMIT $3",
    )
    .bind(key.to_string())
    .bind(since.micros())
    .bind(i64::from(limit))
    .fetch_all(conn)
    .await?;
    let sources = rows.iter().map(|row| {
        let columns = Columns::of(row, "usage_minutes", "key_id");
        let ip = columns.text("ip")?;
        let ip = match ip.as_str() {
            "" => None,
            text => Some(text.parse().map_err(|error| columns.bad("ip", error))?),
        };
        Ok(Source { ip, count: columns.count("count")?, last: columns.time("last")? })
    });
    sources.collect()
}

/// Forgets the oldest `limit` minutes before `before`, so that no writer waits long; how many rows went.
pub async fn prune(store: &Store, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
    let mut tx = store.write().await?;
    let done = sqlx::query::<Db>(
        "DELETE FROM usage_minutes WHERE minute IN
             (SELECT DISTINCT minute FROM usage_minutes WHERE minute < $1 ORDER BY minute LIMIT $2)",
    )
    .bind(before.micros())
    .bind(i64::from(limit))
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(done.rows_affected())
}
