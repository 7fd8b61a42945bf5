//! TLS in both directions: what clients are met with, and what other servers are known by.
//!
//! One provider of algorithms, aws-lc-rs through rustls, handed on by argument: nothing here depends on which provider
//! a process happens to have installed. Its suites are authenticated encryption with forward secrecy alone, in TLS 1.2
//! as in 1.3; there is no compression, no renegotiation and no early data in it.

mod certificate;
mod challenge;
pub mod client;
mod door;
mod keeper;
mod pem;
mod subject;
mod words;

use std::sync::Arc;

use rustls::CipherSuite;
pub use rustls::crypto::CryptoProvider;

pub use self::certificate::{BadCertificate, Certificate, Certificates};
pub use self::challenge::{Challenges, Owing, Unmade};
pub use self::door::{Door, Encrypted, Met, NotMet};
pub use self::keeper::{Keeper, Ordered, Shown, TlsSetup, examine};
pub use self::pem::{PemError, authorities, certificates, private_key};
pub use self::words::in_words;

/// The algorithms of every TLS connection of this process, in the order of our liking.
///
/// In TLS 1.3 `TLS_AES_128_GCM_SHA256` comes first, the one that everybody has (RFC 8446 section 9.1): it is as strong as the
/// elliptic curves that its keys come from, and SHA-384 alone would be a third of what a handshake costs.
pub fn provider() -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    Arc::new(provider)
}

#[cfg(test)]
mod tests {
    use rustls::SupportedCipherSuite;

    use super::*;

    #[test]
    fn every_suite_has_forward_secrecy_and_authenticated_encryption() {
        for suite in &provider().cipher_suites {
            let name = format!("{:?}", suite.suite());
            assert!(name.starts_with("TLS13_") || name.starts_with("TLS_ECDHE_"), "{name}");
            assert!(name.contains("GCM") || name.contains("CHACHA20_POLY1305"), "{name}");
        }
    }

    #[test]
    fn nothing_is_left_out_of_the_order() {
        let suites = |provider: &CryptoProvider| -> Vec<_> {
            provider.cipher_suites.iter().map(SupportedCipherSuite::suite).collect()
        };
        let (ours, theirs) = (suites(&provider()), suites(&rustls::crypto::aws_lc_rs::default_provider()));
        assert_eq!(ours[0], CipherSuite::TLS13_AES_128_GCM_SHA256);
        let others = |suites: Vec<CipherSuite>| -> Vec<_> {
            suites.into_iter().filter(|suite| *suite != CipherSuite::TLS13_AES_128_GCM_SHA256).collect()
        };
        assert_eq!(others(ours), others(theirs));
    }
}
