//! `[oidc]`: the identity provider by which people may sign in.

use std::path::PathBuf;

use super::{
    endpoint::Endpoint,
    jwt::word,
    raw::{Item, Problem, Section},
};

/// The provider, and what the gateway is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oidc {
    /// Its address, which is also its name; `/.well-known/openid-configuration` stands below it.
    pub issuer: Endpoint,
    /// How the gateway is registered there.
    pub client_id: String,
    /// Its password there; none: a public client, which PKCE alone protects.
    pub client_secret_file: Option<PathBuf>,
    /// What is asked for, `openid` and an e-mail address at least.
    pub scopes: Vec<String>,
}

/// Reads `[oidc]`; `None` when it is not there.
pub(super) fn read(whole: &mut Section<'_>) -> Option<Oidc> {
    whole.has("oidc").then(|| whole.section("oidc", one)).flatten()
}

fn one(section: &mut Section<'_>) -> Option<Oidc> {
    let findings = section.findings();
    let issuer = section.need("issuer", ISSUER, issuer);
    let client_id = section.need("client_id", r#""latchgate""#, word);
    let secret =
        section.read("client_secret_file", r#""oidc.secret""#, |item| Ok(findings.resolve(&word(item)?)));
    let scopes = section.list("scopes", SCOPES, scope).unwrap_or_else(|| DEFAULT.map(str::to_owned).into());
    for needed in ["openid", "email"] {
        if !scopes.iter().any(|scope| scope == needed) {
            section.refuse("scopes", format!("must hold {needed:?}: without it nobody can be known"), SCOPES);
        }
    }
    Some(Oidc { issuer: issuer?, client_id: client_id?, client_secret_file: secret, scopes })
}

fn issuer(item: &Item) -> Result<Endpoint, Problem> {
    let issuer = Endpoint::read(item)?;
    if issuer.as_str().contains('?') {
        return Err("must have no query".to_owned());
    }
    Ok(issuer)
}

fn scope(item: &Item) -> Result<String, Problem> {
    let text = word(item)?;
    // RFC 6749 section 3.3.
    if text.chars().any(|c| !matches!(c, '!' | '#'..='[' | ']'..='~')) {
        return Err(format!("{text:?} is not a scope"));
    }
    Ok(text)
}

const ISSUER: &str = r#""https://idp.example.com/""#;
const SCOPES: &str = r#"["openid", "email", "profile"]"#;
const DEFAULT: [&str; 3] = ["openid", "email", "profile"];
