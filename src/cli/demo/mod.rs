//! `latchgate demo`: the whole gateway with nothing to prepare.

mod echo;
mod state;
mod tour;

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;

use self::{echo::Echo, state::State};
use super::{error::Failure, output, serve::ended};
use crate::{
    app::{self, App, AppOptions, RunError, Signals},
    config::{Config, Environment},
};

/// Run the whole gateway before an echo backend, with nothing to prepare
#[derive(Debug, Args)]
#[command(
    after_help = "Prints a sign-in, an API key and curl lines to paste that are answered with 200, 401, 403 and 429. \
Ctrl-C ends it; without --dir nothing is left behind.

Examples:
  latchgate demo
  latchgate demo --gateway 127.0.0.1:9080 --ops 127.0.0.1:9082"
)]
pub(crate) struct Demo {
    /// Keep configuration, secret and store in this folder, and find them there again
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Where the gateway listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    gateway: SocketAddr,
    /// Where the admin API listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081")]
    admin: SocketAddr,
    /// Where metrics and health are
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8082")]
    ops: SocketAddr,
}

impl Demo {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let state = State::at(self.dir.clone())?;
        let runtime = app::runtime().map_err(|error| stopped(&error.into()))?;
        let bound = runtime.block_on(async {
            // Before anything is made: a signal that comes early ends the demo in order, too.
            let signals = Signals::listen()?;
            let echo = Echo::bind().await?;
            let address = echo.address()?;
            Ok((signals, echo, address))
        });
        let (signals, echo, backend) = bound.map_err(|error| stopped(&RunError::Machine(error)))?;
        let environment = self.environment(backend);
        let (config, issued) = state.prepare(&environment)?;
        app::install_logging(&config);

        runtime.block_on(async {
            let app = App::start(config, AppOptions::default()).await;
            let app = app.map_err(|error| stopped(&error.into()))?;
            let addresses = (app.gateway_addr(), app.admin_addr(), app.ops_addr());
            output::styled(&tour::text(addresses, &issued, &state))?;
            let file = state.config_file();
            tokio::select! {
                ended = app::serve(app, signals, || Config::load(&file, &environment)) => {
                    ended.map_err(|error| stopped(&error))
                }
                never = echo.serve() => match never {},
            }
        })
    }

    /// Lays this run's addresses over the file, which may be of an earlier one.
    fn environment(&self, backend: SocketAddr) -> Environment {
        Environment::empty()
            .with("LATCHGATE_LISTEN__GATEWAY", self.gateway.to_string())
            .with("LATCHGATE_LISTEN__ADMIN", self.admin.to_string())
            .with("LATCHGATE_LISTEN__OPS", self.ops.to_string())
            .with("LATCHGATE_UPSTREAM__0__TARGETS", format!("[\"http://{backend}\"]"))
    }
}

fn stopped(error: &RunError) -> Failure {
    ended(error, true)
}
