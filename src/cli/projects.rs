//! `latchgate projects`: the parts of a team.

use clap::Subcommand;

use super::{
    args::{Consent, Local},
    error::Failure,
    names,
    output::Column,
    page,
};
use crate::control::service::{Caller, NewProject};

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
        local: Local,
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
        local: Local,
    },
    /// Show one project
    Show {
        /// The project, by slug or id
        project: String,
        #[command(flatten)]
        local: Local,
    },
    /// Give a project another name, another slug, or both
    #[command(group(clap::ArgGroup::new("change").required(true).multiple(true).args(["name", "slug"])))]
    Update {
        /// The project, by slug or id
        project: String,
        /// Its new name
        #[arg(long)]
        name: Option<String>,
        /// Its new slug
        #[arg(long)]
        slug: Option<String>,
        #[command(flatten)]
        local: Local,
    },
    /// Delete a project with its keys
    Delete {
        /// The project, by slug or id
        project: String,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        local: Local,
    },
}

impl Projects {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create { team_id, name, slug, local } => local.work(async |control, mut printer| {
                let new = NewProject { team_id, name, slug };
                printer.object(&control.create_project(&Caller::Operator, &new).await?)
            }),
            Self::List { org, team_id, local } => local.work(async |control, printer| {
                let mut list = names::places(control, printer.list(COLUMNS)).await?;
                let (org, team) = (org.as_deref(), team_id.as_deref());
                let fetch = async |page: &_| control.list_projects(&Caller::Operator, org, team, page).await;
                page::all(&mut list, fetch).await?;
                list.finish("No project yet: latchgate projects create --team-id TEAM --name NAME")
            }),
            Self::Show { project, local } => local.work(async |control, mut printer| {
                printer.object(&control.find_project(&Caller::Operator, &project).await?)
            }),
            Self::Update { project, name, slug, local } => local.work(async |control, mut printer| {
                let (name, slug) = (name.as_deref(), slug.as_deref());
                printer.object(&control.rename_project(&Caller::Operator, &project, name, slug).await?)
            }),
            Self::Delete { project, consent, local } => local.work(async |control, mut printer| {
                let project = control.find_project(&Caller::Operator, &project).await?;
                consent.to(&format!("this deletes {} with its keys for ever", project.slug))?;
                control.delete_project(&Caller::Operator, &project.id.to_string()).await?;
                printer.object(&project)
            }),
        }
    }
}
