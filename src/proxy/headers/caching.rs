//! Who may keep an answer.
//!
//! Shared caches keep no answer to a request with `Authorization` unless it says that they may (RFC 9111 section 3.5). They
//! know nothing of `X-API-Key` and of our cookie, and would give one caller's answer to the next.

use http::{HeaderValue, header::CACHE_CONTROL};

use crate::proxy::fields::Fields;

/// Makes an answer to a proved caller theirs alone, where its upstream does not say by those words that shared caches may
/// keep it, or that nobody may.
pub fn keep_private(fields: &mut Fields) {
    let directives = |line: &HeaderValue| {
        let mut directives = line.as_bytes().split(|&byte| byte == b',');
        directives.any(|directive| {
            let name = directive.split(|&byte| byte == b'=').next().unwrap_or_default().trim_ascii();
            SAYS_WHO.iter().any(|word| name.eq_ignore_ascii_case(word))
        })
    };
    if !fields.get_all(&CACHE_CONTROL).any(directives) {
        fields.append(CACHE_CONTROL, HeaderValue::from_static("private"));
    }
}

const SAYS_WHO: [&[u8]; 5] = [b"public", b"s-maxage", b"must-revalidate", b"private", b"no-store"];
