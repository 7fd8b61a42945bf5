//! `latchgate groups`: people who share roles.

use clap::Subcommand;

use super::{
    args::{Consent, Local},
    error::Failure,
    output::Column,
    page,
};
use crate::control::service::{Caller, GroupChanges, NewGroup};

const COLUMNS: &[Column] = &[
    Column::text("NAME", "name"),
    Column::words("ROLES", "roles"),
    Column::words("MEMBERS", "members"),
    Column::text("ID", "id"),
    Column::time("CREATED", "created_at"),
];

/// Manage groups: they carry roles for the people in them
#[derive(Debug, Subcommand)]
pub(crate) enum Groups {
    /// Create a group that carries one or more roles
    #[command(after_help = "Example:
  latchgate groups create --name \"Key makers\" --roles \"Public API Edit,CLI Write Custom\"
  latchgate groups add \"Key makers\" ana@example.com")]
    Create {
        /// Its organization, by slug or id; may be left out where there is only one
        #[arg(long)]
        org: Option<String>,
        /// Its name, unlike that of any other group
        #[arg(long)]
        name: String,
        /// The roles that it carries, by name, separated by commas
        #[arg(long, value_delimiter = ',', required = true)]
        roles: Vec<String>,
        #[command(flatten)]
        local: Local,
    },
    /// List the groups
    List {
        /// Of this organization only, by slug or id
        #[arg(long)]
        org: Option<String>,
        #[command(flatten)]
        local: Local,
    },
    /// Show one group and who is in it
    Show {
        /// The group, by name or id
        group: String,
        #[command(flatten)]
        local: Local,
    },
    /// Give a group another name, other roles, or both; everybody in it follows at once
    #[command(group(clap::ArgGroup::new("change").required(true).multiple(true).args(["name", "roles"])))]
    Update {
        /// The group, by name or id
        group: String,
        /// Its new name
        #[arg(long)]
        name: Option<String>,
        /// All the roles that it carries from now on, by name, separated by commas
        #[arg(long, value_delimiter = ',')]
        roles: Option<Vec<String>>,
        #[command(flatten)]
        local: Local,
    },
    /// Delete a group; what it carried is taken from everybody in it
    Delete {
        /// The group, by name or id
        group: String,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        local: Local,
    },
    /// Put a person into a group
    Add {
        /// The group, by name or id
        group: String,
        /// The person, by e-mail address or id
        user: String,
        #[command(flatten)]
        local: Local,
    },
    /// Take a person out of a group; keys that stand on its roles shrink at once
    Remove {
        /// The group, by name or id
        group: String,
        /// The person, by e-mail address or id
        user: String,
        #[command(flatten)]
        local: Local,
    },
}

impl Groups {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create { org, name, roles, local } => local.work(async |control, mut printer| {
                let new = NewGroup { org, name, roles };
                printer.object(&control.create_group(&Caller::Operator, &new).await?)
            }),
            Self::List { org, local } => local.work(async |control, printer| {
                let mut list = printer.list(COLUMNS);
                let fetch =
                    async |page: &_| control.list_groups(&Caller::Operator, org.as_deref(), page).await;
                page::all(&mut list, fetch).await?;
                list.finish("No group yet: latchgate groups create --name NAME --roles ROLES")
            }),
            Self::Show { group, local } => local.work(async |control, mut printer| {
                printer.object(&control.find_group(&Caller::Operator, &group).await?)
            }),
            Self::Update { group, name, roles, local } => local.work(async |control, mut printer| {
                let changes = GroupChanges { name, roles };
                printer.object(&control.update_group(&Caller::Operator, &group, &changes).await?)
            }),
            Self::Delete { group, consent, local } => local.work(async |control, mut printer| {
                let group = control.find_group(&Caller::Operator, &group).await?;
                consent.to(&format!("this takes its roles from everybody in {}", group.name))?;
                control.delete_group(&Caller::Operator, &group.id.to_string()).await?;
                printer.object(&group)
            }),
            Self::Add { group, user, local } => local.work(async |control, mut printer| {
                printer.object(&control.add_to_group(&Caller::Operator, &group, &user).await?)
            }),
            Self::Remove { group, user, local } => local.work(async |control, mut printer| {
                printer.object(&control.remove_from_group(&Caller::Operator, &group, &user).await?)
            }),
        }
    }
}
