//! Rows and columns. Layout is done on plain text and painted afterwards, since escape sequences
//! would count as width.

use std::fmt::Write;

use anstyle::Style;
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

use super::{
    Column, Kind,
    cell::{self, Cell},
};
use crate::domain::time::Timestamp;

/// The rows of a table that is still growing.
pub(super) struct Rows {
    columns: &'static [Column],
    rows: Vec<Vec<Cell>>,
}

impl Rows {
    pub(super) fn new(columns: &'static [Column]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    pub(super) fn push(&mut self, item: &Value, now: Timestamp) {
        let cells = self.columns.iter().map(|column| Cell::short(&item[column.field], column.kind, now));
        self.rows.push(cells.collect());
    }

    pub(super) fn render(self) -> String {
        let bold = Style::new().bold();
        let titles = self.columns.iter().map(|column| Cell { text: column.title.to_owned(), style: bold });
        let mut rows = vec![titles.collect()];
        rows.extend(self.rows);
        layout(&rows)
    }
}

/// One object: a line per field, in the order of the object.
pub(super) fn fields(object: &Value, now: Timestamp) -> String {
    let bold = Style::new().bold();
    let rows: Vec<_> = object
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| {
            vec![Cell { text: cell::harmless(name), style: bold }, Cell::full(value, kind_of(name), now)]
        })
        .collect();
    layout(&rows)
}

/// The naming rules of the API: what ends in `_at` or `_until` is a time.
fn kind_of(field: &str) -> Kind {
    match field {
        "status" => Kind::Status,
        "at" => Kind::Time,
        _ if field.ends_with("_at") || field.ends_with("_until") => Kind::Time,
        _ => Kind::Text,
    }
}

fn layout(rows: &[Vec<Cell>]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    for row in rows {
        table.add_row(row.iter().map(|cell| cell.text.as_str()));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let painted = table.lines().zip(rows).map(|(line, row)| paint(line.trim_end(), row));
    painted.collect::<Vec<_>>().join("\n")
}

/// Only spaces stand between two cells and no cell begins with one, so each is found where it is.
fn paint(line: &str, row: &[Cell]) -> String {
    let mut painted = String::with_capacity(line.len());
    let mut rest = line;
    for cell in row {
        let Some((before, after)) = rest.split_once(cell.text.as_str()) else { continue };
        let style = cell.style;
        painted.push_str(before);
        let _ = write!(painted, "{style}{}{style:#}", cell.text);
        rest = after;
    }
    painted.push_str(rest);
    painted
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const COLUMNS: &[Column] = &[
        Column::text("NAME", "name"),
        Column::status("STATUS", "status"),
        Column::words("SCOPES", "scopes"),
    ];

    #[test]
    fn columns_line_up_and_colours_have_no_width() {
        let mut rows = Rows::new(COLUMNS);
        let now = Timestamp::default();
        rows.push(&json!({"name": "ci", "status": "active", "scopes": ["a", "b"]}), now);
        rows.push(&json!({"name": "日本 active", "status": "revoked"}), now);
        let text = anstream::adapter::strip_str(&rows.render()).to_string();
        let expected = "NAME         STATUS   SCOPES\n\
                        ci           active   a b\n\
                        日本 active  revoked  -";
        assert_eq!(text, expected);
    }

    #[test]
    fn the_status_is_painted_not_the_name_that_reads_like_it() {
        let mut rows = Rows::new(COLUMNS);
        rows.push(&json!({"name": "revoked", "status": "revoked"}), Timestamp::default());
        let text = rows.render();
        assert!(text.contains("\nrevoked  \u{1b}[31mrevoked\u{1b}[0m"), "{text:?}");
    }

    #[test]
    fn an_object_is_one_field_a_line() {
        let object = json!({"name": "ci", "revoked_at": null});
        let text = anstream::adapter::strip_str(&fields(&object, Timestamp::default())).to_string();
        assert_eq!(text, "name        ci\nrevoked_at  -");
    }
}
