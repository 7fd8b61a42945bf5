//! `[audit]`: what is recorded beside changes, and who is told when somebody guesses.

use std::fmt;

use http::{Uri, uri::Scheme};
use zeroize::Zeroizing;

use super::raw::{Item, Problem, Section};

/// Settings of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// Which uses of keys are events.
    pub api_key_use: KeyUseEvents,
    /// Where alerts go; none: nowhere.
    pub alert_webhook: Option<AlertAddress>,
}

/// Which uses of keys are events of the trail (R002_16).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyUseEvents {
    /// None.
    #[default]
    Off,
    /// The first from each address.
    FirstPerIp,
    /// Every one.
    All,
}

/// Where alerts are posted to. Whoever knows such an address can write there, so it never prints.
#[derive(Clone, PartialEq, Eq)]
pub struct AlertAddress(Zeroizing<String>);

impl AlertAddress {
    /// The address.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AlertAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AlertAddress(..)")
    }
}

impl Audit {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let audit = Self {
            api_key_use: section.read("api_key_use", r#""first_per_ip""#, key_use).unwrap_or_default(),
            alert_webhook: section
                .read("alert_webhook", r#""https://hooks.slack.com/services/T000/B000/secret""#, address)
                .flatten(),
        };
        if audit.api_key_use == KeyUseEvents::All {
            section.warn(
                "api_key_use",
                "\"all\" adds a row that is never removed for each request with a key: watch the store's size",
            );
        }
        audit
    }
}

fn key_use(item: &Item) -> Result<KeyUseEvents, Problem> {
    match item.text()? {
        "off" => Ok(KeyUseEvents::Off),
        "first_per_ip" => Ok(KeyUseEvents::FirstPerIp),
        "all" => Ok(KeyUseEvents::All),
        other => Err(format!("{other:?} is not off, first_per_ip or all")),
    }
}

/// The refusals here never print the address: it may be a secret.
fn address(item: &Item) -> Result<Option<AlertAddress>, Problem> {
    let text = item.text()?;
    if text.is_empty() {
        return Ok(None);
    }
    let address: Uri = text.parse().map_err(|_| "is not an address".to_owned())?;
    let known = address.scheme().is_some_and(|scheme| [Scheme::HTTP, Scheme::HTTPS].contains(scheme));
    if !known || address.host().is_none_or(str::is_empty) {
        return Err("must begin with https:// or http:// and name a host".to_owned());
    }
    Ok(Some(AlertAddress(Zeroizing::new(text.to_owned()))))
}
