//! The address of another server that the gateway asks: what it says is believed, so nobody may answer in its place.

use std::fmt;

use http::Uri;

use super::raw::{Item, Problem};

/// An address that begins with https://, or with http:// for a server on this machine. Kept as it was written,
/// because issuers are compared character by character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(String);

impl Endpoint {
    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads an address; the text says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("{text:?} {why}");
        if text.contains(['#', '@', ' ']) {
            return Err(wrong("must hold no fragment, no user name and no blank"));
        }
        let uri: Uri = text.parse().map_err(|_| wrong("is not a URL"))?;
        let host = uri.host().filter(|host| !host.is_empty());
        match (uri.scheme_str(), host) {
            (Some("https"), Some(_)) => {}
            (Some("http"), Some(host)) if is_this_machine(host) => {}
            (Some("http"), Some(_)) => {
                return Err(wrong(
                    "must begin with https:// (http:// is for this machine alone): whoever stands \
                                  between could answer in its place",
                ));
            }
            _ => return Err(wrong("must begin with https:// and name a host")),
        }
        Ok(Self(text.to_owned()))
    }

    pub(super) fn read(item: &Item) -> Result<Self, Problem> {
        Self::parse(item.text()?)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_this_machine(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}
