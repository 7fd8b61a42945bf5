//! `latchgate keys import`: keys from elsewhere, with their hashes.

use std::{fs, path::PathBuf};

use clap::Args;
use indicatif::ProgressBar;
use serde::Serialize;

use super::records::{Form, Line, Records};
use crate::{
    cli::{
        args::Target,
        error::{Exit, Failure, note},
        output::{Format, harmless},
        progress,
    },
    control::service::{Caller, Control, IMPORT_BATCH, Imported},
};

/// Import keys with their hashes from a CSV or JSON lines file
#[derive(Debug, Args)]
#[command(
    after_help = "The format follows from the extension: .csv with a header line, or .jsonl. Columns are
  name org team user prefix hash scopes expires_at environment allowed_ips rate_limit_per_minute
of which name and hash are needed. hash is $2a$..., $2b$..., $2y$... or sha256:<hex>; lists inside a CSV cell \
are separated by spaces or `;`. Keys of another shape than the profile's need keys.accept_foreign = true.

A record that is refused is reported with its line and does not hold up the others; the exit code is 1 then. \
Importing a file again is safe: what is there already is refused.

Example:
  latchgate keys import old-keys.csv"
)]
pub(crate) struct Import {
    /// The file
    file: PathBuf,
    #[command(flatten)]
    target: Target,
}

/// What became of the file.
#[derive(Debug, Default, Serialize)]
struct Summary {
    imported: u64,
    failed: u64,
    /// The first of them.
    errors: Vec<Refusal>,
}

#[derive(Debug, Serialize)]
struct Refusal {
    line: u64,
    message: String,
}

/// What one transaction takes, and what the file alone shows to be wrong in between.
#[derive(Default)]
struct Batch {
    /// Each line with its problem, if it has one already.
    lines: Vec<(u64, Option<String>)>,
    /// The records of the lines without a problem.
    records: Vec<Imported>,
}

impl Extend<Line> for Batch {
    fn extend<I: IntoIterator<Item = Line>>(&mut self, lines: I) {
        for Line { number, record } in lines {
            let problem = record.map(|record| self.records.push(record)).err();
            self.lines.push((number, problem));
        }
    }
}

/// More errors than anybody reads; the others are counted.
const ERRORS_TOLD: usize = 1000;

impl Import {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let path = &self.file;
        let form = Form::of(path).ok_or_else(|| {
            Failure::usage(
                format_args!("{}: the extension tells no format", path.display()),
                "call the file .csv or .jsonl",
            )
        })?;
        let mut records = Records::open(path, form).map_err(|problem| {
            Failure::usage(
                format_args!("{}: {problem}", path.display()),
                "`latchgate keys import --help` shows the columns",
            )
        })?;
        let bar = progress::bytes(fs::metadata(path).map_or(0, |file| file.len()));
        self.target.on_store(async |control, mut printer| {
            let mut summary = Summary::default();
            let outcome = self.import(&control, &mut records, &mut summary, &bar).await;
            bar.finish_and_clear();
            let Summary { imported, failed, .. } = summary;
            match printer.format() {
                Format::Json => printer.object(&summary)?,
                Format::Table => printer.text(&format!("{imported} imported, {failed} refused"))?,
            }
            outcome?;
            match (failed, printer.format()) {
                (0, _) => Ok(()),
                (_, Format::Json) => Err(Failure::Reported(Exit::Failed)),
                (_, Format::Table) => Err(Failure::failed(
                    if failed == 1 {
                        "1 record was refused".to_owned()
                    } else {
                        format!("{failed} records were refused")
                    },
                    "correct these lines and import the file again; what is there already is refused then",
                )),
            }
        })
    }

    async fn import(
        &self,
        control: &Control,
        records: &mut Records<fs::File>,
        summary: &mut Summary,
        bar: &ProgressBar,
    ) -> Result<(), Failure> {
        let mut batch = Batch::default();
        loop {
            let next = records.next().transpose().map_err(|error| {
                Failure::failed(
                    format_args!("{} cannot be read further: {error}", self.file.display()),
                    "what stands before that place was imported; correct the file and import it again",
                )
            })?;
            let ended = next.is_none();
            batch.extend(next);
            if batch.lines.len() == IMPORT_BATCH || ended {
                let Batch { lines, records: good } = std::mem::take(&mut batch);
                let mut answers = control.import_keys(&Caller::Operator, &good).await?.into_iter();
                for (number, problem) in lines {
                    let problem = problem.or_else(|| answers.next()?.err().map(|error| error.to_string()));
                    match problem {
                        None => summary.imported += 1,
                        Some(problem) => self.refuse(summary, bar, number, problem),
                    }
                }
                bar.set_message(format!("{} imported", summary.imported));
            }
            bar.set_position(records.bytes_read());
            if ended {
                return Ok(());
            }
        }
    }

    fn refuse(&self, summary: &mut Summary, bar: &ProgressBar, line: u64, message: String) {
        summary.failed += 1;
        if summary.errors.len() < ERRORS_TOLD {
            // The message may repeat what stands in the file, which somebody else has written.
            let shown = harmless(&message);
            bar.suspend(|| note(format_args!("{}:{line}: {shown}", self.file.display())));
            summary.errors.push(Refusal { line, message });
        } else if summary.failed == ERRORS_TOLD as u64 + 1 {
            bar.suspend(|| note("... further ones are counted, not shown"));
        }
    }
}
