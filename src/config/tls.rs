//! `[tls]`: certificates of the gateway port, and what is asked of its clients.

use std::path::PathBuf;

use super::{
    acme::{self, Acme},
    jwt::word,
    listen::Listen,
    raw::{Item, Problem, Section},
};

/// How TLS is spoken where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The admin port speaks it too.
    pub admin: bool,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// Whether clients show certificates.
    pub clients: ClientCertificates,
    /// The first is shown to whoever asks for no name that another has.
    pub certificates: Vec<CertificateFiles>,
    /// Certificates that are ordered. There is at least one of either kind.
    pub acme: Option<Acme>,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsVersion {
    /// RFC 5246.
    #[default]
    V1_2,
    /// RFC 8446.
    V1_3,
}

/// Whether clients show certificates, and whose word about them counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientCertificates {
    /// They are not asked.
    Unasked,
    /// One that is shown must be of these authorities.
    Optional(PathBuf),
    /// Without one of these authorities there is no connection.
    Required(PathBuf),
}

impl ClientCertificates {
    /// The file of authorities.
    pub fn authorities(&self) -> Option<&PathBuf> {
        match self {
            Self::Unasked => None,
            Self::Optional(path) | Self::Required(path) => Some(path),
        }
    }
}

/// Two PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, then those that lead to its authority.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Reads the section; none without a certificate: plain HTTP.
pub(super) fn read(whole: &mut Section<'_>, listen: &Listen) -> Option<Tls> {
    whole.section("tls", |section| {
        let admin = section.read("admin", "true", Item::boolean).unwrap_or(false);
        let min_version = section.read("min_version", r#""1.2""#, version).unwrap_or_default();
        let clients = clients(section);
        let certificates: Vec<_> = section.sections("certificate", files).into_iter().flatten().collect();
        let has_acme = section.has("acme");
        let has_redirect = listen.redirect.is_some();
        let acme = section
            .section("acme", |section| if has_acme { acme::read(section, has_redirect) } else { None });
        if certificates.is_empty() && !has_acme {
            let needs = [("admin", admin), ("client_auth", clients != ClientCertificates::Unasked)];
            for (key, _) in needs.into_iter().filter(|(_, needed)| *needed) {
                section.refuse(key, "needs TLS, and there is no [[tls.certificate]] and no [tls.acme]", "");
            }
            return None;
        }
        Some(Tls { admin, min_version, clients, certificates, acme })
    })
}

fn files(section: &mut Section<'_>) -> Option<CertificateFiles> {
    let findings = section.findings();
    let file = |item: &Item| Ok(findings.resolve(&word(item)?));
    let cert = section.need("cert", r#""tls/site.pem""#, file);
    let key = section.need("key", r#""tls/site.key""#, file);
    Some(CertificateFiles { cert: cert?, key: key? })
}

fn clients(section: &mut Section<'_>) -> ClientCertificates {
    let findings = section.findings();
    let authorities = section.read("client_ca", r#""client-ca.pem""#, |item| {
        let text = item.text()?;
        Ok(if text.is_empty() { None } else { Some(findings.resolve(&word(item)?)) })
    });
    let asked = section.read("client_auth", r#""required""#, asked).unwrap_or_default();
    match (asked, authorities.flatten()) {
        (Asked::No, Some(_)) => {
            section.warn(
                "client_ca",
                "is not used: client_auth is \"none\", so nobody is asked for a certificate",
            );
            ClientCertificates::Unasked
        }
        (Asked::No, None) => ClientCertificates::Unasked,
        (Asked::Maybe, Some(authorities)) => ClientCertificates::Optional(authorities),
        (Asked::Always, Some(authorities)) => ClientCertificates::Required(authorities),
        (_, None) => {
            section.refuse(
                "client_auth",
                "needs client_ca: the authorities whose certificates count",
                "\"required\"\nclient_ca = \"client-ca.pem\"",
            );
            ClientCertificates::Unasked
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Asked {
    #[default]
    No,
    Maybe,
    Always,
}

fn asked(item: &Item) -> Result<Asked, Problem> {
    match item.text()? {
        "none" => Ok(Asked::No),
        "optional" => Ok(Asked::Maybe),
        "required" => Ok(Asked::Always),
        other => Err(format!("{other:?} is not none, optional or required")),
    }
}

fn version(item: &Item) -> Result<TlsVersion, Problem> {
    match item.text()? {
        "1.2" => Ok(TlsVersion::V1_2),
        "1.3" => Ok(TlsVersion::V1_3),
        "1.0" | "1.1" => Err("is a version that is not safe to speak; 1.2 and 1.3 are".to_owned()),
        other => Err(format!("{other:?} is not 1.2 or 1.3")),
    }
}
