//! What is owed to a certificate authority that asks whether a name is ours: for the time of an order, and for its names
//! and tokens alone.
//!
//! TLS-ALPN-01 (RFC 8737): a handshake for the name, in which `acme-tls/1` is all that is offered, meets a certificate
//! that proves the order, and is the end of that connection: no byte is read or written inside it. HTTP-01 (RFC 8555
//! section 8.3): a token has an answer, on the port without TLS.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::{
    ServerConfig,
    crypto::CryptoProvider,
    pki_types::PrivateKeyDer,
    server::{ClientHello, NoServerSessionStorage},
    sign::{CertifiedKey, SingleCertAndKey},
};

/// The answers that are owed at present.
#[derive(Debug, Default)]
pub struct Challenges(ArcSwap<Owed>);

#[derive(Debug, Clone, Default)]
struct Owed {
    names: HashMap<String, Arc<ServerConfig>>,
    tokens: HashMap<String, Arc<str>>,
}

/// An answer is given for as long as this is kept.
#[derive(Debug)]
pub struct Owing {
    challenges: Arc<Challenges>,
    what: What,
}

#[derive(Debug)]
enum What {
    Name(String),
    Token(String),
}

/// The certificate of a challenge could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the certificate for the challenge cannot be made: {0}")]
pub struct Unmade(String);

impl Challenges {
    /// Proves that `name` is ours by this digest of a key authorization.
    pub fn prove_name(
        self: &Arc<Self>,
        name: &str,
        digest: &[u8; 32],
        provider: &Arc<CryptoProvider>,
    ) -> Result<Owing, Unmade> {
        let config = Arc::new(proof(name, digest, provider)?);
        self.0.rcu(|owed| {
            let mut owed = Owed::clone(owed);
            owed.names.insert(name.to_owned(), Arc::clone(&config));
            owed
        });
        Ok(Owing { challenges: Arc::clone(self), what: What::Name(name.to_owned()) })
    }

    /// Answers a token with this key authorization.
    pub fn answer_token(self: &Arc<Self>, token: &str, authorization: &str) -> Owing {
        let authorization: Arc<str> = authorization.into();
        self.0.rcu(|owed| {
            let mut owed = Owed::clone(owed);
            owed.tokens.insert(token.to_owned(), Arc::clone(&authorization));
            owed
        });
        Owing { challenges: Arc::clone(self), what: What::Token(token.to_owned()) }
    }

    /// Whether a handshake may be a challenge. Almost always it may not.
    pub fn has_names(&self) -> bool {
        !self.0.load().names.is_empty()
    }

    /// What this handshake is made of, if it is the challenge of a name that is being ordered.
    pub(super) fn proof_for(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        let mut offered = hello.alpn()?;
        if offered.next() != Some(PROTOCOL) || offered.next().is_some() {
            return None;
        }
        let name = hello.server_name()?.to_ascii_lowercase();
        self.0.load().names.get(&name).cloned()
    }

    /// The answer to this token, if it is one of an order.
    pub fn answer_to(&self, token: &str) -> Option<Arc<str>> {
        self.0.load().tokens.get(token).cloned()
    }
}

impl Drop for Owing {
    fn drop(&mut self) {
        self.challenges.0.rcu(|owed| {
            let mut owed = Owed::clone(owed);
            match &self.what {
                What::Name(name) => drop(owed.names.remove(name)),
                What::Token(token) => drop(owed.tokens.remove(token)),
            }
            owed
        });
    }
}

/// A certificate for the name that nobody vouches for, with the digest in it (RFC 8737 section 3).
fn proof(name: &str, digest: &[u8; 32], provider: &Arc<CryptoProvider>) -> Result<ServerConfig, Unmade> {
    let unmade = |error: rcgen::Error| Unmade(error.to_string());
    let refused = |error: rustls::Error| Unmade(error.to_string());
    let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(unmade)?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate().map_err(unmade)?;
    let certificate = params.self_signed(&key).map_err(unmade)?;
    let private = PrivateKeyDer::try_from(key.serialize_der()).map_err(|error| Unmade(error.to_owned()))?;
    let private = provider.key_provider.load_private_key(private).map_err(refused)?;
    let shown = SingleCertAndKey::from(CertifiedKey::new(vec![certificate.der().clone()], private));
    // Whoever else is asked for certificates, an authority that looks is not.
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(refused)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(shown));
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    // Nobody comes back to it.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

const PROTOCOL: &[u8] = b"acme-tls/1";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::tls::provider;

    #[test]
    fn what_is_owed_ends_with_its_order() {
        let challenges = Arc::new(Challenges::default());
        let token = challenges.answer_token("token", "token.thumb");
        let name = challenges.prove_name("a.example", &[7; 32], &provider()).unwrap();
        assert!(challenges.has_names());
        assert_eq!(challenges.answer_to("token").as_deref(), Some("token.thumb"));
        assert_eq!(challenges.answer_to("tokem"), None);
        drop(token);
        assert_eq!(challenges.answer_to("token"), None);
        drop(name);
        assert!(!challenges.has_names());
    }
}
