//! Arguments that several commands share, and how a command on the store runs.

use std::path::PathBuf;

use clap::Args;
use http::Method;

use super::{
    error::Failure,
    open,
    output::{Format, Printer, harmless},
    plane::Plane,
    remote::Remote,
    secrets::{self, Token},
};
use crate::{
    config::Environment,
    control::{api::Question, service::Control},
    domain::time::Clock,
    telemetry::{LineFormat, logging, redact::Redactor},
};

/// Where the configuration is.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConfigFile {
    /// The configuration file; paths inside it are relative to it
    #[arg(id = "config", long, value_name = "FILE", default_value = "latchgate.toml")]
    pub(crate) path: PathBuf,
}

/// How to answer.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Answer {
    /// How to print the answer
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// Where a command does its work.
#[derive(Debug, Clone, Args)]
pub(crate) struct Place {
    #[command(flatten)]
    config: ConfigFile,
    /// Ask the admin API at this address instead, with the token in LATCHGATE_TOKEN or in the file that
    /// LATCHGATE_TOKEN_FILE names
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    server: Option<String>,
    /// Let the token travel in the clear, to an http:// address beyond this machine
    #[arg(long, requires = "server")]
    insecure_http: bool,
}

/// The same, and how it answers.
#[derive(Debug, Clone, Args)]
pub(crate) struct Target {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    answer: Answer,
}

/// Another name, another slug, or both.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct Renaming {
    /// Its new name
    #[arg(long)]
    name: Option<String>,
    /// Its new slug
    #[arg(long)]
    slug: Option<String>,
}

impl Renaming {
    /// Asks for it.
    pub(crate) fn of(self, path: &[&str]) -> Question {
        Question::to(Method::PATCH, path).with("name", self.name).with("slug", self.slug)
    }
}

/// Consent to what cannot be undone.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Consent {
    /// Do not ask whether it is meant
    #[arg(long)]
    yes: bool,
}

impl Place {
    /// Does the work on the store as operator, or on the server.
    pub(crate) fn work(
        &self,
        format: Format,
        work: impl AsyncFnOnce(Plane, Printer) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let Some(server) = &self.server else {
            return self.on_store(format, async |control, printer| {
                work(Plane::Here { control, org: None }, printer).await
            });
        };
        let token = Token::from_environment(&Environment::from_process())?;
        let remote = Remote::open(server, self.insecure_http, Some(token))?;
        let printer = Printer::stdout(format, Clock::system().now());
        open::block_on(work(Plane::There(remote), printer))
    }

    /// Opens the store and does what only its operator can. A running gateway on the same store follows within a
    /// second.
    fn on_store(
        &self,
        format: Format,
        work: impl AsyncFnOnce(Control, Printer) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if self.server.is_some() {
            return Err(Failure::usage(
                "this command works on the store itself, which no server gives away",
                "run it with --config on the machine of the gateway",
            ));
        }
        let config = open::load(&self.config.path)?.config;
        // A damaged row is left out of a list with a word about it, which has to be heard here too.
        let redactor = Redactor::new(&config.profile.keys.shape);
        logging::install(LineFormat::Text, tracing::Level::WARN, redactor, Clock::system());
        open::block_on(async {
            let control = open::control(&config).await?;
            let store = control.store().clone();
            let printer = Printer::stdout(format, control.clock().now());
            let done = work(control, printer).await;
            // Also after a failure: closing writes the log back, so that the file alone is whole.
            store.close().await;
            done
        })
    }
}

impl Target {
    /// As [`Place::work`].
    pub(crate) fn work(
        &self,
        work: impl AsyncFnOnce(Plane, Printer) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.place.work(self.answer.output, work)
    }

    /// As [`Place::on_store`].
    pub(crate) fn on_store(
        &self,
        work: impl AsyncFnOnce(Control, Printer) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.place.on_store(self.answer.output, work)
    }
}

impl Consent {
    /// Asks on a terminal; elsewhere only `--yes` will do.
    pub(crate) fn to(self, what: &str) -> Result<(), Failure> {
        let what = &harmless(what);
        if self.yes || (secrets::can_ask() && secrets::confirm(what)) {
            return Ok(());
        }
        Err(Failure::failed(
            format_args!("nothing was done: {what}"),
            "if that is meant, answer yes on a terminal or add --yes",
        ))
    }
}
