//! `latchgate keys rotate`.

use std::path::PathBuf;

use clap::Args;
use http::Method;

use super::create::{public_key, reveal};
use crate::{
    cli::{
        args::Target,
        error::{Failure, note},
        output::{Format, harmless},
        plane::{KEY, text},
    },
    control::api::Question,
};

/// Replace a key by a successor with the same rights; both work for a while
#[derive(Debug, Args)]
#[command(
    after_help = "Prints the successor as `keys create` does. While it has never been used, rotating again \
replaces it: a lost answer locks nobody out.

Examples:
  latchgate keys rotate a1b2c3d4
  latchgate keys rotate a1b2c3d4 --grace-hours 0   # the old key stops now"
)]
pub(crate) struct Rotate {
    /// The key, by id or prefix; with --server also `self`: the one that is the token
    id: String,
    /// How long the old key still works; as configured when left out
    #[arg(long, value_name = "HOURS")]
    grace_hours: Option<u32>,
    /// For a key that signs with a pair: a file with the public half of the new one, as PEM
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
    #[command(flatten)]
    target: Target,
}

impl Rotate {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let pem = public_key(self.public_key)?;
        self.target.work(async |plane, mut printer| {
            // A key that renews itself need not know its own name.
            let itself = self.id == ITSELF && !plane.is_operator();
            let id = if itself { ITSELF.to_owned() } else { plane.id(KEY, &self.id).await? };
            let question = Question::to(Method::POST, &["api-keys", &id, "rotate"]);
            let question = question.with("grace_hours", self.grace_hours).with("public_key", pem);
            let successor = plane.ask(question).await?;
            reveal(
                &mut printer,
                &successor,
                "rotate again: until the successor is used, another one takes its place",
            )?;
            if printer.format() == Format::Table {
                let old = plane.find(KEY, text(&successor, "rotated_from")).await?;
                let until = old["grace_until"].as_str().and_then(|at| at.parse().ok());
                let until = until.map_or_else(|| "now".to_owned(), |at| printer.time(at));
                note(format_args!("The old key, {}, works until {until}.", harmless(text(&old, "prefix"))));
            }
            Ok(())
        })
    }
}

const ITSELF: &str = "self";
