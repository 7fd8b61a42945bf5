//! The cookie that carries a session's token to a browser and back: out of reach of scripts, for this host alone, and
//! not sent with what other sites ask for but top-level visits (ASVS 5.0 3.3.1 to 3.3.4).

use http::HeaderValue;

use crate::{config::Sessions, domain::session::SessionToken};

/// Puts the token there. It goes with the browser; the server ends it sooner.
pub(super) fn set(sessions: Sessions, token: &SessionToken) -> Option<HeaderValue> {
    let text = format!("{}={}; {}", sessions.cookie(), token.reveal(), attributes(sessions));
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Takes it away.
pub(super) fn clear(sessions: Sessions) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("{}=; Max-Age=0; {}", sessions.cookie(), attributes(sessions))).ok()
}

/// How a cookie of ours is kept: for this host alone, out of reach of scripts.
pub(super) const fn attributes(sessions: Sessions) -> &'static str {
    if sessions.insecure_cookie {
        "Path=/; HttpOnly; SameSite=Lax"
    } else {
        "Path=/; Secure; HttpOnly; SameSite=Lax"
    }
}
