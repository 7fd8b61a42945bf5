//! `latchgate audit`: who changed what, and whether the trail is whole.

mod export;

use std::io;

use clap::{Args, Subcommand};
use serde_json::Value;

use self::export::{Export, ExportFormat};

use super::{
    args::{Place, Target},
    error::{Exit, Failure},
    output::{Column, Format},
    progress,
};
use crate::{
    control::{api::Question, service::ChainVerdict},
    domain::time::Timestamp,
};

const COLUMNS: &[Column] = &[
    Column::time("AT", "at"),
    Column::text("EVENT", "event"),
    Column::text("TARGET", "target"),
    Column::text("ACTOR", "actor"),
    Column::text("IP", "ip"),
    Column::text("DETAIL", "detail"),
];

/// Read the audit trail, and prove that nobody changed it
#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// List events, newest first
    #[command(after_help = "Examples:
  latchgate audit list --since 2027-01-31T00:00:00Z
  latchgate audit list --target-table api_keys --action revoke")]
    List {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        target: Target,
    },
    /// Print events as JSON lines or as CSV, newest first, one at a time
    #[command(
        after_help = "In CSV, text that a spreadsheet would take for a formula has an apostrophe before it.

Examples:
  latchgate audit export --until 2027-01-01T00:00:00Z | gzip > audit.jsonl.gz
  latchgate audit export --format csv --target-table api_keys > keys.csv"
    )]
    Export {
        /// How to print the events
        #[arg(long, value_enum, default_value_t)]
        format: ExportFormat,
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        place: Place,
    },
    /// Walk the hash chain from the first event to the last and name the first that does not hold
    #[command(
        after_help = "Exits with 1 when the trail is broken. Each event holds the hash of the one before it: \
keep the hash that this prints somewhere else, and later trails can be held against it."
    )]
    Verify {
        #[command(flatten)]
        target: Target,
    },
}

/// Which events.
#[derive(Debug, Args)]
pub(crate) struct Filter {
    /// Of this organization only, by slug or id
    #[arg(long)]
    org: Option<String>,
    /// About this kind of thing: api_keys, users, memberships, teams, projects, orgs, roles, groups and so on
    #[arg(long, value_name = "TABLE")]
    target_table: Option<String>,
    /// About this thing: a key's prefix, else an id
    #[arg(long)]
    target: Option<String>,
    /// With this verb: events named `api_key.revoked` have revoke, those named `api_key.imported` have create
    #[arg(long, value_name = "VERB")]
    action: Option<String>,
    /// By this actor: an e-mail address, a key's prefix, or operator
    #[arg(long)]
    actor: Option<String>,
    /// Not before this time, such as 2027-01-31T09:30:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Before this time, such as 2027-01-31T09:30:00Z
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
}

impl Filter {
    fn question(&self) -> Question {
        let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
        Question::get(&["audit"])
            .with("target_table", self.target_table.as_deref())
            .with("target", self.target.as_deref())
            .with("action", self.action.as_deref())
            .with("actor", self.actor.as_deref())
            .with("since", time(self.since))
            .with("until", time(self.until))
    }
}

impl Audit {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::List { filter, target } => target.work(async |plane, printer| {
                let plane = plane.within(filter.org.as_deref()).await?;
                plane.print(filter.question(), printer.list(COLUMNS), "No such event.").await
            }),
            Self::Export { format, filter, place } => place.work(Format::Json, async |plane, _| {
                let plane = plane.within(filter.org.as_deref()).await?;
                let mut export = Export::new(format, io::BufWriter::new(io::stdout().lock()))
                    .map_err(|error| Failure::stdout(&error))?;
                let write = |event: Value| export.write(&event).map_err(|error| Failure::stdout(&error));
                plane.each(filter.question(), write).await?;
                export.finish().map_err(|error| Failure::stdout(&error))
            }),
            Self::Verify { target } => target.on_store(async |control, mut printer| {
                let bar = progress::counting("events");
                let verdict = control.verify_audit(|events| bar.set_position(events.unsigned_abs())).await?;
                bar.finish_and_clear();
                if printer.format() == Format::Json {
                    printer.object(&verdict)?;
                }
                match verdict {
                    ChainVerdict::Whole { events, head } if printer.format() == Format::Table => {
                        printer.text(&format!("The audit trail is whole: {events} events, the last with hash {head}"))
                    }
                    ChainVerdict::Whole { .. } => Ok(()),
                    ChainVerdict::Broken { row, id, why } if printer.format() == Format::Table => {
                        let id = id.map_or_else(String::new, |id| format!(", id {id}"));
                        Err(Failure::failed(
                            format_args!("the audit trail is broken at row {row}{id}: {why}"),
                            "what stands before that row is as it was written; find out who can write to the store's \
                             file,\nand compare with a backup from before",
                        ))
                    }
                    ChainVerdict::Broken { .. } => Err(Failure::Reported(Exit::Failed)),
                }
            }),
        }
    }
}
