//! `latchgate orgs`: the tenants.

use clap::Subcommand;

use http::Method;

use super::{
    args::{Consent, Renaming, Target},
    error::Failure,
    output::Column,
    plane::text,
};
use crate::control::api::Question;

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
    #[command(after_help = "Examples:
  latchgate orgs create --name \"Acme Ltd\" --slug acme
  latchgate orgs create --name \"Acme Ltd\" --admin-email ana@acme.example")]
    Create {
        /// Its name for people
        #[arg(long)]
        name: String,
        /// Its name in commands, unique; made from the name when left out
        #[arg(long)]
        slug: Option<String>,
        /// Invite its first administrator, who gets the highest role
        #[arg(long, value_name = "EMAIL")]
        admin_email: Option<String>,
        #[command(flatten)]
        target: Target,
    },
    /// List the organizations
    List {
        #[command(flatten)]
        target: Target,
    },
    /// Show one organization
    Show {
        /// The organization, by slug or id
        org: String,
        #[command(flatten)]
        target: Target,
    },
    /// Give an organization another name, another slug, or both
    Update {
        /// The organization, by slug or id
        org: String,
        #[command(flatten)]
        renaming: Renaming,
        #[command(flatten)]
        target: Target,
    },
    /// Delete an organization with its teams, people and keys
    Delete {
        /// The organization, by slug or id
        org: String,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        target: Target,
    },
}

impl Orgs {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create { name, slug, admin_email, target } => target.work(async |plane, mut printer| {
                let question = Question::to(Method::POST, &["orgs"])
                    .with("name", name)
                    .with("slug", slug)
                    .with("admin_email", admin_email);
                printer.object(&plane.ask(question).await?)
            }),
            Self::List { target } => target.work(async |plane, printer| {
                let none = "No organization yet: latchgate orgs create --name NAME";
                plane.print(Question::get(&["orgs"]), printer.list(COLUMNS), none).await
            }),
            Self::Show { org, target } => target.work(async |plane, mut printer| {
                printer.object(&plane.within(Some(&org)).await?.ask(Question::get(&["org"])).await?)
            }),
            Self::Update { org, renaming, target } => target.work(async |plane, mut printer| {
                printer.object(&plane.within(Some(&org)).await?.ask(renaming.of(&["org"])).await?)
            }),
            Self::Delete { org, consent, target } => target.work(async |plane, mut printer| {
                let plane = plane.within(Some(&org)).await?;
                let org = plane.ask(Question::get(&["org"])).await?;
                consent.to(&format!(
                    "this deletes {} with its teams, people and keys for ever",
                    text(&org, "slug")
                ))?;
                plane.ask(Question::to(Method::DELETE, &["org"])).await?;
                printer.object(&org)
            }),
        }
    }
}
