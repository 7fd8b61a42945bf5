//! Why a gateway did not start, in words for who started it.

use std::{io, net::SocketAddr, path::PathBuf};

use crate::{
    config::Config,
    domain::key::secret::BadRootSecret,
    proxy::upstream::FleetError,
    runtime::{outbound::OutboundSetup, tls::TlsSetup},
    store::OpenError,
};

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port that cannot be listened on.
    #[error("{key}: cannot listen on {address}: {error}")]
    Listen {
        /// The configuration key.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// The secret file cannot be read.
    #[error("{}: store.secret_file: cannot read {}: {error}", origin.display(), path.display())]
    SecretFile {
        /// The configuration file that names it.
        origin: PathBuf,
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The secret file is not one.
    #[error("{}: store.secret_file: {}: {error}", origin.display(), path.display())]
    Secret {
        /// The configuration file that names it.
        origin: PathBuf,
        /// The file.
        path: PathBuf,
        /// Why.
        error: BadRootSecret,
    },
    /// The certificates for calls to other servers cannot be used.
    #[error("{}: outbound.ca: {}: {error}", origin.display(), path.display())]
    Outbound {
        /// The configuration file that names them.
        origin: PathBuf,
        /// The file.
        path: PathBuf,
        /// Why.
        error: OutboundSetup,
    },
    /// The certificates for clients cannot be used.
    #[error("{}: {error}", origin.display())]
    Tls {
        /// The configuration file that names them.
        origin: PathBuf,
        /// Which, and why.
        error: TlsSetup,
    },
    /// A backend cannot be used as it is configured.
    #[error("{}: {error}", origin.display())]
    Upstream {
        /// The configuration file.
        origin: PathBuf,
        /// Which key, and why.
        error: FleetError,
    },
    /// The store cannot be opened.
    #[error("store.url: {0}")]
    Store(#[from] OpenError),
    /// The store was opened and cannot be read.
    #[error("store.url: {0}")]
    Directory(#[from] crate::proxy::directory::Unavailable),
    /// Something that only fails when the machine is out of resources.
    #[error("{what}: {cause}")]
    Machine {
        /// What was being made.
        what: &'static str,
        /// Why it was not.
        cause: String,
    },
}

impl StartError {
    /// Whether certificates that are ordered are its cause.
    pub const fn is_of_orders(&self) -> bool {
        matches!(self, Self::Tls { error: TlsSetup::Acme { .. }, .. })
    }

    /// Of the configuration that names the certificates.
    pub(super) fn tls(config: &Config, error: TlsSetup) -> Self {
        Self::Tls { origin: config.origin.clone(), error }
    }
}

/// Keeps what was being made when the machine had no more to give.
pub(super) fn machine<E: ToString>(what: &'static str) -> impl FnOnce(E) -> StartError {
    move |cause| StartError::Machine { what, cause: cause.to_string() }
}
