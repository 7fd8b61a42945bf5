//! `latchgate orgs`: the tenants.

use clap::Subcommand;

use super::{
    args::{Consent, Local},
    error::Failure,
    output::Column,
    page,
};
use crate::control::service::{Caller, NewOrg};

const COLUMNS: &[Column] = &[
    Column::text("SLUG", "slug"),
    Column::text("NAME", "name"),
    Column::text("ID", "id"),
    Column::time("CREATED", "created_at"),
];

/// Manage organizations: the tenants
#[derive(Debug, Subcommand)]
pub(crate) enum Orgs {
    /// Create an organization
    #[command(after_help = "Example:\n  latchgate orgs create --name \"Acme Ltd\" --slug acme")]
    Create {
        /// Its name for people
        #[arg(long)]
        name: String,
        /// Its name in commands, unique; made from the name when left out
        #[arg(long)]
        slug: Option<String>,
        #[command(flatten)]
        local: Local,
    },
    /// List the organizations
    List {
        #[command(flatten)]
        local: Local,
    },
    /// Show one organization
    Show {
        /// The organization, by slug or id
        org: String,
        #[command(flatten)]
        local: Local,
    },
    /// Give an organization another name, another slug, or both
    #[command(group(clap::ArgGroup::new("change").required(true).multiple(true).args(["name", "slug"])))]
    Update {
        /// The organization, by slug or id
        org: String,
        /// Its new name
        #[arg(long)]
        name: Option<String>,
        /// Its new slug
        #[arg(long)]
        slug: Option<String>,
        #[command(flatten)]
        local: Local,
    },
    /// Delete an organization with its teams, people and keys
    Delete {
        /// The organization, by slug or id
        org: String,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        local: Local,
    },
}

impl Orgs {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create { name, slug, local } => local.work(async |control, mut printer| {
                printer.object(&control.create_org(&Caller::Operator, &NewOrg { name, slug }).await?)
            }),
            Self::List { local } => local.work(async |control, printer| {
                let mut list = printer.list(COLUMNS);
                page::all(&mut list, async |page| control.list_orgs(&Caller::Operator, page).await).await?;
                list.finish("No organization yet: latchgate orgs create --name NAME")
            }),
            Self::Show { org, local } => local.work(async |control, mut printer| {
                printer.object(&control.find_org(&Caller::Operator, &org).await?)
            }),
            Self::Update { org, name, slug, local } => local.work(async |control, mut printer| {
                let renamed = control.rename_org(&Caller::Operator, &org, name.as_deref(), slug.as_deref());
                printer.object(&renamed.await?)
            }),
            Self::Delete { org, consent, local } => local.work(async |control, mut printer| {
                let org = control.find_org(&Caller::Operator, &org).await?;
                consent.to(&format!("this deletes {} with its teams, people and keys for ever", org.slug))?;
                control.delete_org(&Caller::Operator, &org.id.to_string()).await?;
                printer.object(&org)
            }),
        }
    }
}
