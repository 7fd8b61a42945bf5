//! The trail for other programs: JSON lines, or CSV that no spreadsheet takes for a program.

use std::io::{self, Write};

use serde_json::Value;

/// How events are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(in crate::cli) enum ExportFormat {
    /// One object to a line
    #[default]
    Jsonl,
    /// A table with a heading
    Csv,
}

/// Events on their way out.
pub(super) enum Export<W: Write> {
    Jsonl(W),
    Csv(Box<csv::Writer<W>>),
}

const HEADING: [&str; 11] =
    ["id", "at", "target_table", "target", "action", "event", "actor", "actor_kind", "ip", "detail", "hash"];

impl<W: Write> Export<W> {
    pub(super) fn new(format: ExportFormat, out: W) -> io::Result<Self> {
        Ok(match format {
            ExportFormat::Jsonl => Self::Jsonl(out),
            ExportFormat::Csv => {
                let mut table = csv::Writer::from_writer(out);
                table.write_record(HEADING)?;
                Self::Csv(Box::new(table))
            }
        })
    }

    pub(super) fn write(&mut self, event: &Value) -> io::Result<()> {
        match self {
            Self::Jsonl(out) => writeln!(out, "{event}"),
            Self::Csv(table) => Ok(table.write_record(HEADING.map(|field| inert(cell(&event[field]))))?),
        }
    }

    pub(super) fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Jsonl(out) => out.flush(),
            Self::Csv(table) => table.flush(),
        }
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A cell that begins like a formula is one to a spreadsheet, quoted or not; an apostrophe makes it text.
fn inert(cell: String) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) { format!("'{cell}") } else { cell }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_begins_like_a_formula() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"] {
            assert_eq!(inert(formula.to_owned()), format!("'{formula}"));
        }
        for text in ["", "a=1", "api_keys", "{\"name\":\"=1\"}", " =1"] {
            assert_eq!(inert(text.to_owned()), text);
        }
    }
}
