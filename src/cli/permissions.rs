//! `latchgate permissions`: the words that roles and keys are made of.

use clap::Subcommand;

use super::{args::Target, error::Failure, output::Column};
use crate::control::api::Question;

const COLUMNS: &[Column] =
    &[Column::text("NAME", "name"), Column::text("ALLOWS", "text"), Column::words("IMPLIES", "implies")];

/// Look at the permissions of the platform
#[derive(Debug, Subcommand)]
pub(crate) enum Permissions {
    /// List every permission, what it allows and what comes with it
    List {
        #[command(flatten)]
        target: Target,
    },
}

impl Permissions {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let Self::List { target } = self;
        target.work(async |plane, printer| {
            plane.print(Question::get(&["permissions"]), printer.list(COLUMNS), "No permission").await
        })
    }
}
