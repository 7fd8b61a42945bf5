//! One place where a backend answers: an address of one of its targets.

use http::uri::Authority;

use super::standing::Standing;
use crate::{
    config::Target,
    runtime::{
        dial::{Address, DialError, Stream, dial},
        tls::client::Server,
    },
};

/// One place where a backend answers; all workers share it.
#[derive(Debug)]
pub struct Member {
    /// The place of its target in the configuration.
    pub(super) target: usize,
    authority: Authority,
    pub(super) address: Address,
    /// Who has to be there; none: connections are in the clear.
    server: Option<Server>,
    /// The target, as metrics and logs call it.
    pub(super) name: Box<str>,
    pub(super) standing: Standing,
}

impl Member {
    pub(super) fn new(target: usize, config: &Target, server: Option<&Server>, address: Address) -> Self {
        Self {
            target,
            authority: config.authority.clone(),
            address,
            server: server.cloned(),
            name: config.to_string().into(),
            standing: Standing::default(),
        }
    }

    /// What stands in `Host` when the client sent none.
    pub const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Whether TLS is spoken with it.
    pub(super) const fn is_secure(&self) -> bool {
        self.server.is_some()
    }

    /// It has answered.
    #[inline]
    pub fn succeeded(&self) {
        self.standing.succeeded();
    }

    /// Opens a connection to it.
    pub(super) async fn dial(&self) -> Result<Stream, DialError> {
        dial(&self.address, self.server.as_ref()).await
    }
}
