//! What is written about each request: lines on standard output, and rows in the store for the tenants to look at.

use std::{
    io::{self, Write},
    sync::Arc,
};

use tokio::sync::mpsc;

use super::requests;
use crate::{
    config::{Config, LogFormat},
    domain::time::Clock,
    runtime::tasks::Tasks,
    store::Store,
    telemetry::{
        LineFormat,
        access_log::{AccessLog, Outlets},
        metrics::Metrics,
        redact::Redactor,
    },
};

/// Starts the log that the configuration wants. Rows are written by a task of `tasks`, which start its thread too.
pub(super) async fn start(
    config: &Config,
    sink: Option<Box<dyn Write + Send>>,
    store: &Store,
    clock: &Clock,
    metrics: &Arc<Metrics>,
    tasks: &Tasks,
) -> io::Result<AccessLog> {
    let lines = config.log.access.then(|| sink.unwrap_or_else(AccessLog::stdout));
    let kept = config.log.requests.map(|most| {
        let (kept, requests) = mpsc::channel(requests::QUEUE);
        let bounds = requests::Kept { most, age: config.log.requests_age };
        let keeping = requests::keep(store.clone(), requests, bounds, clock.clone(), tasks.stopped());
        tasks.spawn("request log", keeping);
        kept
    });
    let outlets = Outlets { lines: lines.map(|sink| (sink, line_format(config.log.format))), kept };
    let (redactor, metrics) = (Redactor::new(&config.profile.keys.shape), Arc::clone(metrics));
    let starting =
        tasks.run("start of the access log", async move { AccessLog::to(outlets, redactor, &metrics) });
    starting.await.unwrap_or_else(|| Err(io::Error::other("it panicked")))
}

/// The configuration's word for the log's format.
pub(super) fn line_format(format: LogFormat) -> LineFormat {
    match format {
        LogFormat::Json => LineFormat::Json,
        LogFormat::Text => LineFormat::Text,
    }
}
