//! `latchgate keys create`, and how a full key is shown: once.

use std::{fs, path::PathBuf};

use clap::Args;
use serde::Serialize;

use crate::{
    cli::{
        args::Local,
        error::{Failure, note},
        output::{Format, Printer},
    },
    control::service::{Caller, Created, KeyView, NewKey},
    domain::time::Timestamp,
};

/// Create a key and print it, this once
#[derive(Debug, Args)]
#[command(
    after_help = "Stdout gets the key alone, so that a script can take it; what else is worth knowing goes to stderr. \
With --output json stdout gets the object of the API, `key` included. The key is stored nowhere.

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
    /// How requests carry it; this version knows standard only
    #[arg(long, value_name = "LEVEL")]
    security_level: Option<String>,
    /// A file with the public half of a signing key, as PEM; of no use to keys of the level standard
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
    #[command(flatten)]
    local: Local,
}

impl Create {
    pub(crate) fn run(self: Box<Self>) -> Result<(), Failure> {
        let (new, local) = self.split()?;
        local.work(async |control, mut printer| {
            let created = control.create_key(&Caller::Operator, &new).await?;
            reveal(&mut printer, &created)
        })
    }

    fn split(self) -> Result<(NewKey, Local), Failure> {
        let public_key = self.public_key.map(|path| {
            fs::read_to_string(&path).map_err(|error| {
                Failure::usage(
                    format_args!("--public-key: cannot read {}: {error}", path.display()),
                    "name a PEM file",
                )
            })
        });
        let new = NewKey {
            user: self.user,
            org: self.org,
            name: self.name,
            description: self.description,
            scope: self.scope,
            team_id: self.team_id,
            project_id: self.project_id,
            scopes: self.scopes,
            preset: self.preset,
            roles: self.roles,
            expires_in_days: self.expires_in_days,
            expires_at: self.expires_at,
            environment: self.environment,
            rate_limit_per_minute: self.rate_limit_per_minute,
            allowed_ips: self.allowed_ips,
            security_level: self.security_level,
            effective_role: self.effective_role,
            public_key: public_key.transpose()?,
        };
        Ok((new, self.local))
    }
}

/// The answer of the API: the object and the full key.
#[derive(Serialize)]
struct Revealed<'a> {
    #[serde(flatten)]
    object: &'a KeyView,
    key: &'a str,
}

/// Prints a new key. Where that fails nobody will ever know it, so the error says how to get rid of it.
pub(super) fn reveal(printer: &mut Printer, created: &Created) -> Result<(), Failure> {
    let Created { key, token } = created;
    let shown = match printer.format() {
        Format::Json => printer.object(&Revealed { object: key, key: token.reveal() }),
        Format::Table => {
            let ends = key.expires_at.map_or_else(|| "never".to_owned(), |at| printer.time(at));
            note(format_args!(
                "Key {} ({}), expires: {ends}. This is the only time it is shown:",
                key.prefix, key.name
            ));
            printer.text(token.reveal())
        }
    };
    shown.map_err(|_| {
        Failure::failed(
            format_args!(
                "key {} was made, but stdout did not take it, and it cannot be shown again",
                key.prefix
            ),
            format!("latchgate keys revoke {}, then create another one", key.prefix),
        )
    })
}
