//! `latchgate keys`: the keys themselves.

mod create;
mod import;
mod records;
mod rotate;
mod show;
mod update;

use clap::Subcommand;

use self::{create::Create, import::Import, rotate::Rotate, update::Update};
use super::{
    args::Local,
    error::Failure,
    output::{Format, harmless},
};
use crate::control::service::Caller;

/// Manage API keys
#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    Create(Box<Create>),
    /// List keys, newest first; revoked and expired ones too
    #[command(after_help = "Examples:
  latchgate keys list --status active
  latchgate keys list --org acme --output json | jq -r '.items[].prefix'")]
    List {
        #[command(flatten)]
        filter: show::Filter,
        #[command(flatten)]
        local: Local,
    },
    /// Show one key
    Show {
        /// The key, by id or prefix
        id: String,
        #[command(flatten)]
        local: Local,
    },
    /// Give a key another name
    Rename {
        /// The key, by id or prefix
        id: String,
        /// Its new name
        name: String,
        #[command(flatten)]
        local: Local,
    },
    Update(Update),
    Rotate(Rotate),
    /// Revoke a key, and the keys that it minted: at once and for ever
    #[command(after_help = "A running gateway on the same store refuses the key within a second.

Example:
  latchgate keys revoke a1b2c3d4")]
    Revoke {
        /// The key, by id or prefix
        id: String,
        #[command(flatten)]
        local: Local,
    },
    Import(Import),
}

impl Keys {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create(command) => command.run(),
            Self::List { filter, local } => show::list(filter, &local),
            Self::Show { id, local } => local.work(async |control, mut printer| {
                printer.object(&control.find_key(&Caller::Operator, &id).await?)
            }),
            Self::Rename { id, name, local } => local.work(async |control, mut printer| {
                printer.object(&control.rename_key(&Caller::Operator, &id, &name).await?)
            }),
            Self::Update(command) => command.run(),
            Self::Rotate(command) => command.run(),
            Self::Revoke { id, local } => local.work(async |control, mut printer| {
                let revoked = control.revoke_key(&Caller::Operator, &id).await?;
                match printer.format() {
                    Format::Json => printer.object(&revoked),
                    Format::Table => printer.text(&format!(
                        "Key {} ({}) is revoked.",
                        revoked.prefix,
                        harmless(&revoked.name)
                    )),
                }
            }),
            Self::Import(command) => command.run(),
        }
    }
}
