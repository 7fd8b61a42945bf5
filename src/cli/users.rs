//! `latchgate users`: people, and the roles they hold.

use clap::Subcommand;

use super::{
    args::{Consent, Local},
    error::Failure,
    names,
    output::Column,
    page, secrets,
};
use crate::control::service::{Caller, NewUser};

const COLUMNS: &[Column] = &[
    Column::text("EMAIL", "email"),
    Column::text("NAME", "name"),
    Column::words("ROLES", "memberships"),
    Column::words("GROUPS", "groups"),
    Column::text("ACTIVE", "active"),
    Column::text("ID", "id"),
    Column::time("CREATED", "created_at"),
];

/// Manage people and the roles they hold
#[derive(Debug, Subcommand)]
pub(crate) enum Users {
    /// Add a person
    #[command(after_help = "Examples:
  latchgate users create --email ana@example.com --name Ana --role viewer
  latchgate users create --email bo@example.com --name Bo --team-id payments --role viewer
  printf %s \"$PASSWORD\" | latchgate users create --password-stdin --email ...")]
    Create {
        /// Their e-mail address
        #[arg(long)]
        email: String,
        /// Their name
        #[arg(long)]
        name: String,
        /// Their organization, by slug or id; may be left out where there is only one
        #[arg(long)]
        org: Option<String>,
        /// The team in which they hold the role, by slug or id; may be left out where there is only one
        #[arg(long, value_name = "TEAM")]
        team_id: Option<String>,
        /// Their role: one of the profile's, a custom one, or `none` where the profile lets groups give them all
        #[arg(long)]
        role: Option<String>,
        /// Read their password from stdin; without it they have none
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        local: Local,
    },
    /// List people
    List {
        /// Of this organization only, by slug or id
        #[arg(long)]
        org: Option<String>,
        #[command(flatten)]
        local: Local,
    },
    /// Show one person
    Show {
        /// The person, by e-mail address or id
        user: String,
        #[command(flatten)]
        local: Local,
    },
    /// Give a person a role in place of the one they have there
    SetRole {
        /// The person, by e-mail address or id
        user: String,
        /// The role: one of the profile's, a custom one, or `none` where the profile lets groups give them all
        #[arg(long)]
        role: String,
        /// The team in which they hold it, by slug or id; may be left out where there is only one
        #[arg(long, value_name = "TEAM")]
        team_id: Option<String>,
        #[command(flatten)]
        local: Local,
    },
    /// Take a person's role in a team, or on the organization, away
    RemoveRole {
        /// The person, by e-mail address or id
        user: String,
        /// The team, by slug or id; without it the role on the organization is meant
        #[arg(long, value_name = "TEAM")]
        team_id: Option<String>,
        #[command(flatten)]
        local: Local,
    },
    /// Stop a person and every key of theirs, until they are activated again
    Deactivate {
        /// The person, by e-mail address or id
        user: String,
        #[command(flatten)]
        local: Local,
    },
    /// Let a person who was deactivated act again
    Activate {
        /// The person, by e-mail address or id
        user: String,
        #[command(flatten)]
        local: Local,
    },
    /// Remove a person and revoke the keys that are theirs
    Delete {
        /// The person, by e-mail address or id
        user: String,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        local: Local,
    },
}

impl Users {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create { email, name, org, team_id, role, password_stdin, local } => {
                let password = if password_stdin {
                    Some(secrets::line_of_stdin("the password", "--password-stdin")?.to_string())
                } else {
                    None
                };
                let new = NewUser { org, email, name, password, team_id, role: role.and_then(chosen) };
                local.work(async |control, mut printer| {
                    printer.object(&control.create_user(&Caller::Operator, &new).await?)
                })
            }
            Self::List { org, local } => local.work(async |control, printer| {
                let mut list = names::places(control, printer.list(COLUMNS)).await?;
                let fetch =
                    async |page: &_| control.list_users(&Caller::Operator, org.as_deref(), page).await;
                page::all(&mut list, fetch).await?;
                list.finish("Nobody yet: latchgate users create --email EMAIL --name NAME --role ROLE")
            }),
            Self::Show { user, local } => local.work(async |control, mut printer| {
                printer.object(&control.find_user(&Caller::Operator, &user).await?)
            }),
            Self::SetRole { user, role, team_id, local } => local.work(async |control, mut printer| {
                let role = chosen(role);
                control.set_role(&Caller::Operator, &user, team_id.as_deref(), role.as_deref()).await?;
                printer.object(&control.find_user(&Caller::Operator, &user).await?)
            }),
            Self::RemoveRole { user, team_id, local } => local.work(async |control, mut printer| {
                control.remove_member(&Caller::Operator, &user, team_id.as_deref()).await?;
                printer.object(&control.find_user(&Caller::Operator, &user).await?)
            }),
            Self::Deactivate { user, local } => set_active(&local, &user, false),
            Self::Activate { user, local } => set_active(&local, &user, true),
            Self::Delete { user, consent, local } => local.work(async |control, mut printer| {
                let user = control.find_user(&Caller::Operator, &user).await?;
                consent.to(&format!("this removes {} and revokes their keys for ever", user.email))?;
                control.remove_user(&Caller::Operator, &user.id.to_string()).await?;
                printer.object(&user)
            }),
        }
    }
}

/// No role is called `none`.
fn chosen(role: String) -> Option<String> {
    Some(role).filter(|role| role != "none")
}

fn set_active(local: &Local, user: &str, active: bool) -> Result<(), Failure> {
    local.work(async |control, mut printer| {
        printer.object(&control.set_user_active(&Caller::Operator, user, active).await?)
    })
}
