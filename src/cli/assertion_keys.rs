//! `latchgate assertion-keys`: the keys by which upstreams verify assertions.

use clap::Subcommand;

use super::{args::Target, error::Failure, output::Column};
use crate::control::service::Caller;

const COLUMNS: &[Column] = &[
    Column::text("ID", "id"),
    Column::status("STATUS", "status"),
    Column::time("CREATED", "created_at"),
    Column::time("SIGNS FROM", "signs_from"),
];

/// Look at the keys that sign assertions (identity.assertion), and replace them
#[derive(Debug, Subcommand)]
pub(crate) enum AssertionKeys {
    /// List every key that backends may meet, the first to sign first
    List {
        #[command(flatten)]
        target: Target,
    },
    /// Make the next key now, before its time
    ///
    /// It signs in an hour, when everybody who keeps a copy of the set has heard of it. The gateway does the same by
    /// itself every 30 days.
    Rotate {
        /// A key has leaked: sign with the new one now, and withdraw all others. Running gateways follow within 5 seconds
        #[arg(long)]
        at_once: bool,
        #[command(flatten)]
        target: Target,
    },
}

impl AssertionKeys {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::List { target } => target.on_store(async |control, printer| {
                let mut list = printer.list(COLUMNS);
                for key in control.list_assertion_keys(&Caller::Operator).await? {
                    list.push(&key)?;
                }
                list.finish("There are none: the first is made when [identity] assertion = true is served")
            }),
            Self::Rotate { at_once, target } => target.on_store(async |control, mut printer| {
                let key = control.rotate_assertion_keys(&Caller::Operator, at_once).await?;
                printer.object(&key)
            }),
        }
    }
}
