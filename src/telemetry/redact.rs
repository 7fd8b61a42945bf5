//! What never prints: secrets that got into text which was not meant to carry them.
//!
//! Types keep secrets out of our own messages; this is for text that somebody else chose - a path, an error
//! of a library, the message of a panic. It knows what the profile's keys look like, and three shapes that
//! every deployment has: `Bearer ...`, the token of a session or of an invitation, and the password in `scheme://user:password@host`.

use std::{array, borrow::Cow, sync::Arc};

use super::line::plain;
use crate::domain::{invitation, key::token::KeyShape, session};

/// Cuts secrets out of text.
#[derive(Debug, Clone)]
pub struct Redactor {
    /// What keys begin with, and how many of the characters after it are public.
    keys: Option<(Box<str>, usize)>,
    /// The first two bytes of a key; the second as far as these bits of it.
    pair: [u8; 2],
    bits: u8,
    kinds: Arc<[Kinds; 256]>,
}

/// What a byte may be part of, as bits: of two bytes without which nothing is secret, the first and the second.
#[derive(Debug, Clone, Copy)]
struct Kinds {
    first: u8,
    second: u8,
}

/// Knows no keys.
impl Default for Redactor {
    fn default() -> Self {
        Self::of(None)
    }
}

impl Redactor {
    /// Knows the platform's keys by sight.
    pub fn new(keys: &KeyShape) -> Self {
        Self::of(Some((keys.literal().into(), keys.public().length)))
    }

    fn of(keys: Option<(Box<str>, usize)>) -> Self {
        let literal = keys.as_ref().map_or(&[][..], |(literal, _)| literal.as_bytes());
        // Without keys it is what passwords begin with: looked for twice, which finds no more.
        let (pair, bits) = match literal {
            [] => (*b":/", u8::MAX),
            [only] => ([*only, 0], 0),
            [first, second, ..] => ([*first, *second], u8::MAX),
        };
        let kinds = array::from_fn(|byte| Kinds::of(u8::try_from(byte).unwrap_or_default(), pair, bits));
        Self { keys, pair, bits, kinds: Arc::new(kinds) }
    }

    /// The text, with `***` in the place of each secret. A key keeps its public prefix.
    pub fn clean<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut out = String::new();
        let mut copied = 0;
        let mut at = 0;
        while let Some(begin) = self.beginning(text.as_bytes(), at) {
            at = begin;
            let Some((from, to)) = self.secret_at(text, at) else {
                at += 1;
                continue;
            };
            out.push_str(&text[copied..from]);
            out.push_str("***");
            copied = to;
            at = to;
        }
        if copied == 0 {
            return Cow::Borrowed(text);
        }
        out.push_str(&text[copied..]);
        Cow::Owned(out)
    }

    /// The secret part of what begins at `at`, as a range of bytes.
    fn secret_at(&self, text: &str, at: usize) -> Option<(usize, usize)> {
        let rest = &text[at..];
        self.key(rest)
            .or_else(|| token(rest))
            .or_else(|| bearer(rest))
            .or_else(|| password(rest))
            .map(|(from, to)| (at + from, at + to))
    }

    /// Whether every byte is plain and there is certainly nothing to cut.
    pub(super) fn is_harmless(&self, text: &[u8]) -> bool {
        let (mut found, mut before) = (0, Kinds::ANY);
        for byte in text {
            let Kinds { first, second } = self.kinds[usize::from(*byte)];
            found |= before & second;
            before = first;
        }
        found == 0
    }

    /// Where from here on a secret may begin, by a quick look at two bytes, of which the first is always ASCII, so that
    /// it is the start of a character. Nothing secret is a single byte.
    fn beginning(&self, text: &[u8], from: usize) -> Option<usize> {
        let behind = text.get(from + 1..)?;
        let mut pairs = text[from..].iter().zip(behind);
        let found = pairs.position(|(first, second)| self.may_begin(*first, *second))?;
        Some(from + found)
    }

    fn may_begin(&self, first: u8, second: u8) -> bool {
        match first {
            b':' if second == b'/' => true,
            b'b' | b'B' if second.eq_ignore_ascii_case(&b'e') => true,
            b'l' if second == b'g' => true,
            _ => first == self.pair[0] && second & self.bits == self.pair[1],
        }
    }

    fn key(&self, rest: &str) -> Option<(usize, usize)> {
        let (literal, public) = self.keys.as_ref()?;
        let tail = rest.strip_prefix(&**literal)?;
        // The separator between the two halves of a key is no secret.
        let shown = public + usize::from(tail.as_bytes().get(*public) == Some(&b'_'));
        let end = run(tail, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        (end > shown).then_some((literal.len() + shown, literal.len() + end))
    }
}

impl Kinds {
    /// What is not plain is the second of whatever comes before it.
    const ANY: u8 = 1 << 7;

    /// Of a key, a token and a password the first two, and the end of the word `bearer`, whose beginning is part of many
    /// numbers.
    fn of(byte: u8, pair: [u8; 2], bits: u8) -> Self {
        let first = [byte == pair[0], byte == b'l', byte == b':', byte.eq_ignore_ascii_case(&b'r')];
        let second = [byte & bits == pair[1], byte == b'g', byte == b'/', byte == b' '];
        let set = |kinds: [bool; 4]| (0..4).map(|at| u8::from(kinds[at]) << at).sum::<u8>();
        let odd = if plain(byte) { 0 } else { Self::ANY };
        Self { first: set(first) | Self::ANY, second: set(second) | odd }
    }
}

/// All of a session's or an invitation's token behind its literal is secret.
fn token(rest: &str) -> Option<(usize, usize)> {
    let literal =
        [session::LITERAL, invitation::LITERAL].into_iter().find(|literal| rest.starts_with(literal))?;
    let end = run(&rest[literal.len()..], |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    (end > 0).then_some((literal.len(), literal.len() + end))
}

fn bearer(rest: &str) -> Option<(usize, usize)> {
    let scheme = rest.get(..SCHEME.len())?;
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return None;
    }
    let token = run(&rest[SCHEME.len()..], |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'~' | b'+' | b'/' | b'=')
    });
    // "Bearer token is missing" is a sentence; tokens are longer than words.
    (token >= SHORTEST_TOKEN).then_some((SCHEME.len(), SCHEME.len() + token))
}

fn password(rest: &str) -> Option<(usize, usize)> {
    let authority = rest.strip_prefix("://")?;
    let end = run(authority, |byte| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'?' | b'#' | b'"'));
    let at = authority[..end].rfind('@')?;
    let colon = authority[..at].find(':')?;
    Some(("://".len() + colon + 1, "://".len() + at))
}

/// How many bytes from the beginning on satisfy this.
fn run(text: &str, belongs: impl Fn(u8) -> bool) -> usize {
    text.bytes().position(|byte| !belongs(byte)).unwrap_or(text.len())
}

const SCHEME: &str = "bearer ";
const SHORTEST_TOKEN: usize = 12;

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::key::token::{Alphabet, Part};

    /// Knows keys such as `osk_AbCdEfGh_...`.
    pub(in crate::telemetry) fn redactor() -> Redactor {
        let part = |length| Part { length, alphabet: Alphabet::Base62 };
        Redactor::new(&KeyShape::new("osk_", part(8), part(24), true).expect("a shape"))
    }

    #[test]
    fn a_key_in_free_text_keeps_its_public_characters_only() {
        let clean = |text| redactor().clean(text).into_owned();
        assert_eq!(clean("/v1/osk_AbCdEfGh_SECRETSECRET/x"), "/v1/osk_AbCdEfGh_***/x");
        assert_eq!(clean("a=osk_12345678_SECRET,b=osk_AbCdEfGhS"), "a=osk_12345678_***,b=osk_AbCdEfGh***");
        assert_eq!(clean("osk_AbCdEfGh"), "osk_AbCdEfGh", "the prefix alone is public");
        assert_eq!(clean("osk_"), "osk_");
        assert_eq!(clean("oosk_AbCdEfGh_S"), "oosk_AbCdEfGh_***");
    }

    #[test]
    fn tokens_and_passwords_go_whatever_the_profile() {
        let clean = |text| Redactor::default().clean(text).into_owned();
        assert_eq!(clean("Authorization: BEARER eyJhbGciOi.J9.sig end"), "Authorization: BEARER *** end");
        assert_eq!(clean("a bearer token is missing"), "a bearer token is missing");
        assert_eq!(clean("latchgate=lgs_a-B_9; lgs_"), "latchgate=lgs_***; lgs_");
        assert_eq!(clean("/invitations/lgi_a-B_9/x"), "/invitations/lgi_***/x");
        assert_eq!(clean("postgres://gate:hu@nter2@db/x"), "postgres://gate:***@db/x");
        assert_eq!(clean("see https://example.com:80/a@b"), "see https://example.com:80/a@b");
    }

    #[test]
    fn text_without_secrets_is_not_copied() {
        assert!(matches!(redactor().clean("/v1/scans/ünïcode"), Cow::Borrowed(_)));
        assert_eq!(redactor().clean("ü osk_AbCdEfGhSECRET ü"), "ü osk_AbCdEfGh*** ü");
    }
}
