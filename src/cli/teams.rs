//! `latchgate teams`: the parts of an organization.

use clap::Subcommand;

use http::Method;
use serde_json::Value;

use super::{
    args::{Consent, Renaming, Target},
    error::Failure,
    names,
    output::Column,
    plane::{TEAM, text},
};
use crate::control::api::Question;

const COLUMNS: &[Column] = &[
    Column::text("SLUG", "slug"),
    Column::text("NAME", "name"),
    Column::text("ID", "id"),
    Column::text("ORGANIZATION", "org_id"),
    Column::time("CREATED", "created_at"),
];

const MEMBERS: &[Column] = &[
    Column::text("EMAIL", "email"),
    Column::text("NAME", "name"),
    Column::text("ROLE", "role"),
    Column::words("GROUPS", "groups"),
    Column::text("ACTIVE", "active"),
    Column::text("ID", "user_id"),
];

/// Manage teams: the parts of an organization
#[derive(Debug, Subcommand)]
pub(crate) enum Teams {
    /// Create a team
    #[command(after_help = "Example:\n  latchgate teams create --org acme --name \"Payments\"")]
    Create {
        /// Its organization, by slug or id; may be left out where there is only one
        #[arg(long)]
        org: Option<String>,
        /// Its name for people
        #[arg(long)]
        name: String,
        /// Its name in commands, unique in the organization; made from the name when left out
        #[arg(long)]
        slug: Option<String>,
        #[command(flatten)]
        target: Target,
    },
    /// List the teams
    List {
        /// Of this organization only, by slug or id
        #[arg(long)]
        org: Option<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Show one team
    Show {
        /// The team, by slug or id
        team: String,
        #[command(flatten)]
        target: Target,
    },
    /// List who is in a team, and with which role
    Members {
        /// The team, by slug or id
        team: String,
        #[command(flatten)]
        target: Target,
    },
    /// Give a team another name, another slug, or both
    Update {
        /// The team, by slug or id
        team: String,
        #[command(flatten)]
        renaming: Renaming,
        #[command(flatten)]
        target: Target,
    },
    /// Delete a team with its projects, memberships and keys
    Delete {
        /// The team, by slug or id
        team: String,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        target: Target,
    },
}

impl Teams {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create { org, name, slug, target } => target.work(async |plane, mut printer| {
                let plane = plane.within(org.as_deref()).await?;
                let question = Question::to(Method::POST, &["teams"]).with("name", name).with("slug", slug);
                printer.object(&plane.ask(question).await?)
            }),
            Self::List { org, target } => target.work(async |plane, printer| {
                let plane = plane.within(org.as_deref()).await?;
                let list = names::places(&plane, printer.list(COLUMNS)).await?;
                let none = "No team yet: latchgate teams create --org ORG --name NAME";
                plane.print(Question::get(&["teams"]), list, none).await
            }),
            Self::Show { team, target } => {
                target.work(async |plane, printer| plane.show(TEAM, &team, printer).await)
            }
            Self::Members { team, target } => target.work(async |plane, printer| {
                let team = plane.id(TEAM, &team).await?;
                let question = Question::get(&["teams", &team, "members"]);
                plane.print(question, printer.list(MEMBERS), "Nobody is in this team.").await
            }),
            Self::Update { team, renaming, target } => target.work(async |plane, mut printer| {
                let team = plane.id(TEAM, &team).await?;
                printer.object(&plane.ask(renaming.of(&["teams", &team])).await?)
            }),
            Self::Delete { team, consent, target } => target.work(async |plane, printer| {
                let what = |team: &Value| {
                    format!("this deletes {} with its projects and keys for ever", text(team, "slug"))
                };
                plane.delete(TEAM, &team, consent, what, printer).await
            }),
        }
    }
}
