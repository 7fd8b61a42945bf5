//! Joins what speaks for people elsewhere: the client for other servers, and the issuers of tokens.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::start_error::StartError;
use crate::{
    config::Config,
    domain::time::Clock,
    proxy::{
        authenticate::{jwt::Tokens, key::Keys},
        directory::Cache,
    },
    runtime::{jwks::Keeping, outbound::Outbound, tasks::Tasks},
};

/// The client for other servers.
pub(super) fn outbound(config: &Config) -> Result<Outbound, StartError> {
    let further = config.outbound.ca.as_deref();
    Outbound::new(further).map_err(|error| StartError::Outbound {
        origin: config.origin.clone(),
        path: further.unwrap_or(&config.origin).to_owned(),
        error,
    })
}

/// How other servers are called, on the runtime of the caller.
pub(super) fn keeping(config: &Config, clock: &Clock, tasks: &Tasks) -> Result<Keeping, StartError> {
    let outbound = outbound(config)?;
    let (clock, tasks, runtime) = (clock.clone(), tasks.clone(), Handle::current());
    Ok(Keeping { outbound, clock, tasks, runtime })
}

/// The issuers of a configuration; those of the one before that stay the same keep their keys.
pub(super) fn tokens(
    config: &Config,
    before: Option<&Tokens>,
    cache: &Cache,
    keys: &Keys,
    keeping: &Keeping,
) -> Arc<Tokens> {
    Arc::new(Tokens::new(&config.jwt, before, cache, keys.failures(), keeping))
}
