//! What a command prints: tables for people, JSON for scripts.
//!
//! Both come from the same serialized object, so they cannot disagree: a [`Column`] names a field
//! of the JSON and how people read it. JSON is what the admin API answers: `{"items": [...]}` for
//! lists, single objects plain.

mod cell;
mod table;

use std::{
    collections::HashMap,
    io::{self, Write},
};

use serde::Serialize;
use serde_json::Value;

pub(crate) use self::cell::harmless;
use self::table::Rows;
use super::error::Failure;
use crate::domain::time::Timestamp;

/// The form of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Format {
    /// A table for people, coloured on a terminal (not with `NO_COLOR` set)
    #[default]
    Table,
    /// JSON for scripts; a list is {"items": [...]}
    Json,
}

/// One column of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    title: &'static str,
    field: &'static str,
    kind: Kind,
}

/// How people read a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// As it is.
    Text,
    /// A time: RFC 3339 to the second, and how far from now.
    Time,
    /// A word of a life cycle, coloured.
    Status,
    /// Several words; only the first few in a list.
    Words,
}

impl Column {
    pub(crate) const fn text(title: &'static str, field: &'static str) -> Self {
        Self { title, field, kind: Kind::Text }
    }

    pub(crate) const fn time(title: &'static str, field: &'static str) -> Self {
        Self { title, field, kind: Kind::Time }
    }

    pub(crate) const fn status(title: &'static str, field: &'static str) -> Self {
        Self { title, field, kind: Kind::Status }
    }

    pub(crate) const fn words(title: &'static str, field: &'static str) -> Self {
        Self { title, field, kind: Kind::Words }
    }
}

/// Where answers go.
pub(crate) struct Printer {
    out: Box<dyn Write>,
    format: Format,
    now: Timestamp,
}

impl Printer {
    /// Prints to stdout; ages are told as seen at `now`.
    pub(crate) fn stdout(format: Format, now: Timestamp) -> Self {
        let out: Box<dyn Write> = match format {
            // Strips the colours where stdout is no terminal or NO_COLOR is set.
            Format::Table => Box::new(io::BufWriter::new(anstream::stdout().lock())),
            Format::Json => Box::new(io::BufWriter::new(io::stdout().lock())),
        };
        Self { out, format, now }
    }

    /// The form asked for.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// A time as people read it.
    pub(crate) fn time(&self, at: Timestamp) -> String {
        cell::time(at, self.now)
    }

    /// One object: every field of it on its own line for people.
    pub(crate) fn object(&mut self, object: &impl Serialize) -> Result<(), Failure> {
        let text = match self.format {
            Format::Json => serde_json::to_string_pretty(object),
            Format::Table => serde_json::to_value(object).map(|object| table::fields(&object, self.now)),
        };
        self.text(&text.map_err(|error| unprintable(&error))?)
    }

    /// Many objects, one after another.
    pub(crate) fn list(self, columns: &'static [Column]) -> List {
        List { rows: Rows::new(columns), printer: self, names: HashMap::new(), count: 0 }
    }

    /// Text as it is, a line feed after it.
    pub(crate) fn text(&mut self, text: &str) -> Result<(), Failure> {
        writeln!(self.out, "{}", text.trim_end())
            .and_then(|()| self.out.flush())
            .map_err(|error| Failure::stdout(&error))
    }
}

/// A list being printed. JSON goes out item by item; a table has to wait for its widest row.
pub(crate) struct List {
    printer: Printer,
    rows: Rows,
    /// What a table shows in place of an id.
    names: HashMap<String, String>,
    count: u64,
}

impl List {
    /// The form asked for.
    pub(crate) fn format(&self) -> Format {
        self.printer.format
    }

    /// The same list, whose table shows these names in place of the ids of organizations and teams.
    pub(crate) fn naming(self, names: HashMap<String, String>) -> Self {
        Self { names, ..self }
    }

    /// The next object.
    pub(crate) fn push(&mut self, item: &impl Serialize) -> Result<(), Failure> {
        self.count += 1;
        if self.printer.format == Format::Table {
            let mut item = serde_json::to_value(item).map_err(|error| unprintable(&error))?;
            name(&mut item, &self.names);
            self.rows.push(&item, self.printer.now);
            return Ok(());
        }
        let before = if self.count == 1 { "{\"items\": [\n" } else { ",\n" };
        let text = serde_json::to_string(item).map_err(|error| unprintable(&error))?;
        write!(self.printer.out, "{before}{text}").map_err(|error| Failure::stdout(&error))
    }

    /// The end; `none` is what people read when there was nothing.
    pub(crate) fn finish(mut self, none: &str) -> Result<(), Failure> {
        match (self.printer.format, self.count) {
            (Format::Json, 0) => self.printer.text("{\"items\": []}"),
            (Format::Json, _) => self.printer.text("\n]}"),
            (Format::Table, 0) => {
                // To stderr: a script that counts lines counts none.
                super::error::note(none);
                Ok(())
            }
            (Format::Table, _) => {
                let text = self.rows.render();
                self.printer.text(&text)
            }
        }
    }
}

/// Puts names in place of the ids of organizations and teams, also in the memberships of a person.
fn name(object: &mut Value, names: &HashMap<String, String>) {
    let put = |id: &mut Value| {
        if let Some(name) = id.as_str().and_then(|id| names.get(id)) {
            *id = Value::from(name.as_str());
        }
    };
    for (field, value) in object.as_object_mut().into_iter().flatten() {
        if let Value::Array(items) = value {
            items.iter_mut().filter_map(|item| item.get_mut("team_id")).for_each(put);
        } else if field == "team_id" || field == "org_id" {
            put(value);
        }
    }
}

fn unprintable(error: &serde_json::Error) -> Failure {
    Failure::failed(
        format_args!("this answer cannot be written as JSON: {error}"),
        "report it as a defect, with the command you ran",
    )
}

/// Many objects as a table within other text; without times, whose age would need a clock.
pub(crate) fn table(columns: &'static [Column], items: &[impl Serialize]) -> Result<String, Failure> {
    let mut rows = Rows::new(columns);
    for item in items {
        rows.push(&serde_json::to_value(item).map_err(|error| unprintable(&error))?, Timestamp::default());
    }
    Ok(rows.render())
}

/// Text with colours, which only a terminal gets.
pub(crate) fn styled(text: &str) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|error| Failure::stdout(&error))
}

/// Bytes made elsewhere, to stdout as they are.
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| Failure::stdout(&error))
}
