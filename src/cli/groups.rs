//! `latchgate groups`: people who share roles.

use clap::Subcommand;

use http::Method;
use serde_json::Value;

use super::{
    args::{Consent, Target},
    error::Failure,
    output::Column,
    plane::{GROUP, USER, text},
};
use crate::control::api::Question;

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
        target: Target,
    },
    /// List the groups
    List {
        /// Of this organization only, by slug or id
        #[arg(long)]
        org: Option<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Show one group and who is in it
    Show {
        /// The group, by name or id
        group: String,
        #[command(flatten)]
        target: Target,
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
        target: Target,
    },
    /// Delete a group; what it carried is taken from everybody in it
    Delete {
        /// The group, by name or id
        group: String,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        target: Target,
    },
    /// Put a person into a group
    Add {
        /// The group, by name or id
        group: String,
        /// The person, by e-mail address or id
        user: String,
        #[command(flatten)]
        target: Target,
    },
    /// Take a person out of a group; keys that stand on its roles shrink at once
    Remove {
        /// The group, by name or id
        group: String,
        /// The person, by e-mail address or id
        user: String,
        #[command(flatten)]
        target: Target,
    },
}

impl Groups {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create { org, name, roles, target } => target.work(async |plane, mut printer| {
                let plane = plane.within(org.as_deref()).await?;
                let question =
                    Question::to(Method::POST, &["groups"]).with("name", name).with("roles", roles);
                printer.object(&plane.ask(question).await?)
            }),
            Self::List { org, target } => target.work(async |plane, printer| {
                let plane = plane.within(org.as_deref()).await?;
                let none = "No group yet: latchgate groups create --name NAME --roles ROLES";
                plane.print(Question::get(&["groups"]), printer.list(COLUMNS), none).await
            }),
            Self::Show { group, target } => {
                target.work(async |plane, printer| plane.show(GROUP, &group, printer).await)
            }
            Self::Update { group, name, roles, target } => target.work(async |plane, mut printer| {
                let group = plane.id(GROUP, &group).await?;
                let question = Question::to(Method::PATCH, &["groups", &group]);
                printer.object(&plane.ask(question.with("name", name).with("roles", roles)).await?)
            }),
            Self::Delete { group, consent, target } => target.work(async |plane, printer| {
                let what =
                    |group: &Value| format!("this takes its roles from everybody in {}", text(group, "name"));
                plane.delete(GROUP, &group, consent, what, printer).await
            }),
            Self::Add { group, user, target } => move_member(&target, Method::PUT, &group, &user),
            Self::Remove { group, user, target } => move_member(&target, Method::DELETE, &group, &user),
        }
    }
}

fn move_member(target: &Target, method: Method, group: &str, user: &str) -> Result<(), Failure> {
    target.work(async |plane, printer| {
        let group = plane.id(GROUP, group).await?;
        let user = plane.id(USER, user).await?;
        plane.ask(Question::to(method, &["groups", &group, "members", &user])).await?;
        plane.show(GROUP, &group, printer).await
    })
}
