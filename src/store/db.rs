//! Which database the SQL text goes to. The rest of the store binds and reads only text and 64-bit integers, which
//! every driver has, so that another database is a matter of these lines.

use std::{
    fmt::Display,
    ops::{Deref, DerefMut},
    str::FromStr,
};

use sqlx::Row as _;

use super::error::StoreError;
use crate::domain::time::Timestamp;

pub(super) type Db = sqlx::Sqlite;
pub(super) type Pool = sqlx::SqlitePool;
pub(super) type Row = sqlx::sqlite::SqliteRow;

/// A connection: what the functions of this folder run on, inside or outside a transaction.
pub type Conn = sqlx::SqliteConnection;

/// A connection for reading, given back to its pool when dropped.
#[derive(Debug)]
pub struct Reader(pub(super) sqlx::pool::PoolConnection<Db>);

impl Deref for Reader {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.0
    }
}

impl DerefMut for Reader {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.0
    }
}

/// A row on its way to a checked type: every failure names the table, the row and the column.
pub(super) struct Columns<'r> {
    row: &'r Row,
    table: &'static str,
    id: String,
}

impl<'r> Columns<'r> {
    /// Reads `row` of `table`, whose id is in the column `key`.
    pub(super) fn of(row: &'r Row, table: &'static str, key: &str) -> Self {
        let id = row
            .try_get::<String, _>(key)
            .or_else(|_| row.try_get::<i64, _>(key).map(|number| number.to_string()))
            .unwrap_or_else(|_| "unreadable".into());
        Self { row, table, id }
    }

    /// The error for something wrong with `column`.
    pub(super) fn bad(&self, column: &str, what: impl Display) -> StoreError {
        StoreError::corrupt(self.table, &self.id, format!("{column}: {what}"))
    }

    pub(super) fn text(&self, column: &str) -> Result<String, StoreError> {
        self.row.try_get(column).map_err(|error| self.unreadable(column, &error))
    }

    pub(super) fn maybe_text(&self, column: &str) -> Result<Option<String>, StoreError> {
        self.row.try_get(column).map_err(|error| self.unreadable(column, &error))
    }

    pub(super) fn number(&self, column: &str) -> Result<i64, StoreError> {
        self.row.try_get(column).map_err(|error| self.unreadable(column, &error))
    }

    pub(super) fn maybe_number(&self, column: &str) -> Result<Option<i64>, StoreError> {
        self.row.try_get(column).map_err(|error| self.unreadable(column, &error))
    }

    pub(super) fn count(&self, column: &str) -> Result<u64, StoreError> {
        u64::try_from(self.number(column)?).map_err(|_| self.bad(column, "negative"))
    }

    pub(super) fn time(&self, column: &str) -> Result<Timestamp, StoreError> {
        let micros = self.number(column)?;
        self.plausible(column, micros)
    }

    pub(super) fn maybe_time(&self, column: &str) -> Result<Option<Timestamp>, StoreError> {
        self.maybe_number(column)?.map(|micros| self.plausible(column, micros)).transpose()
    }

    pub(super) fn parse<T: FromStr<Err: Display>>(&self, column: &str) -> Result<T, StoreError> {
        self.text(column)?.parse().map_err(|error| self.bad(column, error))
    }

    pub(super) fn maybe_parse<T: FromStr<Err: Display>>(
        &self,
        column: &str,
    ) -> Result<Option<T>, StoreError> {
        let text = self.maybe_text(column)?;
        text.map(|text| text.parse().map_err(|error| self.bad(column, error))).transpose()
    }

    /// A JSON list of texts.
    pub(super) fn list(&self, column: &str) -> Result<Vec<String>, StoreError> {
        serde_json::from_str(&self.text(column)?).map_err(|_| self.bad(column, "not a JSON list of texts"))
    }

    /// A JSON list of texts, or nothing.
    pub(super) fn maybe_list(&self, column: &str) -> Result<Option<Vec<String>>, StoreError> {
        let text = self.maybe_text(column)?;
        text.map(|text| serde_json::from_str(&text).map_err(|_| self.bad(column, "not a JSON list of texts")))
            .transpose()
    }

    fn plausible(&self, column: &str, micros: i64) -> Result<Timestamp, StoreError> {
        if micros < 0 {
            return Err(self.bad(column, "a time before 1970"));
        }
        Ok(Timestamp::from_micros(micros))
    }

    /// The driver's message may quote the value; only the kind of failure is kept.
    fn unreadable(&self, column: &str, error: &sqlx::Error) -> StoreError {
        let what = match error {
            sqlx::Error::ColumnNotFound(_) => "no such column",
            _ => "not of the expected type, or not UTF-8",
        };
        self.bad(column, what)
    }
}

/// Keeps the rows that parse; each of the others is one error line, and its neighbours are served.
pub(super) fn readable<T>(rows: &[Row], parse: impl Fn(&Row) -> Result<T, StoreError>) -> Vec<T> {
    let parsed = rows.iter().filter_map(|row| match parse(row) {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::error!(%error, "store.row_damaged");
            None
        }
    });
    parsed.collect()
}

/// One more condition of a query, where there is a value for it.
pub(super) fn only<'q, T>(select: &mut sqlx::QueryBuilder<Db>, condition: &'static str, value: Option<T>)
where
    T: 'q + sqlx::Encode<'q, Db> + sqlx::Type<Db>,
{
    if let Some(value) = value {
        select.push(" AND ").push(condition).push_bind(value);
    }
}

/// All of `rows`, in portions for one statement each. A connection keeps what it has prepared, and a statement holds room for
/// every value in it: one for each number of rows there ever were would be hundreds of megabytes.
pub(super) fn portions<T>(rows: &[T]) -> impl Iterator<Item = &[T]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let size = PORTIONS.into_iter().find(|size| *size <= rest.len())?;
        let (portion, behind) = rest.split_at(size);
        rest = behind;
        Some(portion)
    })
}

/// How many rows. More in one statement would save next to nothing, and each value has a place for as long as the statement
/// is kept.
const PORTIONS: [usize; 4] = [64, 16, 4, 1];

/// A list as the database keeps it.
pub(super) fn json(list: &[String]) -> String {
    serde_json::Value::from(list.to_vec()).to_string()
}

/// Bytes as the database keeps them.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Bytes from what the database keeps; none for what [`hex`] did not write.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}
