//! `latchgate check`: what a configuration means, without a network unless asked.

mod online;
mod ready;
mod report;

use std::net::SocketAddr;

use clap::Args;

use self::report::Report;
use super::{
    args::{Answer, ConfigFile},
    error::{Failure, warn},
    open,
    output::{self, Format, Printer},
    serve,
};
use crate::{
    app::{reach, tls},
    config::Warning,
    domain::time::Clock,
};

/// Check a configuration and print its routes
#[derive(Debug, Args)]
#[command(after_help = "Nothing is connected to unless --online or --ready is given.

Examples:
  latchgate check --config gate/latchgate.toml
  latchgate check --config gate/latchgate.toml --online
  latchgate check --config gate/latchgate.toml --output json | jq '.routes[].path'
  latchgate check --ready 127.0.0.1:8082           is the gateway that runs here ready?")]
pub(crate) struct Check {
    #[command(flatten)]
    config: ConfigFile,
    /// Also open the store, connect to every target of every upstream, ask identity providers for their keys, and the authority of [tls.acme] for its directory
    #[arg(long)]
    online: bool,
    /// Read no configuration, but ask the gateway that runs with this ops port whether it is ready
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["online", "config"])]
    ready: Option<SocketAddr>,
    #[command(flatten)]
    answer: Answer,
}

impl Check {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        if let Some(ops) = self.ready {
            return output::bytes(ready::ask(ops)?.as_bytes());
        }
        let loaded = open::load(&self.config.path)?;
        let mut report = Report::of(&self.config.path, &loaded);
        if loaded.config.mail.is_none() {
            let text = "there is none: nobody can be invited, and nobody hears of keys that end soon";
            report.warnings.push(Warning { key: "mail.url".to_owned(), text: text.to_owned() });
        }
        report.warnings.extend(open::root_secret(&loaded.config)?.warning);
        report
            .warnings
            .extend(reach::examine(&loaded.config).map_err(|error| serve::unstarted(&error, false))?);
        let (certificates, odd) =
            tls::examine(&loaded.config).map_err(|error| serve::unstarted(&error, false))?;
        report.warnings.extend(odd);
        report.certificates = report::certificates(certificates);
        if self.online {
            report.online = Some(online::reach(&loaded.config)?);
        }

        let mut printer = Printer::stdout(self.answer.output, Clock::system().now());
        match printer.format() {
            Format::Json => printer.object(&report)?,
            Format::Table => printer.text(&report.for_people()?)?,
        }
        if self.answer.output == Format::Table {
            report.warnings.iter().for_each(warn);
        }
        if report.online.iter().flatten().any(|reached| reached.problem.is_some()) {
            return Err(Failure::failed(
                "the configuration is right, but not everything it names can be reached",
                "start what is down, or correct its address",
            ));
        }
        Ok(())
    }
}
