//! `latchgate roles`: what the profile ships, and what an organization makes for itself.

use clap::Subcommand;

use super::{
    args::{Consent, Local},
    error::Failure,
    output::Column,
    page,
};
use crate::control::service::{Caller, NewRole, RoleChanges};

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
        local: Local,
    },
    /// List the profile's roles, then the custom ones
    List {
        /// Custom ones of this organization only, by slug or id
        #[arg(long)]
        org: Option<String>,
        #[command(flatten)]
        local: Local,
    },
    /// Show one role
    Show {
        /// The role, by name or id
        role: String,
        #[command(flatten)]
        local: Local,
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
        local: Local,
    },
    /// Delete a custom role that no person, group or working key holds
    Delete {
        /// The role, by name or id
        role: String,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        local: Local,
    },
}

impl Roles {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create { org, name, permissions, local } => local.work(async |control, mut printer| {
                let new = NewRole { org, name, permissions };
                printer.object(&control.create_role(&Caller::Operator, &new).await?)
            }),
            Self::List { org, local } => local.work(async |control, printer| {
                let mut list = printer.list(COLUMNS);
                let fetch =
                    async |page: &_| control.list_roles(&Caller::Operator, org.as_deref(), page).await;
                page::all(&mut list, fetch).await?;
                list.finish("No role")
            }),
            Self::Show { role, local } => local.work(async |control, mut printer| {
                printer.object(&control.find_role(&Caller::Operator, &role).await?)
            }),
            Self::Update { role, name, permissions, local } => local.work(async |control, mut printer| {
                let changes = RoleChanges { name, permissions };
                printer.object(&control.update_role(&Caller::Operator, &role, &changes).await?)
            }),
            Self::Delete { role, consent, local } => local.work(async |control, mut printer| {
                let role = control.find_role(&Caller::Operator, &role).await?;
                consent.to(&format!("this deletes the role {} for ever", role.name))?;
                control.delete_role(&Caller::Operator, &role.id).await?;
                printer.object(&role)
            }),
        }
    }
}
