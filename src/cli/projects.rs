//! `latchgate projects`: the parts of a team.

use clap::Subcommand;

use http::Method;
use serde_json::Value;

use super::{
    args::{Consent, Renaming, Target},
    error::Failure,
    names,
    output::Column,
    plane::{PROJECT, TEAM, text},
};
use crate::control::api::Question;

const COLUMNS: &[Column] = &[
    Column::text("SLUG", "slug"),
    Column::text("NAME", "name"),
    Column::text("ID", "id"),
    Column::text("TEAM", "team_id"),
    Column::time("CREATED", "created_at"),
];

/// Manage projects: the parts of a team
#[derive(Debug, Subcommand)]
pub(crate) enum Projects {
    /// Create a project
    #[command(after_help = "Example:\n  latchgate projects create --team-id payments --name \"Checkout\"")]
    Create {
        /// Its team, by slug or id
        #[arg(long, value_name = "TEAM")]
        team_id: String,
        /// Its name for people
        #[arg(long)]
        name: String,
        /// Its name in commands, unique in the team; made from the name when left out
        #[arg(long)]
        slug: Option<String>,
        #[command(flatten)]
        target: Target,
    },
    /// List the projects
    List {
        /// Of this organization only, by slug or id
        #[arg(long)]
        org: Option<String>,
        /// Of this team only, by slug or id
        #[arg(long, value_name = "TEAM")]
        team_id: Option<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Show one project
    Show {
        /// The project, by slug or id
        project: String,
        #[command(flatten)]
        target: Target,
    },
    /// Give a project another name, another slug, or both
    Update {
        /// The project, by slug or id
        project: String,
        #[command(flatten)]
        renaming: Renaming,
        #[command(flatten)]
        target: Target,
    },
    /// Delete a project with its keys
    Delete {
        /// The project, by slug or id
        project: String,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        target: Target,
    },
}

impl Projects {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create { team_id, name, slug, target } => target.work(async |plane, mut printer| {
                let team = plane.id(TEAM, &team_id).await?;
                let question = Question::to(Method::POST, &["teams", &team, "projects"]);
                printer.object(&plane.ask(question.with("name", name).with("slug", slug)).await?)
            }),
            Self::List { org, team_id, target } => target.work(async |plane, printer| {
                let plane = plane.within(org.as_deref()).await?;
                let list = names::places(&plane, printer.list(COLUMNS)).await?;
                let team = plane.maybe_id(TEAM, team_id.as_deref()).await?;
                let none = "No project yet: latchgate projects create --team-id TEAM --name NAME";
                plane.print(Question::get(&["projects"]).with("team_id", team), list, none).await
            }),
            Self::Show { project, target } => {
                target.work(async |plane, printer| plane.show(PROJECT, &project, printer).await)
            }
            Self::Update { project, renaming, target } => target.work(async |plane, mut printer| {
                let project = plane.id(PROJECT, &project).await?;
                printer.object(&plane.ask(renaming.of(&["projects", &project])).await?)
            }),
            Self::Delete { project, consent, target } => target.work(async |plane, printer| {
                let what = |project: &Value| {
                    format!("this deletes {} with its keys for ever", text(project, "slug"))
                };
                plane.delete(PROJECT, &project, consent, what, printer).await
            }),
        }
    }
}
