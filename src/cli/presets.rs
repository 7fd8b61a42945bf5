//! `latchgate presets`: ready-made lists of scopes.

use clap::Subcommand;

use super::{args::Target, error::Failure, output::Column};
use crate::control::api::Question;

const COLUMNS: &[Column] =
    &[Column::text("NAME", "name"), Column::text("TITLE", "title"), Column::words("SCOPES", "scopes")];

/// Look at the presets of the platform, for `keys create --preset`
#[derive(Debug, Subcommand)]
pub(crate) enum Presets {
    /// List every preset and the scopes of a key made from it
    List {
        #[command(flatten)]
        target: Target,
    },
}

impl Presets {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let Self::List { target } = self;
        target.work(async |plane, printer| {
            plane
                .print(Question::get(&["presets"]), printer.list(COLUMNS), "This profile has no presets")
                .await
        })
    }
}
