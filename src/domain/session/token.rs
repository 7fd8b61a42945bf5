//! The token of a session: opaque, 256 random bits, kept by nobody but its bearer.
//!
//! It reads `lgs_` and 43 characters of unpadded base64url. The store has its SHA-256 alone: with that much
//! randomness in it, a plain hash can no more be turned back than guessed (ASVS 5.0 6.5.2).

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use crate::domain::key::token::{Digest, NoEntropy};

/// What every token begins with. No profile may give its keys the same beginning.
pub const LITERAL: &str = "lgs_";

const RANDOM_BYTES: usize = 32;
/// Of the characters behind the literal.
const ENCODED: usize = 43;

/// A token that was just made. Wiped on drop; never prints.
pub struct SessionToken(Zeroizing<String>);

/// Text that is no token of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a session's token")]
pub struct NotASession;

impl SessionToken {
    /// A new one; its randomness comes from the operating system.
    pub fn generate() -> Result<Self, NoEntropy> {
        let mut bytes = Zeroizing::new([0; RANDOM_BYTES]);
        getrandom::fill(&mut *bytes).map_err(|error| NoEntropy::new(&error))?;
        let mut text = Zeroizing::new(String::with_capacity(LITERAL.len() + ENCODED));
        text.push_str(LITERAL);
        URL_SAFE_NO_PAD.encode_string(*bytes, &mut text);
        Ok(Self(text))
    }

    /// The token itself, for the one who signed in.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }

    /// Whether text claims to be a token, well formed or not.
    pub fn claims(text: &[u8]) -> bool {
        text.starts_with(LITERAL.as_bytes())
    }

    /// What a presented token is looked up by; text of another shape is not looked up at all.
    pub fn read(text: &str) -> Result<Digest, NotASession> {
        let rest = text.strip_prefix(LITERAL).ok_or(NotASession)?;
        let shaped = rest.len() == ENCODED
            && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if shaped { Ok(Digest::of(text)) } else { Err(NotASession) }
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn tokens_are_opaque_and_differ() {
        let tokens: Vec<_> = (0..100).map(|_| SessionToken::generate().unwrap()).collect();
        let texts: HashSet<&str> = tokens.iter().map(SessionToken::reveal).collect();
        assert_eq!(texts.len(), 100);
        for token in &tokens {
            assert_eq!(token.reveal().len(), 47);
            assert_eq!(SessionToken::read(token.reveal()), Ok(token.digest()));
            assert_eq!(format!("{token:?}"), "SessionToken(..)");
        }
    }

    #[test]
    fn what_has_another_shape_is_not_looked_up() {
        let good = format!("lgs_{}", "a".repeat(43));
        assert!(SessionToken::read(&good).is_ok());
        for wrong in
            ["", "lgs_", "lgs", &good[1..], &good[..46], &format!("{good}a"), &good.replace('a', "ä")]
        {
            assert_eq!(SessionToken::read(wrong), Err(NotASession), "{wrong}");
        }
        assert_eq!(SessionToken::read(&format!("lgs_{}=", "a".repeat(42))), Err(NotASession));
        assert_eq!(SessionToken::read(&good.to_uppercase()), Err(NotASession));
    }
}
