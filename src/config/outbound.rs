//! `[outbound]`: calls to other servers.

use std::path::PathBuf;

use super::{jwt::word, raw::Section};

/// How other servers are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outbound {
    /// Certificates that are trusted beside the platform's.
    pub ca: Option<PathBuf>,
}

impl Outbound {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let findings = section.findings();
        Self { ca: section.read("ca", r#""company-ca.pem""#, |item| Ok(findings.resolve(&word(item)?))) }
    }
}
