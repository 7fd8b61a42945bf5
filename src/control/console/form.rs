//! A form as a browser sends it, and the proof that it is a form of ours.
//!
//! Three things have to fit. The browser says where the form stood, and what it says no page can change. The form
//! carries a token that is sealed for the browser's own cookie, which no other site can read or set. And the token
//! names the page that it was made for.

use std::time::Duration;

use axum::body::Body;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{header::CONTENT_TYPE, request::Parts};
use zeroize::Zeroizing;

use crate::{
    control::{
        api::{ApiError, decode, whole},
        service::Control,
    },
    domain::key::secret::Mac,
};

/// In bytes; the longest password with everything else is much shorter.
const LONGEST: usize = 16 << 10;
const TIME: Duration = Duration::from_secs(10);
/// Of the fields of a form; each is compared with those before it.
const MOST: usize = 32;
/// The field that carries the token.
const CSRF: &str = "csrf";

/// The fields of a form, wiped on drop: there may be a password among them.
pub(super) struct Form(Vec<(String, Zeroizing<String>)>);

impl Form {
    /// Reads it whole; how long it was, too.
    pub(super) async fn read(parts: &Parts, body: Body) -> Result<(Self, u64), ApiError> {
        let kind = parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(ApiError::MediaType);
        }
        let bytes = Zeroizing::new(whole(parts, body, LONGEST, TIME).await?);
        let form = std::str::from_utf8(&bytes).ok().and_then(Self::parse);
        let form = form.ok_or_else(|| ApiError::Malformed("The form cannot be read.".into()))?;
        Ok((form, bytes.len() as u64))
    }

    /// From a body, or from a query; a field that is there twice has two readings, and none is taken.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut fields: Vec<(String, Zeroizing<String>)> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name)?, Zeroizing::new(decode(value)?));
            if fields.len() == MOST || fields.iter().any(|(known, _)| *known == name) {
                return None;
            }
            fields.push((name, value));
        }
        Some(Self(fields))
    }

    /// A field; empty when it is not there.
    pub(super) fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

/// What ties a form to the browser that it was given to: a random text, in a cookie of its own.
pub(super) struct Visitor(Zeroizing<String>);

impl Visitor {
    /// The browser's own, if it has one of our making.
    pub(super) fn of(cookie: &str) -> Option<Self> {
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(cookie).ok()?);
        (bytes.len() == RANDOM_BYTES).then(|| Self(Zeroizing::new(cookie.to_owned())))
    }

    /// For a browser that comes for the first time.
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        let mut bytes = Zeroizing::new([0; RANDOM_BYTES]);
        getrandom::fill(&mut *bytes)?;
        Ok(Self(Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes))))
    }

    pub(super) fn cookie(&self) -> &str {
        &self.0
    }

    /// The token for the forms of one page.
    pub(super) fn token(&self, control: &Control, page: &str) -> String {
        URL_SAFE_NO_PAD.encode(control.seal(&self.sealed(page)).to_bytes())
    }

    /// Whether a form is one that this browser was given on this page.
    pub(super) fn has(&self, control: &Control, page: &str, form: &Form) -> bool {
        let seal = URL_SAFE_NO_PAD.decode(form.text(CSRF)).ok().and_then(|bytes| Mac::from_bytes(&bytes));
        seal.is_some_and(|seal| control.is_sealed(&seal, &self.sealed(page)))
    }

    fn sealed(&self, page: &str) -> String {
        format!("form\n{page}\n{}", *self.0)
    }
}

const RANDOM_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_strictly() {
        let form = Form::parse("email=ana%40example.com&password=a+b%26c&empty=").unwrap();
        assert_eq!(form.text("email"), "ana@example.com");
        assert_eq!(form.text("password"), "a b&c");
        assert_eq!((form.text("empty"), form.text("absent")), ("", ""));
        for wrong in ["a=1&a=2", "a=%zz", "a=%ff", "a=%4"] {
            assert!(Form::parse(wrong).is_none(), "{wrong}");
        }
        let many: Vec<String> = (0..=MOST).map(|field| format!("f{field}")).collect();
        assert!(Form::parse(&many[1..].join("&")).is_some() && Form::parse(&many.join("&")).is_none());
    }

    #[test]
    fn only_a_cookie_of_our_making_is_taken() {
        let made = Visitor::new().unwrap();
        assert!(Visitor::of(made.cookie()).is_some());
        let long = "A".repeat(44);
        for other in ["", "x", &made.cookie()[1..], &long, "!!!"] {
            assert!(Visitor::of(other).is_none(), "{other}");
        }
    }
}
