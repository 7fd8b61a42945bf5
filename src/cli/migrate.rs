//! `latchgate migrate`: the store's schema, up to date.

use clap::Args;

use super::{args::ConfigFile, error::Failure, open, output};
use crate::{
    domain::time::Clock,
    store::{Options, Store},
};

/// Bring the store's schema up to date, creating the store if it is not there
#[derive(Debug, Args)]
#[command(after_help = "`serve` does the same when it starts. Older programs cannot use a newer schema: \
keep a copy of the store's file to be able to go back.

Example:
  latchgate migrate --config gate/latchgate.toml")]
pub(crate) struct Migrate {
    #[command(flatten)]
    config: ConfigFile,
}

impl Migrate {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let config = open::load(&self.config.path)?.config;
        let path = config.store.url.path();
        open::block_on(async {
            let options = Options::sqlite(path).create(true).migrate(true);
            let store =
                Store::open(&options, Clock::system().now()).await.map_err(|error| open::store(&error))?;
            store.close().await;
            Ok(())
        })?;
        output::bytes(format!("{} is up to date.\n", path.display()).as_bytes())
    }
}
