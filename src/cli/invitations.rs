//! `latchgate invitations`: roles that wait for whoever reads the mail at an address.

use clap::Subcommand;
use http::Method;
use serde_json::json;

use super::{
    args::Target,
    error::Failure,
    names,
    output::Column,
    plane::TEAM,
    users::{chosen, where_held},
};
use crate::control::api::Question;

const COLUMNS: &[Column] = &[
    Column::text("EMAIL", "email"),
    Column::text("ROLE", "role"),
    Column::text("TEAM", "team_id"),
    Column::text("STATUS", "status"),
    Column::text("INVITED BY", "invited_by"),
    Column::time("EXPIRES", "expires_at"),
    Column::text("ID", "id"),
];

/// Invite people by mail
#[derive(Debug, Subcommand)]
pub(crate) enum Invitations {
    /// Invite somebody; the running gateway sends the mail, with a link that works once
    #[command(after_help = "Examples:
  latchgate invitations create --email ana@example.com --role viewer --team-id payments
  latchgate invitations create --email bo@example.com --role admin --message \"Welcome aboard\"")]
    Create {
        /// Their e-mail address
        #[arg(long)]
        email: String,
        /// Their role: one of the profile's, a custom one, or `none` where the profile lets groups give them all
        #[arg(long)]
        role: String,
        /// The team in which they will hold it, by slug or id; may be left out where there is only one
        #[arg(long, value_name = "TEAM")]
        team_id: Option<String>,
        /// The organization, by slug or id; may be left out where there is only one
        #[arg(long)]
        org: Option<String>,
        /// A few words of your own
        #[arg(long)]
        message: Option<String>,
        #[command(flatten)]
        target: Target,
    },
    /// List the invitations into a team, or into the organization itself
    List {
        /// The team, by slug or id; without it those into the organization itself
        #[arg(long, value_name = "TEAM")]
        team_id: Option<String>,
        /// The organization, by slug or id; may be left out where there is only one
        #[arg(long)]
        org: Option<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Take an invitation back: its link is dead
    Revoke {
        /// The invitation's id
        invitation: String,
        #[command(flatten)]
        target: Target,
    },
}

impl Invitations {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create { email, role, team_id, org, message, target } => {
                target.work(async |plane, mut printer| {
                    let plane = plane.within(org.as_deref()).await?;
                    let (role, team) = (chosen(role), plane.maybe_id(TEAM, team_id.as_deref()).await?);
                    let team = where_held(&plane, role.as_deref(), team).await?;
                    let question = Question::to(Method::POST, &invitations(team.as_deref()))
                        .with("email", email)
                        .with("role", role)
                        .with("message", message);
                    printer.object(&plane.ask(question).await?)
                })
            }
            Self::List { team_id, org, target } => target.work(async |plane, printer| {
                let plane = plane.within(org.as_deref()).await?;
                let team = plane.maybe_id(TEAM, team_id.as_deref()).await?;
                let list = names::places(&plane, printer.list(COLUMNS)).await?;
                let none = match &team {
                    Some(_) => "Nobody was invited into that team: latchgate invitations create --email EMAIL --role ROLE",
                    None => "Nobody was invited into the organization itself; --team-id TEAM lists who was into a team",
                };
                plane.print(Question::get(&invitations(team.as_deref())), list, none).await
            }),
            Self::Revoke { invitation, target } => target.work(async |plane, mut printer| {
                plane.ask(Question::to(Method::DELETE, &["invitations", &invitation])).await?;
                printer.object(&json!({ "id": invitation, "status": "revoked" }))
            }),
        }
    }
}

/// The path of the invitations into a team, or into the organization.
fn invitations(team: Option<&str>) -> Vec<&str> {
    team.map_or_else(|| vec!["org", "invitations"], |team| vec!["teams", team, "invitations"])
}
