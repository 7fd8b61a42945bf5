//! `latchgate keys create`, and how a full key is shown: once.

use std::{fs, path::PathBuf};

use clap::Args;
use http::Method;
use serde_json::Value;

use crate::{
    cli::{
        args::Target,
        error::{Failure, note},
        output::{Format, Printer, harmless},
        plane::{PROJECT, Plane, TEAM, USER, text},
    },
    control::api::Question,
    domain::time::Timestamp,
};

/// Create a key and print it, this once
#[derive(Debug, Args)]
#[command(
    after_help = "Stdout gets the key alone, so that a script can take it; what else is worth knowing goes to stderr. \
With --output json stdout gets the object of the API, `key` included. The key is stored nowhere, unless its level is \
advanced: then it is the secret that requests are signed with, and stored sealed. With --public-key nothing secret is \
made, and stdout gets the keyid to sign with.

Examples:
  latchgate keys create --user ana@example.com --name ci --team-id payments --scopes scan:read
  KEY=$(latchgate keys create --user ana@example.com --name ci --preset ci-cd)
  latchgate keys create --user ana@example.com --name ci --scopes scan:read \\
      --expires-in-days 90 --allowed-ips 10.0.0.0/8,2001:db8::/32 --rate-limit-per-minute 600"
)]
pub(crate) struct Create {
    /// In whose name, by e-mail address or id
    #[arg(long)]
    user: Option<String>,
    /// The organization, by slug or id; follows from --user where that is given
    #[arg(long)]
    org: Option<String>,
    /// Its label
    #[arg(long)]
    name: String,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// How wide it acts; the narrowest that the profile knows when left out
    #[arg(long, value_parser = ["org", "team", "project"])]
    scope: Option<String>,
    /// The team that it is bound to, by slug or id
    #[arg(long, value_name = "TEAM")]
    team_id: Option<String>,
    /// The project that it is bound to, by slug or id
    #[arg(long, value_name = "PROJECT")]
    project_id: Option<String>,
    /// What it may do there: permissions, separated by commas
    #[arg(long, value_delimiter = ',', conflicts_with_all = ["preset", "roles"])]
    scopes: Option<Vec<String>>,
    /// A ready-made list of scopes, one of the profile's
    #[arg(long, conflicts_with = "roles")]
    preset: Option<String>,
    /// Roles instead of scopes, separated by commas: the profile's for keys, or custom ones
    #[arg(long, value_delimiter = ',')]
    roles: Option<Vec<String>>,
    /// The role that it acts with, at most its issuer's
    #[arg(long, value_name = "ROLE")]
    effective_role: Option<String>,
    /// After how many days it ends
    #[arg(long, value_name = "DAYS", conflicts_with = "expires_at")]
    expires_in_days: Option<i64>,
    /// When it ends, such as 2027-01-31T09:30:00Z
    #[arg(long, value_name = "TIME")]
    expires_at: Option<Timestamp>,
    /// A label such as production
    #[arg(long)]
    environment: Option<String>,
    /// How often it may call
    #[arg(long, value_name = "NUMBER")]
    rate_limit_per_minute: Option<i64>,
    /// From where it may call: addresses and networks, separated by commas; from everywhere when left out
    #[arg(long, value_name = "NETWORKS", value_delimiter = ',')]
    allowed_ips: Vec<String>,
    /// How requests carry it: as it is, or as a signature
    #[arg(long, value_name = "LEVEL", value_parser = ["standard", "advanced"])]
    security_level: Option<String>,
    /// A file with the public half of your Ed25519 pair, as PEM; without it, keys of the level advanced are secrets
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
    #[command(flatten)]
    target: Target,
}

impl Create {
    pub(crate) fn run(self: Box<Self>) -> Result<(), Failure> {
        let target = self.target.clone();
        target.work(async |plane, mut printer| {
            let (plane, question) = self.question(plane).await?;
            let created = plane.ask(question).await?;
            reveal(
                &mut printer,
                &created,
                &format!("{REVOKE} {}, then create another one", text(&created, "prefix")),
            )
        })
    }

    /// Everything that was said, names turned into ids; and where they are ids.
    async fn question(self, plane: Plane) -> Result<(Plane, Question), Failure> {
        let public_key = public_key(self.public_key)?;
        let mut plane = plane.within(self.org.as_deref()).await?;
        let mut user = None;
        if let Some(named) = &self.user {
            let person = plane.find(USER, named).await?;
            user = Some(text(&person, "id").to_owned());
            if self.org.is_none() {
                plane = plane.beside(&person);
            }
        }
        let question = Question::to(Method::POST, &["api-keys"])
            .with("user_id", user)
            .with("name", self.name)
            .with("description", self.description)
            .with("scope", self.scope)
            .with("team_id", plane.maybe_id(TEAM, self.team_id.as_deref()).await?)
            .with("project_id", plane.maybe_id(PROJECT, self.project_id.as_deref()).await?)
            .with("scopes", self.scopes)
            .with("preset", self.preset)
            .with("roles", self.roles)
            .with("effective_role", self.effective_role)
            .with("expires_in_days", self.expires_in_days)
            .with("expires_at", self.expires_at.map(|at| at.to_string()))
            .with("environment", self.environment)
            .with("rate_limit_per_minute", self.rate_limit_per_minute)
            .with("allowed_ips", self.allowed_ips)
            .with("security_level", self.security_level)
            .with("public_key", public_key);
        Ok((plane, question))
    }
}

/// The content of the file that `--public-key` names.
pub(super) fn public_key(path: Option<PathBuf>) -> Result<Option<String>, Failure> {
    let read = |path: PathBuf| {
        fs::read_to_string(&path).map_err(|error| {
            Failure::usage(
                format_args!("--public-key: cannot read {}: {error}", path.display()),
                "name a PEM file, such as `openssl pkey -in private.pem -pubout` writes",
            )
        })
    };
    path.map(read).transpose()
}

const REVOKE: &str = "latchgate keys revoke";

/// Prints a new key. Where that fails nobody will ever know it, so the error says what to do about it.
pub(super) fn reveal(printer: &mut Printer, created: &Value, lost: &str) -> Result<(), Failure> {
    let prefix = harmless(text(created, "prefix"));
    let made = |problem: &str| Failure::failed(format_args!("key {prefix} was made, but {problem}"), lost);
    // Asked twice, a server carries a change out once and never repeats the key.
    let Some(key) = created.get("key") else {
        return Err(made("the answer that held it was lost on its way, and it cannot be shown again"));
    };
    let shown = match printer.format() {
        Format::Json => printer.object(created),
        Format::Table => {
            let ends = created["expires_at"].as_str().and_then(|at| at.parse().ok());
            let ends = ends.map_or_else(|| "never".to_owned(), |at| printer.time(at));
            let name = harmless(text(created, "name"));
            let full = key.as_str();
            let what = match (full, text(created, "security_level")) {
                (None, _) => "Sign requests with your private key and this keyid",
                (Some(_), "advanced") => "Sign requests with it. This is the only time it is shown",
                (Some(_), _) => "This is the only time it is shown",
            };
            note(format_args!("Key {prefix} ({name}), expires: {ends}. {what}:"));
            printer.text(&full.map_or_else(|| prefix.clone(), harmless))
        }
    };
    shown.map_err(|_| made("stdout did not take it, and it cannot be shown again"))
}
