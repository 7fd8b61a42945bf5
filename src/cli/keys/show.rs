//! `latchgate keys list` and `latchgate keys usage`.

use clap::Args;

use crate::{
    cli::{
        args::Target,
        error::{Failure, note},
        names,
        output::{Column, Format, table},
        plane::{KEY, PROJECT, TEAM, USER},
    },
    control::api::Question,
};

const COLUMNS: &[Column] = &[
    Column::text("PREFIX", "prefix"),
    Column::text("NAME", "name"),
    Column::status("STATUS", "status"),
    Column::text("SCOPE", "scope"),
    Column::text("TEAM", "team_id"),
    Column::words("SCOPES", "scopes"),
    Column::text("ISSUED BY", "created_by"),
    Column::time("EXPIRES", "expires_at"),
    Column::time("LAST USED", "last_used_at"),
];

const BUCKETS: &[Column] = &[Column::text("FROM", "start"), Column::text("USES", "count")];
const SOURCES: &[Column] =
    &[Column::text("IP", "ip"), Column::text("USES", "count"), Column::text("LAST USED", "last_used_at")];

/// Which keys.
#[derive(Debug, Args)]
pub(crate) struct Filter {
    /// Of this organization only, by slug or id
    #[arg(long)]
    org: Option<String>,
    /// Bound to this team or a project of it, by slug or id
    #[arg(long, value_name = "TEAM")]
    team_id: Option<String>,
    /// Bound to this project, by slug or id
    #[arg(long, value_name = "PROJECT")]
    project_id: Option<String>,
    /// Of this person only, by e-mail address or id
    #[arg(long)]
    user: Option<String>,
    /// In this state only
    #[arg(long, value_parser = ["active", "rotating", "expired", "revoked"])]
    status: Option<String>,
    /// With this text in name, prefix, description or environment
    #[arg(long, value_name = "TEXT")]
    q: Option<String>,
}

pub(super) fn list(filter: Filter, target: &Target) -> Result<(), Failure> {
    target.work(async |plane, printer| {
        let plane = plane.within(filter.org.as_deref()).await?;
        let list = names::places(&plane, printer.list(COLUMNS)).await?;
        let question = Question::get(&["api-keys"])
            .with("team_id", plane.maybe_id(TEAM, filter.team_id.as_deref()).await?)
            .with("project_id", plane.maybe_id(PROJECT, filter.project_id.as_deref()).await?)
            .with("user_id", plane.maybe_id(USER, filter.user.as_deref()).await?)
            .with("status", filter.status)
            .with("q", filter.q);
        plane.print(question, list, "No such key.").await
    })
}

/// Prints how often a key was used.
pub(super) fn usage(id: &str, window: &str, target: &Target) -> Result<(), Failure> {
    target.work(async |plane, mut printer| {
        let id = plane.id(KEY, id).await?;
        let usage = plane.ask(Question::get(&["api-keys", &id, "usage"]).with("window", window)).await?;
        let part = |name: &str| usage[name].as_array().map(Vec::as_slice).unwrap_or_default();
        match printer.format() {
            Format::Json => printer.object(&usage),
            Format::Table if part("buckets").is_empty() => {
                note(format_args!("Not used within {window}."));
                Ok(())
            }
            Format::Table => {
                let (when, whence) = (table(BUCKETS, part("buckets"))?, table(SOURCES, part("sources"))?);
                printer.text(&format!("{when}\n\n{whence}"))
            }
        }
    })
}
