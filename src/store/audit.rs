//! The audit trail. Rows are only ever added; triggers refuse anything else.

use sqlx::Row as _;

use super::{
    Tx,
    changes::reserve,
    db::{Columns, Conn, Db, Row, only, portions, readable},
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

/// Adds events to the end of the chain in this order, as part of `tx`.
pub async fn append(tx: &mut Tx, events: &[Event]) -> Result<(), StoreError> {
    let Ok(count @ 1..) = i64::try_from(events.len()) else { return Ok(()) };
    let mut seq = reserve(tx, "audit_events", count).await? - count;
    let mut before = if seq == 0 { ChainHash::START } else { hash_at(tx, seq).await? };
    for some in portions(events) {
        let mut insert = sqlx::QueryBuilder::<Db>::new(
            "INSERT INTO audit_events (seq, id, at, org_id, team_id, target_table, target, action, event, actor,
                 actor_kind, ip, detail, hash) ",
        );
        insert.push_values(some, |mut row, event| {
            seq += 1;
            before = ChainHash::of(seq, event, before);
            row.push_bind(seq)
                .push_bind(event.id.to_string())
                .push_bind(event.at.micros())
                .push_bind(event.org.map(|id| id.to_string()))
                .push_bind(event.team.map(|id| id.to_string()))
                .push_bind(&event.target_table)
                .push_bind(&event.target)
                .push_bind(&event.action)
                .push_bind(&event.event)
                .push_bind(&event.actor.name)
                .push_bind(event.actor.kind.as_str())
                .push_bind(&event.ip)
                .push_bind(&event.detail)
                .push_bind(before.to_string());
        });
        insert.build().execute(&mut **tx).await?;
    }
    Ok(())
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
    let mut select = sqlx::QueryBuilder::<Db>::new(
        "SELECT seq, id, at, org_id, team_id, target_table, target, action, event, actor, actor_kind, ip, detail,
                hash
         FROM audit_events WHERE seq < ",
    );
    select.push_bind(before.unwrap_or(i64::MAX));
    // Only what is asked for: a condition that may be none keeps the database from its indexes.
    only(&mut select, "org_id = ", filter.org.map(|id| id.to_string()));
    only(&mut select, "team_id = ", filter.team.map(|id| id.to_string()));
    only(&mut select, "target_table = ", filter.target_table.as_deref());
    only(&mut select, "target = ", filter.target.as_deref());
    only(&mut select, "action = ", filter.action.as_deref());
    only(&mut select, "actor = ", filter.actor.as_deref());
    only(&mut select, "at >= ", filter.since.map(Timestamp::micros));
    only(&mut select, "at < ", filter.until.map(Timestamp::micros));
    select.push(" ORDER BY seq DESC LIMIT ").push_bind(i64::from(limit));
    let rows = select.build().fetch_all(conn).await?;
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
