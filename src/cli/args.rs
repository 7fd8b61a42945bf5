//! Arguments that several commands share, and how a command on the store runs.

use std::path::PathBuf;

use clap::Args;

use super::{
    error::Failure,
    open,
    output::{Format, Printer},
    secrets,
};
use crate::{
    control::service::Control,
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

/// What every command on the local store takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Local {
    #[command(flatten)]
    pub(crate) config: ConfigFile,
    #[command(flatten)]
    pub(crate) answer: Answer,
}

/// Consent to what cannot be undone.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Consent {
    /// Do not ask whether it is meant
    #[arg(long)]
    yes: bool,
}

impl Local {
    /// Opens the store and does the work as operator. A running gateway on the same store follows within a second.
    pub(crate) fn work(
        &self,
        work: impl AsyncFnOnce(&Control, Printer) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let config = open::load(&self.config.path)?.config;
        // A damaged row is left out of a list with a word about it, which has to be heard here too.
        let redactor = Redactor::new(&config.profile.keys.shape);
        logging::install(LineFormat::Text, tracing::Level::WARN, redactor, Clock::system());
        open::block_on(async {
            let control = open::control(&config).await?;
            let printer = Printer::stdout(self.answer.output, control.clock().now());
            let done = work(&control, printer).await;
            // Also after a failure: closing writes the log back, so that the file alone is whole.
            control.store().close().await;
            done
        })
    }
}

impl Consent {
    /// Asks on a terminal; elsewhere only `--yes` will do.
    pub(crate) fn to(self, what: &str) -> Result<(), Failure> {
        if self.yes || (secrets::can_ask() && secrets::confirm(what)) {
            return Ok(());
        }
        Err(Failure::failed(
            format_args!("nothing was done: {what}"),
            "if that is meant, answer yes on a terminal or add --yes",
        ))
    }
}
