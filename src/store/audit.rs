//! The audit trail. Rows are only ever added; triggers refuse anything else.

use sqlx::Row as _;

use super::{
    Tx,
    changes::next,
    db::{Columns, Conn, Db, Row, readable},
    error::StoreError,
};
use crate::domain::{
    audit::{Actor, ChainHash, Event},
    id::{OrgId, TeamId},
    time::Timestamp,
};

/// An event in its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place, from 1.
    pub seq: i64,
    /// What happened.
    pub event: Event,
    /// The hash over it and the one before.
    pub hash: ChainHash,
}

/// Adds an event to the end of the chain, as part of `tx`.
pub async fn append(tx: &mut Tx, event: &Event) -> Result<ChainHash, StoreError> {
    let seq = next(tx, "audit_events").await?;
    let before = match seq {
        1 => ChainHash::START,
        _ => hash_at(tx, seq - 1).await?,
    };
    let hash = ChainHash::of(seq, event, before);
    sqlx::query::<Db>(
        "INSERT INTO audit_events (seq, id, at, org_id, team_id, target_table, target, action, event, actor,
             actor_kind, ip, detail, hash)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
    )
    .bind(seq)
    .bind(event.id.to_string())
    .bind(event.at.micros())
    .bind(event.org.map(|id| id.to_string()))
    .bind(event.team.map(|id| id.to_string()))
    .bind(&event.target_table)
    .bind(&event.target)
    .bind(&event.action)
    .bind(&event.event)
    .bind(&event.actor.name)
    .bind(event.actor.kind.as_str())
    .bind(&event.ip)
    .bind(&event.detail)
    .bind(hash.to_string())
    .execute(&mut **tx)
    .await?;
    Ok(hash)
}

/// A damaged or missing hash does not stop the gateway from being administered: the chain goes on from its start
/// value, and verification names the break.
async fn hash_at(conn: &mut Conn, seq: i64) -> Result<ChainHash, StoreError> {
    let row = sqlx::query::<Db>("SELECT hash FROM audit_events WHERE seq = $1")
        .bind(seq)
        .fetch_optional(conn)
        .await?;
    let hash = row.and_then(|row| row.try_get::<String, _>("hash").ok());
    Ok(hash.and_then(|text| text.parse().ok()).unwrap_or_else(|| {
        tracing::error!(seq, "store.audit_chain_broken");
        ChainHash::START
    }))
}

/// Which events a list shows.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this organization only.
    pub org: Option<OrgId>,
    /// Of this team only.
    pub team: Option<TeamId>,
    /// About this kind of thing.
    pub target_table: Option<String>,
    /// About this thing.
    pub target: Option<String>,
    /// With this verb.
    pub action: Option<String>,
    /// By this actor.
    pub actor: Option<String>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
}

/// A part of a list.
#[derive(Debug, Clone)]
pub struct Page {
    /// The rows that could be read, newest first.
    pub items: Vec<Entry>,
    /// Where the next page begins; none at the end.
    pub next: Option<i64>,
}

/// The events that `filter` allows, newest first, from before the place `before` on.
pub async fn list(
    conn: &mut Conn,
    filter: &Filter,
    before: Option<i64>,
    limit: u32,
) -> Result<Page, StoreError> {
    let rows = sqlx::query::<Db>(
        "SELECT seq, id, at, org_id, team_id, target_table, target, action, event, actor, actor_kind, ip, detail,
                hash
         FROM audit_events
         WHERE seq < $1 AND ($2 IS NULL OR org_id = $2) AND ($3 IS NULL OR team_id = $3)
           AND ($4 IS NULL OR target_table = $4) AND ($5 IS NULL OR target = $5)
           AND ($6 IS NULL OR action = $6) AND ($7 IS NULL OR actor = $7)
           AND ($8 IS NULL OR at >= $8) AND ($9 IS NULL OR at < $9)
         ORDER BY seq DESC LIMIT $10",
    )
    .bind(before.unwrap_or(i64::MAX))
    .bind(filter.org.map(|id| id.to_string()))
    .bind(filter.team.map(|id| id.to_string()))
    .bind(&filter.target_table)
    .bind(&filter.target)
    .bind(&filter.action)
    .bind(&filter.actor)
    .bind(filter.since.map(Timestamp::micros))
    .bind(filter.until.map(Timestamp::micros))
    .bind(i64::from(limit))
    .fetch_all(conn)
    .await?;
    let full = rows.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let next = rows.last().filter(|_| full).and_then(|row| row.try_get("seq").ok());
    Ok(Page { items: readable(&rows, parse), next })
}

/// How far the chain was found whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// All of it.
    Whole {
        /// How many events it has.
        events: i64,
        /// The newest hash: whoever wrote it down can tell later whether the past was rewritten.
        head: ChainHash,
    },
    /// Up to the row before this one.
    Broken {
        /// The first place where it does not hold.
        seq: i64,
        /// The id of the row there, as far as it can be read.
        id: Option<String>,
        /// What does not hold.
        why: &'static str,
    },
}

/// Where a verification stands between two pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    seq: i64,
    hash: ChainHash,
}

impl Progress {
    /// Nothing verified yet.
    pub const START: Self = Self { seq: 0, hash: ChainHash::START };

    /// How many events were found whole.
    pub const fn events(&self) -> i64 {
        self.seq
    }
}

/// Verifies up to `limit` events after `progress`; the verdict once the end or a break is reached.
pub async fn verify(
    conn: &mut Conn,
    progress: &mut Progress,
    limit: u32,
) -> Result<Option<Verdict>, StoreError> {
    // Read before the rows: events that are added meanwhile do not look like a missing end.
    let expected = written(conn).await?;
    let rows = sqlx::query::<Db>(
        "SELECT seq, id, at, org_id, team_id, target_table, target, action, event, actor, actor_kind, ip, detail,
                hash
         FROM audit_events WHERE seq > $1 ORDER BY seq LIMIT $2",
    )
    .bind(progress.seq)
    .bind(i64::from(limit))
    .fetch_all(&mut *conn)
    .await?;
    for row in &rows {
        let seq = progress.seq + 1;
        let broken = |why| Ok(Some(Verdict::Broken { seq, id: row.try_get("id").ok(), why }));
        if row.try_get::<i64, _>("seq").ok() != Some(seq) {
            return broken("an event is missing before it");
        }
        let Ok(entry) = parse(row) else { return broken("it cannot be read") };
        if ChainHash::of(seq, &entry.event, progress.hash) != entry.hash {
            return broken("its content is not what was written, or does not follow the event before it");
        }
        *progress = Progress { seq, hash: entry.hash };
    }
    if rows.len() >= usize::try_from(limit).unwrap_or(usize::MAX) {
        return Ok(None);
    }
    if progress.seq < expected {
        return Ok(Some(Verdict::Broken {
            seq: progress.seq + 1,
            id: None,
            why: "the newest events are missing",
        }));
    }
    // Read again: what was added meanwhile is counted by now.
    let counted = written(conn).await?;
    if progress.seq > counted {
        let why = "more events are there than were counted";
        return Ok(Some(Verdict::Broken { seq: counted + 1, id: None, why }));
    }
    Ok(Some(Verdict::Whole { events: progress.seq, head: progress.hash }))
}

/// How many events were ever added.
async fn written(conn: &mut Conn) -> Result<i64, StoreError> {
    let row = sqlx::query::<Db>("SELECT name, value FROM counters WHERE name = 'audit_events'")
        .fetch_optional(conn)
        .await?;
    let row = row.ok_or_else(|| StoreError::corrupt("counters", "audit_events", "missing"))?;
    Columns::of(&row, "counters", "name").number("value")
}

fn parse(row: &Row) -> Result<Entry, StoreError> {
    let columns = Columns::of(row, "audit_events", "seq");
    Ok(Entry {
        seq: columns.number("seq")?,
        event: Event {
            id: columns.parse("id")?,
            at: columns.time("at")?,
            org: columns.maybe_parse("org_id")?,
            team: columns.maybe_parse("team_id")?,
            target_table: columns.text("target_table")?,
            target: columns.text("target")?,
            action: columns.text("action")?,
            event: columns.text("event")?,
            actor: Actor { kind: columns.parse("actor_kind")?, name: columns.text("actor")? },
            ip: columns.maybe_text("ip")?,
            detail: columns.text("detail")?,
        },
        hash: columns.parse("hash")?,
    })
}
