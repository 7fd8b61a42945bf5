//! Who may keep an answer.
//!
//! Shared caches keep no answer to a request with `Authorization` unless they are told to (RFC 9111 section 3.5). They
//! know nothing of `X-API-Key` and of our cookie, and would give one caller's answer to the next.

use http::{
    HeaderMap, HeaderValue,
    header::{CACHE_CONTROL, EXPIRES, PRAGMA},
};

/// Makes an answer to a proved caller theirs alone, where its upstream says nothing about caches. One that does say
/// something is believed: it may mean what is the same for everybody.
pub fn keep_private(headers: &mut HeaderMap) {
    if ![CACHE_CONTROL, EXPIRES, PRAGMA].iter().any(|name| headers.contains_key(name)) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private"));
    }
}
