//! How often keys are used, in minutes, and when and from where last. Written in batches, never per request.

pub mod waiting;

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
};

use sqlx::{Connection as _, Row as _};

use super::{
    Store, Tx,
    db::{Columns, Conn, Db, portions},
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

/// Adds uses to what is stored. No key stands there twice with the same address and minute; those of keys that are gone
/// are passed over.
pub async fn add(tx: &mut Tx, uses: &[Used]) -> Result<(), StoreError> {
    for some in portions(&by_key(uses)) {
        let mut update = sqlx::QueryBuilder::<Db>::new(
            "UPDATE api_keys SET usage_count = usage_count + used.column2,
                 last_used_ip = CASE WHEN last_used_at IS NULL OR last_used_at <= used.column3
                                     THEN COALESCE(used.column4, last_used_ip) ELSE last_used_ip END,
                 last_used_at = CASE WHEN last_used_at IS NULL OR last_used_at <= used.column3
                                     THEN used.column3 ELSE last_used_at END
             FROM (",
        );
        update.push_values(some, |mut row, (key, used)| {
            row.push_bind(key.to_string())
                .push_bind(used.count)
                .push_bind(used.last.micros())
                .push_bind(used.ip.map(|ip| ip.to_string()));
        });
        update.push(") AS used WHERE api_keys.id = used.column1");
        update.build().execute(&mut **tx).await?;
    }
    for some in portions(uses) {
        let mut insert = sqlx::QueryBuilder::<Db>::new(
            "INSERT INTO usage_minutes (key_id, minute, ip, count)
             SELECT used.column1, used.column2, used.column3, used.column4 FROM (",
        );
        insert.push_values(some, |mut row, used| {
            row.push_bind(used.key.to_string())
                .push_bind(used.last.micros().div_euclid(MINUTE) * MINUTE)
                .push_bind(stored(used.ip))
                .push_bind(bounded(used.count));
        });
        insert.push(
            ") AS used WHERE EXISTS (SELECT 1 FROM api_keys WHERE id = used.column1)
             ON CONFLICT (key_id, minute, ip) DO UPDATE SET count = usage_minutes.count + excluded.count",
        );
        insert.build().execute(&mut **tx).await?;
    }
    Ok(())
}

/// What a batch says of one key.
#[derive(Debug, Clone, Copy)]
struct Sum {
    count: i64,
    last: Timestamp,
    /// Of the last use whose address is known, and when that was.
    ip: Option<IpAddr>,
    ip_at: Timestamp,
}

fn by_key(uses: &[Used]) -> Vec<(KeyId, Sum)> {
    let mut sums: HashMap<KeyId, Sum> = HashMap::with_capacity(uses.len());
    for used in uses {
        let Used { ip, last, .. } = *used;
        let sum = sums.entry(used.key).or_insert(Sum { count: 0, last, ip, ip_at: last });
        sum.count = sum.count.saturating_add(bounded(used.count)).min(MOST);
        sum.last = sum.last.max(last);
        if ip.is_some() && (sum.ip.is_none() || sum.ip_at <= last) {
            (sum.ip, sum.ip_at) = (ip, last);
        }
    }
    // Neighbours in the table are changed one after the other.
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_unstable_by_key(|(key, _)| *key);
    sums
}

fn bounded(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(MOST).min(MOST)
}

fn stored(ip: Option<IpAddr>) -> String {
    ip.map(|ip| ip.to_string()).unwrap_or_default()
}

/// Those of these keys and addresses that were seen together before, as far back as uses are kept.
pub async fn seen_before(
    conn: &mut Conn,
    sources: &[(KeyId, Option<IpAddr>)],
) -> Result<HashSet<(KeyId, Option<IpAddr>)>, StoreError> {
    let mut seen = HashSet::new();
    for some in portions(sources) {
        let mut select = sqlx::QueryBuilder::<Db>::new("SELECT used.column3 AS place FROM (");
        let mut place = 0_i64;
        select.push_values(some, |mut row, (key, ip)| {
            row.push_bind(key.to_string()).push_bind(stored(*ip)).push_bind(place);
            place += 1;
        });
        select.push(
            ") AS used WHERE EXISTS
                 (SELECT 1 FROM usage_minutes WHERE key_id = used.column1 AND ip = used.column2)",
        );
        for row in select.build().fetch_all(&mut *conn).await? {
            let place: i64 = row.try_get("place")?;
            seen.extend(usize::try_from(place).ok().and_then(|place| some.get(place)));
        }
    }
    Ok(seen)
}

/// Whose these keys are; without those that are gone or whose rows are damaged, which is told where they are looked up.
pub async fn whose(conn: &mut Conn, wanted: &[KeyId]) -> Result<HashMap<KeyId, Whose>, StoreError> {
    let mut found = HashMap::with_capacity(wanted.len());
    for some in portions(wanted) {
        let mut select =
            sqlx::QueryBuilder::<Db>::new("SELECT id, prefix, org_id, team_id FROM api_keys WHERE id IN (");
        let mut ids = select.separated(", ");
        for key in some {
            ids.push_bind(key.to_string());
        }
        select.push(")");
        for row in &select.build().fetch_all(&mut *conn).await? {
            let columns = Columns::of(row, "api_keys", "id");
            let whose = || {
                let (prefix, org) = (columns.text("prefix")?, columns.parse("org_id")?);
                let whose = Whose { prefix, org, team: columns.maybe_parse("team_id")? };
                Ok::<_, StoreError>((columns.parse("id")?, whose))
            };
            found.extend(whose().ok());
        }
    }
    Ok(found)
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
    let waiting = waiting::of(&mut moment, &[key]).await?.remove(&key).unwrap_or_default();
    let mut minutes = of_key(&mut moment, key, since).await?;
    // What waits may change who is among the busiest.
    let read = if waiting.is_empty() { limit } else { u32::MAX };
    let mut sources = sources(&mut moment, key, since, read).await?;
    moment.commit().await?;
    for Used { ip, count, last, .. } in waiting {
        let start = Timestamp::from_micros(last.micros().div_euclid(MINUTE) * MINUTE);
        if start < since {
            continue;
        }
        match minutes.iter_mut().find(|minute| minute.start == start) {
            Some(minute) => minute.count += count,
            None => minutes.push(Minute { start, count }),
        }
        match sources.iter_mut().find(|source| source.ip == ip) {
            Some(source) => (source.count, source.last) = (source.count + count, source.last.max(start)),
            None => sources.push(Source { ip, count, last: start }),
        }
    }
    minutes.sort_by_key(|minute| minute.start);
    sources.sort_by_key(|source| std::cmp::Reverse(source.count));
    sources.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
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
    let mut tx = store.write_patiently().await?;
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
