//! What a row is read by.

use std::sync::Arc;

use crate::{
    config::{self, Config},
    domain::{access::RatePerMinute, profile::Profile},
};

/// The part of a configuration that records are made under. A record belongs to one generation and is not used
/// under another: its permission bits and its headers would mean something else.
#[derive(Debug)]
pub struct Rules {
    /// The platform's rules.
    pub profile: Arc<Profile>,
    /// Names of the headers given to upstreams.
    pub identity: config::Identity,
    /// The rate limit of keys without their own.
    pub default_rate: Option<RatePerMinute>,
    /// How long sessions rest, and in which cookie they come.
    pub sessions: config::Sessions,
    /// Issuers whose tokens are ours.
    pub issuers: Box<[Box<str>]>,
    /// Grows with every reload.
    pub generation: u64,
}

impl Rules {
    /// Those of a configuration.
    pub fn new(config: &Config, generation: u64) -> Self {
        Self {
            profile: Arc::clone(&config.profile),
            identity: config.identity.clone(),
            default_rate: config.rate_limit.default_per_minute,
            sessions: config.sessions,
            issuers: config.jwt.iter().map(|issuer| issuer.issuer.as_str().into()).collect(),
            generation,
        }
    }
}
