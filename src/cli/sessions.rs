//! `latchgate sessions`: signing in to a server from a shell. What comes of it is a token for `LATCHGATE_TOKEN`.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::Value;
use zeroize::Zeroizing;

use super::{
    args::Answer,
    error::{Failure, note},
    open,
    output::{Format, Printer, harmless},
    plane::text,
    remote::Remote,
    second_factors::{self, SecondFactor},
    secrets::{self, Token},
};
use crate::{config::Environment, control::api::Question, domain::time::Clock};

/// Sign in to a server, and look after that session
#[derive(Debug, Subcommand)]
pub(crate) enum Sessions {
    /// Sign in with a password and print the session's token, this once
    #[command(after_help = "Stdout gets the token alone, so that a script can take it.

Example:
  export LATCHGATE_TOKEN=$(latchgate sessions sign-in --server https://gate:8081 --email ana@example.com)
  latchgate sessions show --server https://gate:8081")]
    SignIn {
        /// The e-mail address
        #[arg(long)]
        email: String,
        /// Read the password from stdin; without it a terminal is asked
        #[arg(long)]
        password_stdin: bool,
        /// A code of the second factor, or a recovery code; where one is needed a terminal is asked for it
        #[arg(long)]
        code: Option<String>,
        #[command(flatten)]
        there: There,
    },
    /// Show who is signed in, where they act and what they may do there
    Show {
        #[command(flatten)]
        there: There,
    },
    /// Act in another team from the next request on
    Switch {
        /// The team, by slug or id; without it the organization itself
        team: Option<String>,
        #[command(flatten)]
        there: There,
    },
    /// The second factor: codes of an authenticator app besides the password
    #[command(subcommand)]
    SecondFactor(SecondFactor),
    /// Sign out: the token is worth nothing any more
    SignOut {
        #[command(flatten)]
        there: There,
    },
}

/// A server, where sessions are.
#[derive(Debug, Args)]
pub(crate) struct There {
    /// The address of the admin API; but for `sign-in` with the session's token in LATCHGATE_TOKEN
    #[arg(long, value_name = "URL")]
    server: String,
    /// Let password and token travel in the clear, to an http:// address beyond this machine
    #[arg(long)]
    insecure_http: bool,
    #[command(flatten)]
    answer: Answer,
}

impl There {
    fn work(
        &self,
        token: Option<Token>,
        work: impl AsyncFnOnce(Remote, Printer) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let remote = Remote::open(&self.server, self.insecure_http, token)?;
        open::block_on(work(remote, Printer::stdout(self.answer.output, Clock::system().now())))
    }

    pub(super) fn signed_in(
        &self,
        work: impl AsyncFnOnce(Remote, Printer) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.work(Some(Token::from_environment(&Environment::from_process())?), work)
    }
}

pub(super) const SESSION: [&str; 1] = ["session"];

impl Sessions {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::SignIn { email, password_stdin, code, there } => {
                there.work(None, async |remote, mut printer| {
                    remote.greet().await?;
                    // Asked for only now: a wrong address costs no typing.
                    let password = password(&email, password_stdin)?;
                    let question = Question::to(Method::POST, &SESSION).with("email", email);
                    let question = question.with("password", password.as_str()).with("code", code);
                    let session = match remote.ask_or_code(&question).await? {
                        Some(session) => session,
                        None => {
                            remote.ask(&question.with("code", second_factors::code(None)?.as_str())).await?
                        }
                    };
                    if printer.format() == Format::Json {
                        return printer.object(&session);
                    }
                    let place = session["active_team"]["slug"].as_str().unwrap_or("the organization");
                    let ends = session["expires_at"].as_str().and_then(|at| at.parse().ok());
                    note(format_args!(
                        "Signed in as {}, acting in {}, until {}. This is the only time the token is shown:",
                        harmless(text(&session["user"], "email")),
                        harmless(place),
                        ends.map_or_else(String::new, |at| printer.time(at))
                    ));
                    printer.text(&harmless(text(&session, "token")))
                })
            }
            Self::Show { there } => there.signed_in(async |remote, mut printer| {
                printer.object(&remote.ask(&Question::get(&SESSION)).await?)
            }),
            Self::Switch { team, there } => there.signed_in(async |remote, mut printer| {
                let team = match team {
                    Some(named) => Some(own_team(&remote, &named).await?),
                    None => None,
                };
                let question = Question::to(Method::PUT, &["session", "team"]).change("team_id", Some(team));
                printer.object(&remote.ask(&question).await?)
            }),
            Self::SecondFactor(command) => command.run(),
            Self::SignOut { there } => there.signed_in(async |remote, _| {
                remote.ask(&Question::to(Method::DELETE, &SESSION)).await?;
                note("Signed out.");
                Ok(())
            }),
        }
    }
}

pub(super) fn password(email: &str, stdin: bool) -> Result<Zeroizing<String>, Failure> {
    if stdin {
        return secrets::line_of_stdin("the password", "--password-stdin");
    }
    if !secrets::can_ask() {
        return Err(Failure::usage(
            "there is no terminal to ask for the password",
            "pipe it in with --password-stdin",
        ));
    }
    secrets::ask(&format!("Password for {}: ", harmless(email)))
}

/// The id of one of the caller's teams. Lists show the active one alone, so the session is asked.
async fn own_team(remote: &Remote, named: &str) -> Result<String, Failure> {
    let session = remote.ask(&Question::get(&SESSION)).await?;
    let teams = session["teams"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_it = |team: &&Value| [text(team, "id"), text(team, "slug")].contains(&named);
    teams.iter().find(is_it).map(|team| text(team, "id").to_owned()).ok_or_else(|| {
        let known: Vec<_> = teams.iter().map(|team| harmless(text(team, "slug"))).collect();
        Failure::failed(
            format_args!("you are in no team {named:?}"),
            format!("your teams: {}", known.join(", ")),
        )
    })
}
