//! Uses that are written down and not yet counted for their keys.
//!
//! To count a use is to change the key's row, the row of a minute and their indexes. With thousands of keys in use that
//! is more work in a second than answering their requests. To write it down as text is next to none, and as safe from a
//! crash. It is counted later, a share of the keys at a time, many seconds' uses of a key at once. Whoever reads how
//! often a key was used [adds what waits](of).

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt::Write as _,
};

use sqlx::Row as _;

use super::{MINUTE, Used, add};
use crate::{
    domain::{id::KeyId, time::Timestamp},
    store::{
        Tx,
        db::{Conn, Db, Row, portions},
        error::StoreError,
    },
};

/// In how many shares keys are counted, so that no transaction is long.
pub const SHARES: u8 = 64;

/// How many shares are written by one statement.
const SHARES_AT_ONCE: usize = 4;

/// The share that counts this key's uses. Ids end in random bits.
fn share_of(key: KeyId) -> i64 {
    let [.., last] = key.uuid().into_bytes();
    i64::from(last % SHARES)
}

/// Writes uses down, to be counted later.
pub async fn put(tx: &mut Tx, uses: &[Used]) -> Result<(), StoreError> {
    let mut uses: Vec<&Used> = uses.iter().collect();
    uses.sort_unstable_by_key(|used| share_of(used.key));
    let shares: Vec<_> = uses.chunk_by(|one, next| share_of(one.key) == share_of(next.key)).collect();
    // A few at a time: their text is in memory, and nobody else has this core while it is made.
    for some in shares.chunks(SHARES_AT_ONCE).flat_map(portions) {
        let mut insert = sqlx::QueryBuilder::<Db>::new("INSERT INTO uses_waiting (share, uses) ");
        insert.push_values(some, |mut row, uses| {
            let share = uses.first().map_or(0, |used| share_of(used.key));
            row.push_bind(share).push_bind(written(uses));
            tx.give_way();
        });
        insert.build().execute(&mut **tx).await?;
    }
    Ok(())
}

/// Counts what waits in a share.
pub async fn count(tx: &mut Tx, share: u8) -> Result<(), StoreError> {
    let share = i64::from(share);
    let rows = sqlx::query::<Db>("SELECT share, uses FROM uses_waiting WHERE share = $1")
        .bind(share)
        .fetch_all(&mut **tx)
        .await?;
    if rows.is_empty() {
        return Ok(());
    }
    let mut sums = BTreeMap::new();
    for text in rows.iter().map(lines) {
        tx.give_way();
        for line in text.lines() {
            let Some(used) = read_line(line) else {
                let error = StoreError::corrupt("uses_waiting", share.to_string(), "uses: not a use");
                tracing::error!(%error, "store.row_damaged");
                continue;
            };
            let place = (used.key, used.last.micros().div_euclid(MINUTE), used.ip);
            let sum = sums.entry(place).or_insert(Used { count: 0, ..used });
            sum.count = sum.count.saturating_add(used.count);
            sum.last = sum.last.max(used.last);
        }
    }
    add(tx, &sums.into_values().collect::<Vec<_>>()).await?;
    sqlx::query::<Db>("DELETE FROM uses_waiting WHERE share = $1").bind(share).execute(&mut **tx).await?;
    Ok(())
}

/// Counts whatever waits.
pub async fn count_all(tx: &mut Tx) -> Result<(), StoreError> {
    let shares = sqlx::query::<Db>("SELECT DISTINCT share FROM uses_waiting").fetch_all(&mut **tx).await?;
    for row in shares {
        if let Ok(share) = u8::try_from(row.try_get::<i64, _>("share")?) {
            count(tx, share).await?;
        }
    }
    Ok(())
}

/// What waits of these keys. To be asked in the transaction in which what is counted is read, or a use may be in both or
/// in neither.
pub async fn of(conn: &mut Conn, keys: &[KeyId]) -> Result<HashMap<KeyId, Vec<Used>>, StoreError> {
    let wanted: HashSet<KeyId> = keys.iter().copied().collect();
    let shares: HashSet<i64> = keys.iter().copied().map(share_of).collect();
    let mut waiting = HashMap::<KeyId, Vec<Used>>::new();
    for some in portions(&shares.into_iter().collect::<Vec<_>>()) {
        let mut select =
            sqlx::QueryBuilder::<Db>::new("SELECT share, uses FROM uses_waiting WHERE share IN (");
        let mut places = select.separated(", ");
        for share in some {
            places.push_bind(share);
        }
        select.push(")");
        for text in select.build().fetch_all(&mut *conn).await?.iter().map(lines) {
            let uses = text.lines().filter(|line| key_of(line).is_some_and(|key| wanted.contains(&key)));
            for used in uses.filter_map(read_line) {
                waiting.entry(used.key).or_default().push(used);
            }
        }
    }
    Ok(waiting)
}

/// One that cannot be read is one damaged line.
fn lines(row: &Row) -> String {
    row.try_get("uses").unwrap_or_else(|_| "unreadable".to_owned())
}

/// A line for each.
fn written(uses: &[&Used]) -> String {
    let mut lines = String::with_capacity(uses.len() * USUAL_LINE);
    // Most come from where the one before came from.
    let (mut from, mut source) = (None, "-".to_owned());
    for Used { key, ip, count, last } in uses {
        if *ip != from {
            from = *ip;
            source = ip.map_or_else(|| "-".to_owned(), |ip| ip.to_string());
        }
        lines.push_str(key.uuid().hyphenated().encode_lower(&mut [0; 36]));
        // Writing to a String does not fail.
        let _ = writeln!(lines, " {count} {} {source}", last.micros());
    }
    lines
}

/// With an address of IPv4, in characters.
const USUAL_LINE: usize = 72;

fn key_of(line: &str) -> Option<KeyId> {
    line.split(' ').next()?.parse().ok()
}

fn read_line(line: &str) -> Option<Used> {
    let mut words = line.split(' ');
    let (key, count) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let last = Timestamp::from_micros(words.next()?.parse().ok()?);
    let ip = match words.next()? {
        "-" => None,
        text => Some(text.parse().ok()?),
    };
    Some(Used { key, ip, count, last })
}
