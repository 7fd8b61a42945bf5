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

pub use rustls::crypto::CryptoProvider;

pub use self::certificate::{BadCertificate, Certificate, Certificates};
pub use self::challenge::{Challenges, Owing, Unmade};
pub use self::door::{Door, Encrypted, Met, NotMet};
pub use self::keeper::{Keeper, Ordered, Shown, TlsSetup, examine};
pub use self::pem::{PemError, authorities, certificates, private_key};
pub use self::words::in_words;

/// The algorithms of every TLS connection of this process.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_has_forward_secrecy_and_authenticated_encryption() {
        for suite in &provider().cipher_suites {
            let name = format!("{:?}", suite.suite());
            assert!(name.starts_with("TLS13_") || name.starts_with("TLS_ECDHE_"), "{name}");
            assert!(name.contains("GCM") || name.contains("CHACHA20_POLY1305"), "{name}");
        }
    }
}
