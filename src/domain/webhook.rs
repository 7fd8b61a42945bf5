//! What a platform proves itself by when it calls: a secret that only it and we know (R002_18).
//!
//! GitHub signs the body with it, GitLab sends it. Neither says when: whoever has recorded such a request can send it
//! again, and whoever receives it has to bear that (`X-GitHub-Delivery` is not signed, so it proves nothing).

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Which platform calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// `X-Hub-Signature-256`: an HMAC over the body.
    GitHub,
    /// `X-Gitlab-Token`: the secret itself.
    GitLab,
}

impl Platform {
    /// The name used in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GitHub => "github",
            Self::GitLab => "gitlab",
        }
    }
}

/// What both sides know. Never prints; wiped on drop.
#[derive(Clone)]
pub struct WebhookSecret(Zeroizing<Box<[u8]>>);

/// Text that is no secret for a webhook.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadWebhookSecret {
    /// Nothing but line ends.
    #[error("is empty")]
    Empty,
    /// So few that they can be tried.
    #[error("holds {0} bytes, and fewer than {SHORTEST} can be guessed")]
    Short(usize),
    /// No platform takes so much.
    #[error("holds more than {LONGEST} bytes")]
    Long,
    /// What no platform could send.
    #[error("holds more than one line, or what is no plain text")]
    NotText,
}

const SHORTEST: usize = 16;
const LONGEST: usize = 1024;

impl WebhookSecret {
    /// The content of a secret's file, line ends behind it left out.
    pub fn parse(content: &[u8]) -> Result<Self, BadWebhookSecret> {
        let end = content.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
        let secret = &content[..end];
        if secret.is_empty() {
            return Err(BadWebhookSecret::Empty);
        }
        if !secret.iter().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(BadWebhookSecret::NotText);
        }
        match secret.len() {
            short @ ..SHORTEST => Err(BadWebhookSecret::Short(short)),
            SHORTEST..=LONGEST => Ok(Self(Zeroizing::new(secret.into()))),
            _ => Err(BadWebhookSecret::Long),
        }
    }

    /// Whether GitHub signed this body.
    pub fn signed(&self, body: &[u8], signature: &HubSignature) -> bool {
        let Ok(mut hmac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return false };
        hmac.update(body);
        <[u8; 32]>::from(hmac.finalize().into_bytes()).ct_eq(&signature.0).into()
    }

    /// Whether this is what GitLab sends. How much of it is right, and how long it is, time does not tell.
    pub fn is(&self, token: &[u8]) -> bool {
        Sha256::digest(&self.0).ct_eq(&Sha256::digest(token)).into()
    }

    /// Whether a test of its content holds, without giving it away.
    pub fn looks_like(&self, test: impl FnOnce(&str) -> bool) -> bool {
        std::str::from_utf8(&self.0).is_ok_and(test)
    }
}

impl PartialEq for WebhookSecret {
    fn eq(&self, other: &Self) -> bool {
        self.is(&other.0)
    }
}

impl Eq for WebhookSecret {}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(..)")
    }
}

/// The value of `X-Hub-Signature-256`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HubSignature([u8; 32]);

impl HubSignature {
    /// Reads `sha256=` and 64 hexadecimal digits, and nothing else.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let digits = value.strip_prefix(b"sha256=")?;
        let mut bytes = [0; 32];
        if digits.len() != 2 * bytes.len() {
            return None;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of GitHub's documentation, "Validating webhook deliveries".
    const SECRET: &[u8] = b"It's a Secret to Everybody";
    const BODY: &[u8] = b"Hello, World!";
    const SIGNATURE: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn secret() -> WebhookSecret {
        WebhookSecret::parse(SECRET).unwrap()
    }

    #[test]
    fn github_s_own_example_holds() {
        let signature = HubSignature::parse(SIGNATURE.as_bytes()).unwrap();
        assert!(secret().signed(BODY, &signature));
        assert!(!secret().signed(b"Hello, World?", &signature));
        assert!(!secret().signed(b"", &signature));
        assert!(!WebhookSecret::parse(b"It's a secret to everybody").unwrap().signed(BODY, &signature));
        assert_eq!(HubSignature::parse(SIGNATURE.replace("ea0e", "EA0E").as_bytes()), Some(signature));
    }

    #[test]
    fn a_signature_has_one_form() {
        let digits = &SIGNATURE["sha256=".len()..];
        for wrong in [
            String::new(),
            "sha256=".into(),
            digits.into(),
            format!("sha1={digits}"),
            format!("SHA256={digits}"),
            format!("{SIGNATURE}0"),
            format!(" {SIGNATURE}"),
            format!("sha256={}", &digits[1..]),
            format!("sha256={}g", &digits[1..]),
            format!("sha256=+{}", &digits[1..]),
        ] {
            assert_eq!(HubSignature::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_token_is_the_secret_and_nothing_else() {
        assert!(secret().is(SECRET));
        for wrong in [&b""[..], &SECRET[1..], b"it's a Secret to Everybody", b"It's a Secret to Everybody\n"]
        {
            assert!(!secret().is(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn a_secret_s_file_holds_one_line_that_cannot_be_guessed() {
        assert_eq!(WebhookSecret::parse(b"It's a Secret to Everybody\r\n").unwrap(), secret());
        assert_eq!(WebhookSecret::parse(b"\n\r\n").unwrap_err(), BadWebhookSecret::Empty);
        assert_eq!(WebhookSecret::parse(b"123456789012345\n").unwrap_err(), BadWebhookSecret::Short(15));
        assert!(WebhookSecret::parse(b"1234567890123456").is_ok());
        assert_eq!(WebhookSecret::parse(&[b'x'; LONGEST + 1]).unwrap_err(), BadWebhookSecret::Long);
        for wrong in ["one line\nanother line", "12345678\09012345678", "twelve bytes\u{e9}\u{e9}"] {
            assert_eq!(WebhookSecret::parse(wrong.as_bytes()).unwrap_err(), BadWebhookSecret::NotText);
        }
        assert_eq!(format!("{:?}", secret()), "WebhookSecret(..)");
    }
}
