//! `[tls.acme]`: certificates that the gateway orders itself (RFC 8555).

use std::path::PathBuf;

use http::{Uri, uri::Scheme};

use super::{
    jwt::word,
    raw::{Item, Problem, Section},
    upstream::host_name,
};

/// What is ordered, where, and how it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acme {
    /// The names, in lower case, each with a certificate of its own; at least one, none twice.
    pub domains: Vec<String>,
    /// Where the authority may write to: `mailto:` addresses.
    pub contact: Vec<String>,
    /// The address of the authority's directory, with https.
    pub directory: String,
    /// Whom to believe that it is the authority; none: the platform's certificates.
    pub directory_ca: Option<PathBuf>,
    /// The folder of account and certificates.
    pub storage: PathBuf,
    /// How a name is proved to be ours.
    pub challenge: Challenge,
    /// Whose customer the account is to be, where the authority wants to know.
    pub external_account: Option<ExternalAccount>,
}

/// How a name is proved to be ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Challenge {
    /// By a handshake on port 443 (RFC 8737).
    #[default]
    TlsAlpn,
    /// By an answer on port 80 (RFC 8555 section 8.3).
    Http,
}

/// An account with the authority that exists already (RFC 8555 section 7.3.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalAccount {
    /// The key's name.
    pub kid: String,
    /// The file with the key, as the authority gave it: base64url.
    pub key_file: PathBuf,
}

/// Reads the section; `has_redirect`: there is a port without TLS.
pub(super) fn read(section: &mut Section<'_>, has_redirect: bool) -> Option<Acme> {
    let findings = section.findings();
    let file = |item: &Item| Ok(findings.resolve(&word(item)?));
    let domains = section.need_list("domains", r#"["gate.example.com"]"#, domain);
    let contact = section.list("contact", r#"["mailto:ops@example.com"]"#, contact).unwrap_or_default();
    let directory = section.read("directory", &format!("{PRODUCTION:?}"), directory);
    let directory_ca = section.read("directory_ca", r#""acme-ca.pem""#, |item| {
        if item.text()?.is_empty() { Ok(None) } else { file(item).map(Some) }
    });
    let storage = section.read("storage", r#""acme""#, file);
    let challenge = section.read("challenge", r#""tls-alpn-01""#, challenge).unwrap_or_default();
    let is_external = section.has("external_account");
    let external = section.section("external_account", |section| {
        if !is_external {
            return None;
        }
        let kid = section.need("kid", r#""kid-1""#, word);
        let key_file = section.need("key_file", r#""acme-eab.key""#, file);
        Some(ExternalAccount { kid: kid?, key_file: key_file? })
    });
    let terms = section.need("accept_terms", "true", Item::boolean);
    if terms == Some(false) {
        section.refuse(
            "accept_terms",
            "is false: no authority gives a certificate to whoever does not accept its terms",
            "true",
        );
    }
    if challenge == Challenge::Http && !has_redirect {
        section.refuse(
            "challenge",
            "needs listen.redirect: the authority asks on port 80",
            "\"http-01\"\n\n[listen]\nredirect = \"0.0.0.0:80\"",
        );
    }
    let domains = domains?;
    for (index, name) in domains.iter().enumerate().filter(|(index, name)| domains[..*index].contains(name)) {
        section.refuse(&format!("domains[{index}]"), format!("{name:?} is named twice"), "");
    }
    if domains.len() > MOST {
        section.refuse("domains", format!("are more than {MOST}, each with a certificate of its own"), "");
    }
    Some(Acme {
        domains,
        contact,
        directory: directory.unwrap_or_else(|| PRODUCTION.to_owned()),
        directory_ca: directory_ca.flatten(),
        storage: storage.unwrap_or_else(|| findings.resolve("acme")),
        challenge,
        external_account: external,
    })
}

fn domain(item: &Item) -> Result<String, Problem> {
    let text = item.text()?;
    let why = match text {
        text if text.contains('*') => {
            "a wildcard is proved by DNS-01 alone, which is not offered; name each host, or use [[tls.certificate]]"
        }
        text if text.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok() => {
            "an address is not ordered, only names are"
        }
        text if text.contains([':', '/']) => "it is a name alone, without scheme, port and path",
        text if !text.is_ascii() => "write it in its ASCII form (xn--...)",
        _ => "it is not a host name",
    };
    let is_name = !text.contains('*') && text.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_err();
    host_name(text).filter(|_| is_name).ok_or_else(|| format!("{text:?}: {why}"))
}

fn contact(item: &Item) -> Result<String, Problem> {
    let text = word(item)?;
    let address = text.strip_prefix("mailto:").and_then(|address| address.split_once('@'));
    let is_address = |(local, domain): &(&str, &str)| !local.is_empty() && host_name(domain).is_some();
    if address.as_ref().is_some_and(is_address) && !text.contains(['?', ',', ' ']) {
        return Ok(text);
    }
    Err(format!("{text:?} is no mailto: address"))
}

fn directory(item: &Item) -> Result<String, Problem> {
    let text = word(item)?;
    if text.contains(['#', '@']) {
        // Not repeated: before an @ stands a password.
        return Err("is an address without a name, a password or a fragment".to_owned());
    }
    let uri: Uri = text.parse().map_err(|_| format!("{text:?} is not a URL"))?;
    let is_https = uri.scheme() == Some(&Scheme::HTTPS) && uri.host().is_some_and(|host| !host.is_empty());
    is_https.then_some(()).ok_or_else(|| format!("{text:?} must begin with https:// and name a host"))?;
    Ok(text)
}

fn challenge(item: &Item) -> Result<Challenge, Problem> {
    match item.text()? {
        "tls-alpn-01" => Ok(Challenge::TlsAlpn),
        "http-01" => Ok(Challenge::Http),
        "dns-01" => Err("dns-01 is not offered; tls-alpn-01 and http-01 are".to_owned()),
        other => Err(format!("{other:?} is not tls-alpn-01 or http-01")),
    }
}

/// Let's Encrypt.
const PRODUCTION: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// Names, and so certificates.
const MOST: usize = 100;
