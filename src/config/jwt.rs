//! `[[jwt]]`: identity providers whose bearer tokens are accepted.

use std::{path::PathBuf, time::Duration};

use super::{
    endpoint::Endpoint,
    quantity::{Humane, duration},
    raw::{Item, Problem, Section},
};

/// One identity provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtIssuer {
    /// What its tokens hold as `iss`, character by character.
    pub issuer: String,
    /// What they must hold as `aud`.
    pub audience: String,
    /// Where its public keys are.
    pub keys: JwtKeys,
    /// How often keys at an address are read again.
    pub refresh: Duration,
    /// The claim that holds a person's e-mail address.
    pub email: String,
}

/// Where public keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JwtKeys {
    /// At an address.
    At(Endpoint),
    /// In a file.
    In(PathBuf),
}

/// Reads `[[jwt]]`, in the order of the file.
pub(super) fn read_all(whole: &mut Section<'_>) -> Vec<JwtIssuer> {
    let mut seen: Vec<String> = Vec::new();
    let issuers = whole.sections("jwt", |section| {
        let issuer = section.need("issuer", ISSUER, word);
        if let Some(issuer) = &issuer {
            if seen.contains(issuer) {
                section.refuse("issuer", format!("{issuer:?} stands in an earlier [[jwt]]"), ISSUER);
            }
            seen.push(issuer.clone());
        }
        let audience = section.need("audience", r#""latchgate""#, word);
        let keys = keys(section);
        let refresh = section.read("refresh", r#""5m""#, refresh).unwrap_or(REFRESH);
        let email = section.section("claims", |claims| claims.read("email", r#""email""#, word));
        Some(JwtIssuer {
            issuer: issuer?,
            audience: audience?,
            keys: keys?,
            refresh,
            email: email.unwrap_or_else(|| "email".to_owned()),
        })
    });
    issuers.into_iter().flatten().collect()
}

fn keys(section: &mut Section<'_>) -> Option<JwtKeys> {
    let findings = section.findings();
    let (at, file) = (section.has("jwks_url"), section.has("jwks_file"));
    let address = section.read("jwks_url", URL, Endpoint::read);
    let path = section.read("jwks_file", r#""jwks.json""#, |item| Ok(findings.resolve(&word(item)?)));
    match (at, file) {
        (true, true) => section.refuse("jwks_file", "and jwks_url both say where the keys are: keep one", ""),
        (false, false) => section.refuse("jwks_url", "is missing, and so is jwks_file", URL),
        _ => return address.map(JwtKeys::At).or(path.map(JwtKeys::In)),
    }
    None
}

/// Text that is compared as it stands, so nothing invisible around it.
pub(super) fn word(item: &Item) -> Result<String, Problem> {
    match item.text()? {
        "" => Err("must not be empty".to_owned()),
        text if text.trim() != text || text.contains(char::is_control) => {
            Err(format!("{text:?} has blanks around it, or control characters"))
        }
        text => Ok(text.to_owned()),
    }
}

fn refresh(item: &Item) -> Result<Duration, Problem> {
    let span = duration(item)?;
    if !(SHORTEST..=LONGEST).contains(&span) {
        let (shortest, longest) = (Humane(SHORTEST), Humane(LONGEST));
        return Err(format!("{} is not from {shortest} to {longest}", Humane(span)));
    }
    Ok(span)
}

const ISSUER: &str = r#""https://idp.example.com/""#;
const URL: &str = r#""https://idp.example.com/jwks""#;

/// A removed key passes for this long at most.
const REFRESH: Duration = Duration::from_secs(300);
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(24 * 3600);
