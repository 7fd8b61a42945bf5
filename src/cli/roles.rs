//! `latchgate roles`: what the profile ships, and what an organization makes for itself.

use clap::Subcommand;

use http::Method;
use serde_json::Value;

use super::{
    args::{Consent, Target},
    error::Failure,
    output::Column,
    plane::{ROLE, text},
};
use crate::control::api::Question;

const COLUMNS: &[Column] = &[
    Column::text("NAME", "name"),
    Column::text("LEVEL", "level"),
    Column::words("PERMISSIONS", "permissions"),
    Column::text("CUSTOM", "custom"),
    Column::text("ON KEYS", "on_keys"),
    Column::text("ID", "id"),
];

/// Manage roles: the profile's are listed, custom ones made from its permissions
#[derive(Debug, Subcommand)]
pub(crate) enum Roles {
    /// Create a custom role with exactly these permissions
    #[command(after_help = "Example:
  latchgate roles create --name \"CLI Read-Only Custom\" --permissions cli_tools:view")]
    Create {
        /// Its organization, by slug or id; may be left out where there is only one
        #[arg(long)]
        org: Option<String>,
        /// Its name, unlike that of any other role
        #[arg(long)]
        name: String,
        /// What it gives, separated by commas; what that implies comes with it
        #[arg(long, value_delimiter = ',', required = true)]
        permissions: Vec<String>,
        #[command(flatten)]
        target: Target,
    },
    /// List the profile's roles, then the custom ones
    List {
        /// Custom ones of this organization only, by slug or id
        #[arg(long)]
        org: Option<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Show one role
    Show {
        /// The role, by name or id
        role: String,
        #[command(flatten)]
        target: Target,
    },
    /// Give a custom role another name, other permissions, or both; whoever holds it follows at once
    #[command(group(clap::ArgGroup::new("change").required(true).multiple(true).args(["name", "permissions"])))]
    Update {
        /// The role, by name or id
        role: String,
        /// Its new name
        #[arg(long)]
        name: Option<String>,
        /// All that it gives from now on, separated by commas
        #[arg(long, value_delimiter = ',')]
        permissions: Option<Vec<String>>,
        #[command(flatten)]
        target: Target,
    },
    /// Delete a custom role that no person, group or working key holds
    Delete {
        /// The role, by name or id
        role: String,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        target: Target,
    },
}

impl Roles {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create { org, name, permissions, target } => target.work(async |plane, mut printer| {
                let plane = plane.within(org.as_deref()).await?;
                let question = Question::to(Method::POST, &["roles"]).with("name", name);
                printer.object(&plane.ask(question.with("permissions", permissions)).await?)
            }),
            Self::List { org, target } => target.work(async |plane, printer| {
                let plane = plane.within(org.as_deref()).await?;
                plane.print(Question::get(&["roles"]), printer.list(COLUMNS), "No role").await
            }),
            Self::Show { role, target } => {
                target.work(async |plane, printer| plane.show(ROLE, &role, printer).await)
            }
            Self::Update { role, name, permissions, target } => target.work(async |plane, mut printer| {
                let role = plane.id(ROLE, &role).await?;
                let question = Question::to(Method::PATCH, &["roles", &role]).with("name", name);
                printer.object(&plane.ask(question.with("permissions", permissions)).await?)
            }),
            Self::Delete { role, consent, target } => target.work(async |plane, printer| {
                let what = |role: &Value| format!("this deletes the role {} for ever", text(role, "name"));
                plane.delete(ROLE, &role, consent, what, printer).await
            }),
        }
    }
}
