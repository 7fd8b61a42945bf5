//! `[sessions]`: how long people stay signed in.

use std::time::Duration;

use super::{
    quantity::timeout,
    raw::{Item, Section},
};
use crate::domain::session;

/// Settings of sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sessions {
    /// After this somebody who signed in has to sign in again, whatever they do.
    pub lifetime: Duration,
    /// Unused for so long, a session is over.
    pub idle: Duration,
    /// Whether the cookie may travel without TLS.
    pub insecure_cookie: bool,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { lifetime: LIFETIME, idle: IDLE, insecure_cookie: false }
    }
}

impl Sessions {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        let sessions = Self {
            lifetime: section.read("lifetime", r#""12h""#, timeout).unwrap_or(default.lifetime),
            idle: section.read("idle", r#""30m""#, timeout).unwrap_or(default.idle),
            insecure_cookie: section.read("insecure_cookie", "false", Item::boolean).unwrap_or(false),
        };
        if sessions.insecure_cookie {
            section.warn(
                "insecure_cookie",
                "sessions travel without TLS: whoever listens on the way can take them over",
            );
        }
        sessions
    }

    /// The name of the cookie.
    pub const fn cookie(&self) -> &'static str {
        session::cookie_name(self.insecure_cookie)
    }
}

const LIFETIME: Duration = Duration::from_secs(12 * 3600);
const IDLE: Duration = Duration::from_secs(30 * 60);
