//! `latchgate teams`: the parts of an organization.

use clap::Subcommand;

use super::{
    args::{Consent, Local},
    error::Failure,
    names,
    output::Column,
    page,
};
use crate::control::service::{Caller, NewTeam};

const COLUMNS: &[Column] = &[
    Column::text("SLUG", "slug"),
    Column::text("NAME", "name"),
    Column::text("ID", "id"),
    Column::text("ORGANIZATION", "org_id"),
    Column::time("CREATED", "created_at"),
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
        local: Local,
    },
    /// List the teams
    List {
        /// Of this organization only, by slug or id
        #[arg(long)]
        org: Option<String>,
        #[command(flatten)]
        local: Local,
    },
    /// Show one team
    Show {
        /// The team, by slug or id
        team: String,
        #[command(flatten)]
        local: Local,
    },
    /// Give a team another name, another slug, or both
    #[command(group(clap::ArgGroup::new("change").required(true).multiple(true).args(["name", "slug"])))]
    Update {
        /// The team, by slug or id
        team: String,
        /// Its new name
        #[arg(long)]
        name: Option<String>,
        /// Its new slug
        #[arg(long)]
        slug: Option<String>,
        #[command(flatten)]
        local: Local,
    },
    /// Delete a team with its projects, memberships and keys
    Delete {
        /// The team, by slug or id
        team: String,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        local: Local,
    },
}

impl Teams {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create { org, name, slug, local } => local.work(async |control, mut printer| {
                printer.object(&control.create_team(&Caller::Operator, &NewTeam { org, name, slug }).await?)
            }),
            Self::List { org, local } => local.work(async |control, printer| {
                let mut list = names::places(control, printer.list(COLUMNS)).await?;
                let fetch =
                    async |page: &_| control.list_teams(&Caller::Operator, org.as_deref(), page).await;
                page::all(&mut list, fetch).await?;
                list.finish("No team yet: latchgate teams create --org ORG --name NAME")
            }),
            Self::Show { team, local } => local.work(async |control, mut printer| {
                printer.object(&control.find_team(&Caller::Operator, &team).await?)
            }),
            Self::Update { team, name, slug, local } => local.work(async |control, mut printer| {
                let renamed = control.rename_team(&Caller::Operator, &team, name.as_deref(), slug.as_deref());
                printer.object(&renamed.await?)
            }),
            Self::Delete { team, consent, local } => local.work(async |control, mut printer| {
                let team = control.find_team(&Caller::Operator, &team).await?;
                consent.to(&format!("this deletes {} with its projects and keys for ever", team.slug))?;
                control.delete_team(&Caller::Operator, &team.id.to_string()).await?;
                printer.object(&team)
            }),
        }
    }
}
