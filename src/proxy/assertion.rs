//! `X-Latchgate-Assertion`: who the caller is, signed, for backends that cannot trust a header alone.
//!
//! A signature costs some twenty microseconds, so each worker sends a caller's token again for a few seconds, to the
//! same upstream; it is made anew when the caller's record changes. Without `[identity] assertion` this is one look at
//! an `Option`.

use std::{cell::RefCell, collections::HashMap, sync::Arc};

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH},
};
use sha2::{Digest as _, Sha256};

use super::{directory::Record, fields::Fields, snapshot::Snapshot};
use crate::domain::{
    assertion::{Claims, Pair, REUSE},
    time::Timestamp,
};

/// The header.
pub const X_LATCHGATE_ASSERTION: HeaderName = HeaderName::from_static("x-latchgate-assertion");
/// How long a copy of the set may be kept: a small part of the time that a key is known before it signs.
const KEPT: &str = "public, max-age=300";
/// Tokens that one worker keeps; beyond it the map starts anew.
const CAPACITY: usize = 4096;

/// The keys as they are used: replaced as a whole.
#[derive(Debug, Default)]
pub struct Ring {
    signing: Vec<(Timestamp, Arc<Pair>)>,
    set: Bytes,
    tag: Option<HeaderValue>,
}

/// No key signs, or the cipher failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no assertion can be signed")]
pub struct Unsigned;

impl Ring {
    /// Of these keys, each with the time from which it signs, and of the public halves of all that are to be known.
    pub fn new(signing: Vec<(Timestamp, Arc<Pair>)>, public: &[serde_json::Value]) -> Self {
        let set = serde_json::json!({ "keys": public }).to_string();
        let tag = Sha256::digest(&set)
            .iter()
            .take(8)
            .fold(String::from("\""), |tag, byte| tag + format!("{byte:02x}").as_str());
        let tag = HeaderValue::try_from(tag + "\"").ok();
        Self { signing, set: Bytes::from(set), tag }
    }

    /// The one that began last.
    fn signing(&self, now: Timestamp) -> Option<&Pair> {
        let begun = self.signing.iter().filter(|(from, _)| *from <= now);
        begun.max_by_key(|(from, _)| *from).map(|(_, pair)| &**pair)
    }

    /// The public halves, as everybody may read them (RFC 7517 section 5).
    pub fn published(&self, asked: &Fields) -> Response<Bytes> {
        let known = |tag: &HeaderValue| asked.get_all(&IF_NONE_MATCH).any(|sent| names(sent, tag));
        let is_known = self.tag.as_ref().is_some_and(known);
        let mut response = Response::new(if is_known { Bytes::new() } else { self.set.clone() });
        if is_known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(KEPT));
        if let Some(tag) = &self.tag {
            headers.insert(ETAG, tag.clone());
        }
        response
    }
}

fn names(sent: &HeaderValue, tag: &HeaderValue) -> bool {
    let mut tags = sent.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    tags.any(|sent| sent == b"*" || sent.strip_prefix(b"W/").unwrap_or(sent) == tag.as_bytes())
}

/// Tokens that one worker has made in the last seconds.
#[derive(Default)]
pub struct Tokens(RefCell<HashMap<(usize, usize), Made>>);

/// What is held here keeps its address, which is what it is found by.
struct Made {
    caller: Arc<Record>,
    audience: Arc<str>,
    until: Timestamp,
    token: HeaderValue,
}

impl Tokens {
    /// The token for this upstream about this caller; none where upstreams get none.
    #[inline]
    pub fn of(
        &self,
        caller: &Arc<Record>,
        audience: &Arc<str>,
        snapshot: &Snapshot,
        ring: impl FnOnce() -> Arc<Ring>,
        now: Timestamp,
    ) -> Result<Option<HeaderValue>, Unsigned> {
        let Some(issuer) = &snapshot.assertion else { return Ok(None) };
        let key = (Arc::as_ptr(caller).addr(), Arc::as_ptr(audience).addr());
        if let Some(made) = self.0.borrow().get(&key).filter(|made| now < made.until) {
            return Ok(Some(made.token.clone()));
        }
        let ring = ring();
        let pair = ring.signing(now).ok_or(Unsigned)?;
        let id = pair.token_id().map_err(|_| Unsigned)?;
        let claims = Claims::of(&caller.principal, &snapshot.rules.profile, (issuer, audience), id, now);
        let token =
            pair.sign(&claims).ok().and_then(|token| HeaderValue::try_from(token).ok()).ok_or(Unsigned)?;
        let mut kept = self.0.borrow_mut();
        if kept.len() >= CAPACITY {
            kept.clear();
        }
        let (caller, audience) = (Arc::clone(caller), Arc::clone(audience));
        kept.insert(key, Made { caller, audience, until: now.after(REUSE), token: token.clone() });
        Ok(Some(token))
    }

    /// Lets go of what is too old, and of callers whose record has ended.
    pub fn tidy(&self, generation: u64, now: Timestamp) {
        self.0.borrow_mut().retain(|_, made| {
            now < made.until && made.caller.is_live(generation) && Arc::strong_count(&made.audience) > 1
        });
    }
}
