//! `latchgate keys update`: labels and limits, never what a key may do or where.

use clap::Args;
use http::Method;

use crate::{
    cli::{args::Target, error::Failure, plane::KEY},
    control::api::Question,
};

/// Change a key's labels and limits; an empty value, or the rate 0, takes one away
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("change").required(true).multiple(true)
    .args(["name", "description", "environment", "rate_limit_per_minute", "allowed_ips"])))]
#[command(after_help = "Examples:
  latchgate keys update a1b2c3d4 --allowed-ips 10.0.0.0/8 --rate-limit-per-minute 600
  latchgate keys update a1b2c3d4 --allowed-ips ''   # from everywhere again")]
pub(crate) struct Update {
    /// The key, by id or prefix
    id: String,
    /// Its label
    #[arg(long)]
    name: Option<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// A label such as production
    #[arg(long)]
    environment: Option<String>,
    /// How often it may call
    #[arg(long, value_name = "NUMBER")]
    rate_limit_per_minute: Option<i64>,
    /// From where it may call: addresses and networks, separated by commas
    #[arg(long, value_name = "NETWORKS")]
    allowed_ips: Option<String>,
    #[command(flatten)]
    target: Target,
}

impl Update {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let or_nothing = |text: String| Some(text).filter(|text| !text.trim().is_empty());
        let networks = |list: String| -> Vec<String> {
            list.split(',').map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned).collect()
        };
        self.target.work(async |plane, mut printer| {
            let id = plane.id(KEY, &self.id).await?;
            let question = Question::to(Method::PATCH, &["api-keys", &id])
                .change("name", self.name)
                .change("description", self.description.map(or_nothing))
                .change("environment", self.environment.map(or_nothing))
                .change(
                    "rate_limit_per_minute",
                    self.rate_limit_per_minute.map(|rate| Some(rate).filter(|rate| *rate != 0)),
                )
                .change("allowed_ips", self.allowed_ips.map(networks));
            printer.object(&plane.ask(question).await?)
        })
    }
}
