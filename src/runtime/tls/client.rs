//! TLS towards other servers: whom they have to be, and the handshake that proves it.
//!
//! Versions 1.2 and 1.3. The certificate is verified always: its chain, its dates, and the name. There is no way to ask
//! for less, and no second attempt in the clear or under other rules.

use std::{io, path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName},
};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{PemError, certificates, in_words, provider};

/// A connection whose other end is who it should be.
pub type Secured = tokio_rustls::client::TlsStream<TcpStream>;

/// By which rules other servers are known. Cheap to clone; clones share the sessions that are taken up again.
#[derive(Clone)]
pub struct Rules {
    connector: TlsConnector,
    authorities: Option<Arc<[CertificateDer<'static>]>>,
    protocol: &'static [u8],
}

/// One server: the rules, and the name that it has to prove.
#[derive(Debug, Clone)]
pub struct Server {
    rules: Rules,
    name: ServerName<'static>,
}

/// Why there are no rules.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// The file of authorities.
    #[error(transparent)]
    Authorities(#[from] PemError),
    /// A certificate of it is no authority that can be used.
    #[error("holds a certificate that cannot be used: {0}")]
    Unusable(String),
    /// The platform has none.
    #[error("the platform's certificates cannot be used: {0}")]
    Platform(String),
}

/// Why a handshake did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The other side is not who it should be, speaks no TLS that is good enough, or broke off.
    #[error("the TLS handshake failed: {}", in_words(.0).unwrap_or_else(|| .0.to_string()))]
    Failed(#[source] io::Error),
    /// It did not agree to the protocol.
    #[error("the server does not speak {0} over TLS (ALPN)")]
    Protocol(&'static str),
}

/// HTTP/1.1, as ALPN calls it.
pub const HTTP1: &[u8] = b"http/1.1";
/// HTTP/2, as ALPN calls it.
pub const H2: &[u8] = b"h2";

impl Rules {
    /// Believes the authorities of this PEM file, or else the platform's, and asks for this protocol.
    pub fn new(ca: Option<&Path>, protocol: &'static [u8]) -> Result<Self, RulesError> {
        let authorities = ca.map(certificates).transpose()?;
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| RulesError::Platform(error.to_string()))?;
        let builder = match &authorities {
            Some(authorities) => {
                let mut roots = RootCertStore::empty();
                for authority in authorities {
                    roots.add(authority.clone()).map_err(|error| RulesError::Unusable(error.to_string()))?;
                }
                builder.with_root_certificates(roots)
            }
            None => {
                builder.with_platform_verifier().map_err(|error| RulesError::Platform(error.to_string()))?
            }
        };
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let connector = TlsConnector::from(Arc::new(config));
        Ok(Self { connector, authorities: authorities.map(Into::into), protocol })
    }

    /// Whether they are the same rules; those of the platform are, whatever has changed there since.
    pub fn are(&self, other: &Self) -> bool {
        self.authorities == other.authorities && self.protocol == other.protocol
    }

    /// A server with this name or address; none when it is neither.
    pub fn server(&self, name: &str) -> Option<Server> {
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(name.to_owned()).ok()?;
        Some(Server { rules: self.clone(), name })
    }
}

impl std::fmt::Debug for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rules").field("own_authorities", &self.authorities.is_some()).finish_non_exhaustive()
    }
}

impl Server {
    /// Proves who is at the other end.
    pub async fn prove(&self, stream: TcpStream) -> Result<Secured, HandshakeError> {
        let proof = self.rules.connector.connect(self.name.clone(), stream);
        let secured = proof.await.map_err(HandshakeError::Failed)?;
        // Without an answer HTTP/1.1 is what there is; HTTP/2 has to be agreed on (RFC 9113 section 3.3).
        match secured.get_ref().1.alpn_protocol() {
            Some(agreed) if agreed != self.rules.protocol => {
                Err(HandshakeError::Protocol("what was asked for"))
            }
            None if self.rules.protocol == H2 => Err(HandshakeError::Protocol("HTTP/2")),
            _ => Ok(secured),
        }
    }
}
