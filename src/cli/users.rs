//! `latchgate users`: people, and the roles they hold.

use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};

use super::{
    args::{Consent, Target},
    error::Failure,
    names,
    output::Column,
    plane::{Plane, TEAM, USER, text},
    secrets,
};
use crate::control::{api::Question, service::Caller};

const COLUMNS: &[Column] = &[
    Column::text("EMAIL", "email"),
    Column::text("NAME", "name"),
    Column::words("ROLES", "memberships"),
    Column::words("GROUPS", "groups"),
    Column::text("ACTIVE", "active"),
    Column::text("ID", "id"),
    Column::time("CREATED", "created_at"),
];

/// Manage people and the roles they hold
#[derive(Debug, Subcommand)]
pub(crate) enum Users {
    /// Add a person
    #[command(after_help = "Examples:
  latchgate users create --email ana@example.com --name Ana --role viewer
  latchgate users create --email bo@example.com --name Bo --team-id payments --role viewer
  printf %s \"$PASSWORD\" | latchgate users create --password-stdin --email ...")]
    Create {
        /// Their e-mail address
        #[arg(long)]
        email: String,
        /// Their name
        #[arg(long)]
        name: String,
        /// Their organization, by slug or id; may be left out where there is only one
        #[arg(long)]
        org: Option<String>,
        /// The team in which they hold the role, by slug or id; may be left out where there is only one
        #[arg(long, value_name = "TEAM")]
        team_id: Option<String>,
        /// Their role: one of the profile's, a custom one, or `none` where the profile lets groups give them all
        #[arg(long)]
        role: Option<String>,
        /// Read their password from stdin; without it they have none
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        target: Target,
    },
    /// List people: of the organization, or of the team that you act in
    List {
        /// Of this organization only, by slug or id
        #[arg(long)]
        org: Option<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Show one person
    Show {
        /// The person, by e-mail address or id
        user: String,
        #[command(flatten)]
        target: Target,
    },
    /// Give a person another name
    Update {
        /// The person, by e-mail address or id
        user: String,
        /// Their new name
        #[arg(long)]
        name: String,
        #[command(flatten)]
        target: Target,
    },
    /// Give a person a role in place of the one they have there
    SetRole {
        /// The person, by e-mail address or id
        user: String,
        /// The role: one of the profile's, a custom one, or `none` where the profile lets groups give them all
        #[arg(long)]
        role: String,
        /// The team in which they hold it, by slug or id; may be left out where there is only one
        #[arg(long, value_name = "TEAM")]
        team_id: Option<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Take a person's role in a team, or on the organization, away
    RemoveRole {
        /// The person, by e-mail address or id
        user: String,
        /// The team, by slug or id; without it the role on the organization is meant
        #[arg(long, value_name = "TEAM")]
        team_id: Option<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Stop a person and every key of theirs, until they are activated again
    Deactivate {
        /// The person, by e-mail address or id
        user: String,
        #[command(flatten)]
        target: Target,
    },
    /// Let a person who was deactivated act again
    Activate {
        /// The person, by e-mail address or id
        user: String,
        #[command(flatten)]
        target: Target,
    },
    /// Give a person a password, or another one, and sign them out wherever they are signed in
    ///
    /// On the gateway's own machine alone: whoever sets a password can be that person.
    #[command(after_help = "Example:
  printf %s \"$PASSWORD\" | latchgate users set-password ana@example.com --password-stdin")]
    SetPassword {
        /// The person, by e-mail address or id
        user: String,
        /// Read the password from stdin instead of asking for it
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        target: Target,
    },
    /// Sign a person out wherever they are signed in
    SignOut {
        /// The person, by e-mail address or id
        user: String,
        #[command(flatten)]
        target: Target,
    },
    /// Take the second factor off a person who has lost it with every recovery code, and sign them out
    RemoveSecondFactor {
        /// The person, by e-mail address or id
        user: String,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        target: Target,
    },
    /// Remove a person and revoke the keys that are theirs
    Delete {
        /// The person, by e-mail address or id
        user: String,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        target: Target,
    },
}

impl Users {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create { email, name, org, team_id, role, password_stdin, target } => {
                let password = if password_stdin {
                    Some(secrets::line_of_stdin("the password", "--password-stdin")?.to_string())
                } else {
                    None
                };
                target.work(async |plane, mut printer| {
                    let plane = plane.within(org.as_deref()).await?;
                    let question = Question::to(Method::POST, &["users"])
                        .with("email", email)
                        .with("name", name)
                        .with("password", password)
                        .with("team_id", plane.maybe_id(TEAM, team_id.as_deref()).await?)
                        .with("role", role.and_then(chosen));
                    printer.object(&plane.ask(question).await?)
                })
            }
            Self::List { org, target } => target.work(async |plane, printer| {
                let plane = plane.within(org.as_deref()).await?;
                let list = names::places(&plane, printer.list(COLUMNS)).await?;
                let none = "Nobody yet: latchgate users create --email EMAIL --name NAME --role ROLE";
                plane.print(Question::get(&["users"]), list, none).await
            }),
            Self::Show { user, target } => {
                target.work(async |plane, printer| plane.show(USER, &user, printer).await)
            }
            Self::Update { user, name, target } => change(&target, &user, "name", name.into()),
            Self::SetRole { user, role, team_id, target } => target.work(async |plane, mut printer| {
                let (plane, user) = found(plane, user).await?;
                let team = plane.maybe_id(TEAM, team_id.as_deref()).await?;
                let role = chosen(role);
                let team = where_held(&plane, role.as_deref(), team).await?;
                let members = members(team.as_deref());
                let id = match member(&plane, &members, &user).await? {
                    Some(member) => text(&member, "user_id").to_owned(),
                    None => plane.id(USER, &user).await?,
                };
                let path = [members.as_slice(), &[&id]].concat();
                printer.object(&plane.ask(Question::to(Method::PUT, &path).change("role", Some(role))).await?)
            }),
            Self::RemoveRole { user, team_id, target } => target.work(async |plane, mut printer| {
                let (plane, user) = found(plane, user).await?;
                let team = plane.maybe_id(TEAM, team_id.as_deref()).await?;
                let members = members(team.as_deref());
                let member = member(&plane, &members, &user).await?.ok_or_else(|| {
                    let there =
                        team_id.map_or("the organization".to_owned(), |team| format!("team {team:?}"));
                    Failure::failed(
                        format_args!("{user} has no role in {there}"),
                        "`latchgate users show` tells which they have, and --team-id names the team",
                    )
                })?;
                let path = [members.as_slice(), &[text(&member, "user_id")]].concat();
                plane.ask(Question::to(Method::DELETE, &path)).await?;
                printer.object(&member)
            }),
            Self::Deactivate { user, target } => change(&target, &user, "active", json!(false)),
            Self::Activate { user, target } => change(&target, &user, "active", json!(true)),
            Self::SetPassword { user, password_stdin, target } => {
                let password = if password_stdin {
                    secrets::line_of_stdin("the password", "--password-stdin")?
                } else {
                    secrets::ask_new_password(&user)?.ok_or_else(|| {
                        Failure::usage("no password was given", "run the command again, or pipe it in")
                    })?
                };
                target.on_store(async |control, mut printer| {
                    control.set_password(&Caller::Operator, &user, &password).await?;
                    printer.object(&control.find_user(&Caller::Operator, &user).await?)
                })
            }
            Self::SignOut { user, target } => target.work(async |plane, mut printer| {
                let (plane, id) = found(plane, user).await?;
                let user = plane.find(USER, &id).await?;
                plane.ask(Question::to(Method::DELETE, &["users", text(&user, "id"), "sessions"])).await?;
                printer.object(&user)
            }),
            Self::RemoveSecondFactor { user, consent, target } => target.work(async |plane, mut printer| {
                let (plane, id) = found(plane, user).await?;
                let user = plane.find(USER, &id).await?;
                let email = text(&user, "email");
                consent.to(&format!(
                    "from now on the password alone signs {email} in: see that it is them who ask"
                ))?;
                let path = ["users", text(&user, "id"), "second-factor"];
                plane.ask(Question::to(Method::DELETE, &path)).await?;
                printer.object(&user)
            }),
            Self::Delete { user, consent, target } => target.work(async |plane, printer| {
                let what = |user: &Value| {
                    format!("this removes {} and revokes their keys for ever", text(user, "email"))
                };
                plane.delete(USER, &user, consent, what, printer).await
            }),
        }
    }
}

/// No role is called `none`.
pub(super) fn chosen(role: String) -> Option<String> {
    Some(role).filter(|role| role != "none")
}

fn change(target: &Target, user: &str, field: &str, value: Value) -> Result<(), Failure> {
    target.work(async |plane, mut printer| {
        let user = plane.id(USER, user).await?;
        printer.object(&plane.ask(Question::to(Method::PATCH, &["users", &user]).with(field, value)).await?)
    })
}

/// The operator finds people of every organization; whoever else asks may see the members of a team alone.
async fn found(plane: Plane, user: String) -> Result<(Plane, String), Failure> {
    if !plane.is_operator() {
        return Ok((plane, user));
    }
    let object = plane.find(USER, &user).await?;
    Ok((plane.beside(&object), text(&object, "id").to_owned()))
}

/// Where a role is held: in the organization or in a team, as the profile has it.
pub(super) async fn where_held(
    plane: &Plane,
    role: Option<&str>,
    team: Option<String>,
) -> Result<Option<String>, Failure> {
    let Some(role) = role else { return Ok(team) };
    let mut level = Value::Null;
    plane
        .each(Question::get(&["roles"]).with("name", role), |role| {
            level = role["level"].clone();
            Ok(())
        })
        .await?;
    match (level.as_str(), team) {
        (Some("org"), _) => Ok(None),
        (Some(_), None) => {
            let teams = plane.ask(Question::get(&["teams"]).with("limit", 2)).await?;
            match teams["items"].as_array().map(Vec::as_slice) {
                Some([only]) => Ok(Some(text(only, "id").to_owned())),
                _ => Err(Failure::usage(
                    "--team-id: name the team in which the role is held",
                    "`latchgate teams list` shows those there are",
                )),
            }
        }
        (_, team) => Ok(team),
    }
}

/// The path of the members of a team, or of the organization.
fn members(team: Option<&str>) -> Vec<&str> {
    team.map_or_else(|| vec!["org", "members"], |team| vec!["teams", team, "members"])
}

/// The member with this id or e-mail address.
async fn member(plane: &Plane, members: &[&str], user: &str) -> Result<Option<Value>, Failure> {
    let mut found = None;
    plane
        .each(Question::get(members), |member| {
            if text(&member, "user_id") == user || text(&member, "email").eq_ignore_ascii_case(user) {
                found = Some(member);
            }
            Ok(())
        })
        .await?;
    Ok(found)
}
