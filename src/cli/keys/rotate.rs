//! `latchgate keys rotate`.

use std::time::Duration;

use clap::Args;

use super::create::reveal;
use crate::{
    cli::{
        args::Local,
        error::{Failure, note},
        output::Format,
    },
    control::service::Caller,
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
    /// The key, by id or prefix
    id: String,
    /// How long the old key still works; as configured when left out
    #[arg(long, value_name = "HOURS")]
    grace_hours: Option<u32>,
    #[command(flatten)]
    local: Local,
}

impl Rotate {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let grace = self.grace_hours.map(|hours| Duration::from_secs(u64::from(hours) * 3600));
        self.local.work(async |control, mut printer| {
            let old = control.find_key(&Caller::Operator, &self.id).await?;
            let id = old.id.to_string();
            let created = control.rotate_key(&Caller::Operator, &id, grace).await?;
            reveal(&mut printer, &created)?;
            if printer.format() == Format::Table {
                let old = control.find_key(&Caller::Operator, &id).await?;
                let until = old.grace_until.map_or_else(|| "now".to_owned(), |at| printer.time(at));
                note(format_args!("The old key, {}, works until {until}.", old.prefix));
            }
            Ok(())
        })
    }
}
