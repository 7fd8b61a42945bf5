//! `latchgate explain`: what the gateway would do with a request, and why.

use std::{
    fmt::Write,
    net::{IpAddr, Ipv4Addr},
};

use anstyle::{AnsiColor, Style};
use clap::Args;
use http::Method;

use super::{
    args::{Answer, ConfigFile},
    error::Failure,
    open,
    output::{Format, Printer},
    secrets,
};
use crate::{
    app::explain::{self, Explanation, Question},
    domain::time::Clock,
    store::{Options, Store},
    telemetry::metrics::Metrics,
};

/// Show step by step what the gateway would do with a request, and why
#[derive(Debug, Args)]
#[command(after_help = "Nothing is sent and nothing is counted. Exits with 0 whatever the decision is.

Example:
  printf %s \"$KEY\" | latchgate explain --method POST --path /v1/scans/7 --key-stdin")]
pub(crate) struct Explain {
    #[command(flatten)]
    config: ConfigFile,
    /// The request's method
    #[arg(long, default_value = "GET")]
    method: Method,
    /// The request's path, as a client would send it
    #[arg(long)]
    path: String,
    /// The host it is for; without it only routes for any host can match
    #[arg(long)]
    host: Option<String>,
    /// The other end of the connection: the client, or the proxy in front
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    ip: IpAddr,
    /// An X-Forwarded-For as it would arrive; may be given more than once
    #[arg(long, value_name = "LINE")]
    forwarded_for: Vec<String>,
    /// A Forwarded (RFC 7239) as it would arrive; may be given more than once
    #[arg(long, value_name = "LINE")]
    forwarded: Vec<String>,
    /// Read the key that the request carries from stdin; without it it carries none
    #[arg(long)]
    key_stdin: bool,
    #[command(flatten)]
    answer: Answer,
}

impl Explain {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let config = open::load(&self.config.path)?.config;
        let secret = open::root_secret(&config)?;
        let key = if self.key_stdin { Some(secrets::line_of_stdin("the key", "--key-stdin")?) } else { None };
        let question = Question {
            method: self.method,
            path: self.path,
            host: self.host,
            peer: self.ip,
            forwarded_for: self.forwarded_for,
            forwarded: self.forwarded,
            key,
        };
        let clock = Clock::system();
        let metrics = Metrics::new()
            .map_err(|error| Failure::failed(error, "report it as a defect, with the command you ran"))?;
        let explanation = open::block_on(async {
            let store = Store::open(&Options::sqlite(config.store.url.path()), clock.now()).await;
            let store = store.map_err(|error| open::store(&error))?;
            let told =
                explain::explain(&config, store.clone(), &secret.root, &clock, metrics, &question).await;
            store.close().await;
            told.map_err(|error| {
                Failure::failed(open::chain(&error), "see whether the file named by store.url can be read")
            })
        })?;
        let mut printer = Printer::stdout(self.answer.output, clock.now());
        match printer.format() {
            Format::Json => printer.object(&explanation),
            Format::Table => printer.text(&for_people(&explanation)),
        }
    }
}

fn for_people(explanation: &Explanation) -> String {
    let bold = Style::new().bold();
    let (yes, no) = (AnsiColor::Green.on_default(), AnsiColor::Red.on_default());
    let width = explanation.steps.iter().map(|step| step.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for step in &explanation.steps {
        let (style, mark) = if step.passed { (yes, '✓') } else { (no, '✗') };
        let _ = writeln!(
            text,
            "{style}{mark}{style:#} {:<width$}  {}",
            step.name,
            super::output::harmless(&step.found)
        );
    }
    let _ = match explanation.status {
        None => writeln!(text, "\n{bold}forwarded{bold:#}"),
        Some(status) => writeln!(text, "\n{bold}refused: {status} {}{bold:#}", explanation.code),
    };
    text
}
