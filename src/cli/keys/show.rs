//! `latchgate keys list`.

use clap::Args;

use crate::{
    cli::{args::Local, error::Failure, names, output::Column, page},
    control::service::{Caller, KeyFilter, Page},
    domain::key::state::Status,
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

impl From<Filter> for KeyFilter {
    fn from(Filter { org, team_id, project_id, user, status, q }: Filter) -> Self {
        let known = [Status::Active, Status::Rotating, Status::Expired, Status::Revoked];
        let status = status.and_then(|word| known.into_iter().find(|status| status.as_str() == word));
        Self { org, team_id, project_id, user, status, q }
    }
}

pub(super) fn list(filter: Filter, local: &Local) -> Result<(), Failure> {
    let filter = KeyFilter::from(filter);
    local.work(async |control, printer| {
        let mut list = names::places(control, printer.list(COLUMNS)).await?;
        let fetch = async |page: &Page| control.list_keys(&Caller::Operator, &filter, page).await;
        page::all(&mut list, fetch).await?;
        list.finish("No such key.")
    })
}
