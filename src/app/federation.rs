//! Joins what speaks for people elsewhere: the client for other servers, the issuers of tokens, the provider that people
//! sign in by.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tokio::runtime::Handle;

use super::start_error::StartError;
use crate::{
    config::Config,
    control::{oidc::Oidc, service::Settings},
    domain::{seal::SealKey, time::Clock},
    proxy::{
        authenticate::{jwt::Tokens, key::Keys},
        directory::Cache,
    },
    runtime::{jwks::Keeping, outbound::Outbound, tasks::Tasks},
};

/// What a gateway knows of other servers. It outlives reloads, and with it what does not change by them.
pub(super) struct Federation {
    keeping: Keeping,
    oidc: Arc<ArcSwapOption<Oidc>>,
}

impl Federation {
    /// Nothing known yet. Others are asked on the runtime of the caller.
    pub(super) fn new(config: &Config, clock: &Clock, tasks: &Tasks) -> Result<Self, StartError> {
        let outbound = outbound(config)?;
        let (clock, tasks, runtime) = (clock.clone(), tasks.clone(), Handle::current());
        Ok(Self { keeping: Keeping { outbound, clock, tasks, runtime }, oidc: Arc::default() })
    }

    /// The client.
    pub(super) const fn outbound(&self) -> &Outbound {
        &self.keeping.outbound
    }

    /// The issuers of a configuration; those of the one before that stay the same keep their keys.
    pub(super) fn tokens(
        &self,
        config: &Config,
        before: Option<&Tokens>,
        cache: &Cache,
        keys: &Keys,
    ) -> Arc<Tokens> {
        Arc::new(Tokens::new(&config.jwt, before, cache, keys.failures(), &self.keeping))
    }

    /// Puts the provider of a configuration in force; one that stays the same keeps what it knows, and which sign-ins
    /// are under way.
    pub(super) fn sign_in(&self, config: &Config, settings: &Settings, seal: &SealKey) {
        let (base, insecure) = (&settings.public_url, config.sessions.insecure_cookie);
        let before = self.oidc.load_full();
        self.oidc.store(config.oidc.as_ref().map(|provider| {
            let kept = before.filter(|before| before.is(provider, base, insecure));
            kept.unwrap_or_else(|| {
                let (seal, keeping) = (seal.clone(), self.keeping.clone());
                Arc::new(Oidc::new(provider.clone(), base, insecure, seal, keeping))
            })
        }));
    }

    /// The provider in force.
    pub(super) fn oidc(&self) -> Arc<ArcSwapOption<Oidc>> {
        Arc::clone(&self.oidc)
    }
}

/// The client for other servers.
pub(super) fn outbound(config: &Config) -> Result<Outbound, StartError> {
    let further = config.outbound.ca.as_deref();
    Outbound::new(further).map_err(|error| StartError::Outbound {
        origin: config.origin.clone(),
        path: further.unwrap_or(&config.origin).to_owned(),
        error,
    })
}
