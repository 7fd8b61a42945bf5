//! `latchgate keys`: the keys themselves.

mod create;
mod import;
mod records;
mod rotate;
mod show;
mod update;

use clap::Subcommand;
use http::Method;

use self::{create::Create, import::Import, rotate::Rotate, update::Update};
use super::{
    args::Target,
    error::Failure,
    output::{Format, harmless},
    plane::{KEY, text},
};
use crate::control::api::Question;

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
        target: Target,
    },
    /// Show one key
    Show {
        /// The key, by id or prefix
        id: String,
        #[command(flatten)]
        target: Target,
    },
    /// Show how often a key was used, when and from where
    Usage {
        /// The key, by id or prefix
        id: String,
        /// How far back, such as 30m, 24h or 7d; 90d at most
        #[arg(long, default_value = "24h")]
        window: String,
        #[command(flatten)]
        target: Target,
    },
    /// Give a key another name
    Rename {
        /// The key, by id or prefix
        id: String,
        /// Its new name
        name: String,
        #[command(flatten)]
        target: Target,
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
        target: Target,
    },
    Import(Import),
}

impl Keys {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create(command) => command.run(),
            Self::List { filter, target } => show::list(filter, &target),
            Self::Show { id, target } => {
                target.work(async |plane, printer| plane.show(KEY, &id, printer).await)
            }
            Self::Usage { id, window, target } => show::usage(&id, &window, &target),
            Self::Rename { id, name, target } => target.work(async |plane, mut printer| {
                let id = plane.id(KEY, &id).await?;
                let question = Question::to(Method::PATCH, &["api-keys", &id]).with("name", name);
                printer.object(&plane.ask(question).await?)
            }),
            Self::Update(command) => command.run(),
            Self::Rotate(command) => command.run(),
            Self::Revoke { id, target } => target.work(async |plane, mut printer| {
                let id = plane.id(KEY, &id).await?;
                let revoked = plane.ask(Question::to(Method::POST, &["api-keys", &id, "revoke"])).await?;
                match printer.format() {
                    Format::Json => printer.object(&revoked),
                    Format::Table => printer.text(&format!(
                        "Key {} ({}) is revoked.",
                        harmless(text(&revoked, "prefix")),
                        harmless(text(&revoked, "name"))
                    )),
                }
            }),
            Self::Import(command) => command.run(),
        }
    }
}
