//! `latchgate requests`: what was asked of the gateway lately.

use clap::Subcommand;

use super::{args::Target, error::Failure, output::Column};
use crate::{control::api::Question, domain::time::Timestamp};

const COLUMNS: &[Column] = &[
    Column::time("TIME", "ts"),
    Column::text("METHOD", "method"),
    Column::text("PATH", "path"),
    Column::text("STATUS", "status"),
    Column::text("OUTCOME", "outcome"),
    Column::text("MS", "duration_ms"),
    Column::text("CREDENTIAL", "credential"),
    Column::text("CLIENT", "client_ip"),
    Column::text("ROUTE", "route"),
];

/// Look at the newest requests of each organization
#[derive(Debug, Subcommand)]
pub(crate) enum Requests {
    /// List requests, newest first, about a second behind the gateway
    #[command(after_help = "Examples:
  latchgate requests list --credential a1b2c3d4
  latchgate requests list --since 2027-01-31T09:30:00Z --code scope_insufficient")]
    List {
        /// Of this organization only, by slug or id
        #[arg(long)]
        org: Option<String>,
        /// Not before this time, such as 2027-01-31T09:30:00Z
        #[arg(long, value_name = "TIME")]
        since: Option<Timestamp>,
        /// With this credential, such as a key's prefix
        #[arg(long)]
        credential: Option<String>,
        /// With this status, such as 403, or this outcome, such as rate_limited
        #[arg(long)]
        code: Option<String>,
        #[command(flatten)]
        target: Target,
    },
}

impl Requests {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let Self::List { org, since, credential, code, target } = self;
        target.work(async |plane, printer| {
            let plane = plane.within(org.as_deref()).await?;
            let question = Question::get(&["requests"])
                .with("since", since.map(|at| at.to_string()))
                .with("credential", credential)
                .with("code", code);
            plane.print(question, printer.list(COLUMNS), "No such request.").await
        })
    }
}
