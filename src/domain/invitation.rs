//! An invitation: a role that waits for whoever reads the mail at one address.
//!
//! It is open until it is accepted, taken back or too old, and each of those is for ever. Its token is known to
//! the mail alone; everybody else has the digest.

use std::{fmt, str::FromStr, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::{key::token::Digest, time::Timestamp};

/// What a token begins with, so that scanners recognize it.
pub const LITERAL: &str = "lgi_";
const SECRET_BYTES: usize = 32;
const SECRET_CHARACTERS: usize = 43;

/// What stands in the link of the mail. Never prints; wiped on drop.
pub struct InvitationToken(Zeroizing<String>);

/// The system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("no randomness from the operating system: {0}")]
pub struct NoRandomness(getrandom::Error);

/// Text that is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an invitation's token")]
pub struct NotAToken;

impl InvitationToken {
    /// A new one: 256 random bits of the operating system.
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        getrandom::fill(&mut *bytes).map_err(NoRandomness)?;
        let mut text = Zeroizing::new(String::with_capacity(LITERAL.len() + SECRET_CHARACTERS));
        text.push_str(LITERAL);
        URL_SAFE_NO_PAD.encode_string(*bytes, &mut text);
        Ok(Self(text))
    }

    /// The text, for the mail alone.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is stored in its place.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }
}

impl FromStr for InvitationToken {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<Self, NotAToken> {
        let secret = text.strip_prefix(LITERAL).ok_or(NotAToken)?;
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if secret.len() == SECRET_CHARACTERS && secret.bytes().all(fits) {
            Ok(Self(Zeroizing::new(text.to_owned())))
        } else {
            Err(NotAToken)
        }
    }
}

impl fmt::Debug for InvitationToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InvitationToken(..)")
    }
}

/// What has become of an invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// It can be accepted.
    Pending,
    /// Somebody has.
    Accepted,
    /// It was taken back, or replaced by a newer one.
    Revoked,
    /// Nobody accepted it in time.
    Expired,
}

impl Status {
    /// All of them, by name.
    pub const NAMES: &'static [&'static str] = &["pending", "accepted", "revoked", "expired"];

    /// The name used in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for Status {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The times that decide what an invitation is. Changed by checked steps only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// From this moment on it cannot be accepted.
    pub expires_at: Timestamp,
    ended: Option<End>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Accepted(Timestamp),
    Revoked(Timestamp),
}

/// A step that an invitation cannot take any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the invitation is {0}")]
pub struct NotPending(pub Status);

impl Life {
    /// Of a new invitation.
    pub fn begin(now: Timestamp, span: Duration) -> Self {
        Self { expires_at: now.after(span), ended: None }
    }

    /// From storage; none when it says that both happened.
    pub fn restore(
        expires_at: Timestamp,
        accepted_at: Option<Timestamp>,
        revoked_at: Option<Timestamp>,
    ) -> Option<Self> {
        let ended = match (accepted_at, revoked_at) {
            (None, None) => None,
            (Some(at), None) => Some(End::Accepted(at)),
            (None, Some(at)) => Some(End::Revoked(at)),
            (Some(_), Some(_)) => return None,
        };
        Some(Self { expires_at, ended })
    }

    /// When somebody accepted it.
    pub fn accepted_at(&self) -> Option<Timestamp> {
        self.ended.and_then(|end| if let End::Accepted(at) = end { Some(at) } else { None })
    }

    /// When it was taken back.
    pub fn revoked_at(&self) -> Option<Timestamp> {
        self.ended.and_then(|end| if let End::Revoked(at) = end { Some(at) } else { None })
    }

    /// What it is at `now`. What was too old when it was taken back stays expired.
    pub fn status(&self, now: Timestamp) -> Status {
        match self.ended {
            Some(End::Accepted(_)) => Status::Accepted,
            Some(End::Revoked(at)) if at < self.expires_at => Status::Revoked,
            Some(End::Revoked(_)) => Status::Expired,
            None if now >= self.expires_at => Status::Expired,
            None => Status::Pending,
        }
    }

    /// Accepts it: once, in time, and only while nobody has taken it back.
    pub fn accept(self, now: Timestamp) -> Result<Self, NotPending> {
        match self.status(now) {
            Status::Pending => Ok(Self { ended: Some(End::Accepted(now)), ..self }),
            other => Err(NotPending(other)),
        }
    }

    /// Takes it back. What has ended already stays as it is; only what was accepted cannot be taken back.
    pub fn revoke(self, now: Timestamp) -> Result<Self, NotPending> {
        match self.ended {
            None => Ok(Self { ended: Some(End::Revoked(now)), ..self }),
            Some(End::Revoked(_)) => Ok(self),
            Some(End::Accepted(_)) => Err(NotPending(Status::Accepted)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_000_000);
    const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

    #[test]
    fn a_token_is_long_random_and_told_from_everything_else() {
        let token = InvitationToken::generate().unwrap();
        let again: InvitationToken = token.reveal().parse().unwrap();
        assert_eq!(token.digest(), again.digest());
        assert_ne!(token.reveal(), InvitationToken::generate().unwrap().reveal());
        assert_eq!((token.reveal().len(), format!("{token:?}").as_str()), (47, "InvitationToken(..)"));
        let cut = &token.reveal()[..46];
        let padded = format!("{}=", token.reveal());
        for wrong in ["", "lgi_", cut, &padded, &token.reveal().replace("lgi_", "lgs_"), &format!("{cut}\n")]
        {
            assert_eq!(wrong.parse::<InvitationToken>().unwrap_err(), NotAToken, "{wrong:?}");
        }
    }

    #[test]
    fn it_is_accepted_once_and_in_time() {
        let life = Life::begin(NOW, WEEK);
        let last = NOW.after(WEEK).before(Duration::from_micros(1));
        assert_eq!((life.status(NOW), life.status(last)), (Status::Pending, Status::Pending));
        assert_eq!(life.accept(NOW.after(WEEK)), Err(NotPending(Status::Expired)));
        let accepted = life.accept(last).unwrap();
        assert_eq!(accepted.accept(last), Err(NotPending(Status::Accepted)));
        assert_eq!(accepted.revoke(last), Err(NotPending(Status::Accepted)));
        assert_eq!(accepted.status(NOW.after(WEEK * 2)), Status::Accepted);
    }

    #[test]
    fn what_is_taken_back_or_too_old_stays_so() {
        let life = Life::begin(NOW, WEEK);
        let revoked = life.revoke(NOW).unwrap();
        assert_eq!(revoked.accept(NOW), Err(NotPending(Status::Revoked)));
        assert_eq!(revoked.revoke(NOW.after(WEEK)), Ok(revoked));
        assert_eq!(life.revoke(NOW.after(WEEK)).unwrap().status(NOW.after(WEEK)), Status::Expired);
        assert_eq!(Life::restore(NOW, Some(NOW), Some(NOW)), None);
    }
}
