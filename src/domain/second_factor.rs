//! The second factor: codes of an authenticator app (TOTP, RFC 6238), and recovery codes for whoever has lost it.
//!
//! The app and the gateway share a secret. A code is made of it and of the time: six digits, another one every thirty
//! seconds, with SHA-1 because that is what every app knows; HMAC needs no more of it. Recovery codes are random, so
//! that a plain hash can be kept of them (ASVS 5.0 6.5.2).

use std::{fmt, str::FromStr};

use aws_lc_rs::hmac;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{
    id::UserId,
    key::token::{Digest, NoEntropy},
    time::Timestamp,
};

/// RFC 4226 section 4: 160 bits.
const SECRET_BYTES: usize = 20;
const DIGITS: usize = 6;
/// Seconds for which a code is shown.
const PERIOD: i64 = 30;
/// As many steps before and after the present one are taken: clocks differ, and typing takes its time.
const WINDOW: i64 = 1;
/// 120 random bits, and no character left over in base 32.
const RECOVERY_BYTES: usize = 15;
const RECOVERY_CHARACTERS: usize = 24;
/// They are read out and typed in parts.
const PART: usize = 6;
/// How many recovery codes somebody has.
pub const RECOVERY_CODES: usize = 10;

/// What an authenticator app and the gateway share. Wiped on drop; never prints.
pub struct TotpSecret(Zeroizing<[u8; SECRET_BYTES]>);

impl TotpSecret {
    /// A new one; its randomness comes from the operating system.
    pub fn generate() -> Result<Self, NoEntropy> {
        random().map(Self)
    }

    /// From storage; none of another length.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|bytes| Self(Zeroizing::new(bytes)))
    }

    /// To be sealed.
    pub fn bytes(&self) -> &[u8] {
        &*self.0
    }

    /// As people type it into an app: base 32 (RFC 4648 section 6).
    pub fn reveal(&self) -> Zeroizing<String> {
        base32(&*self.0, UPPER)
    }

    /// As apps take it in, with who asks for the codes and for which account.
    pub fn uri(&self, issuer: &str, account: &str) -> Zeroizing<String> {
        let (issuer, account) = (escaped(issuer), escaped(account));
        Zeroizing::new(format!(
            "otpauth://totp/{issuer}:{account}?secret={}&issuer={issuer}&algorithm=SHA1&digits={DIGITS}&period={PERIOD}",
            *self.reveal()
        ))
    }

    /// The step whose code this is, of those that are taken at `now` and come after `used`: a step is taken once
    /// (RFC 6238 section 5.2).
    pub fn step(&self, code: TotpCode, now: Timestamp, used: Option<i64>) -> Option<i64> {
        let present = now.seconds().div_euclid(PERIOD);
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &*self.0);
        let mut taken =
            (present - WINDOW..=present + WINDOW).filter(|step| used.is_none_or(|used| *step > used));
        taken.find(|step| code_at(&key, *step).ct_eq(&code.0).into())
    }
}

impl fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TotpSecret(..)")
    }
}

/// The row that somebody's sealed secret belongs to.
pub fn place(user: UserId) -> String {
    format!("second_factors {user}")
}

/// Six digits that somebody sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TotpCode([u8; DIGITS]);

impl fmt::Debug for TotpCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TotpCode(..)")
    }
}

/// A recovery code that was just made. Wiped on drop; never prints.
pub struct RecoveryCode(Zeroizing<String>);

impl RecoveryCode {
    /// A new one; its randomness comes from the operating system.
    pub fn generate() -> Result<Self, NoEntropy> {
        let bytes = random::<RECOVERY_BYTES>()?;
        Ok(Self(base32(&*bytes, LOWER)))
    }

    /// In parts, to be written down; shown once.
    pub fn reveal(&self) -> String {
        let parts = self.0.as_bytes().chunks(PART).map(|part| String::from_utf8_lossy(part).into_owned());
        parts.collect::<Vec<_>>().join("-")
    }

    /// What is kept of it.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }
}

impl fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryCode(..)")
    }
}

/// What somebody sent as their code, told apart by its form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// An app's.
    Totp(TotpCode),
    /// A recovery code, by what is kept of it.
    Recovery(Digest),
}

/// Text that has the form of neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("neither the code of an app nor a recovery code")]
pub struct NotACode;

impl FromStr for Code {
    type Err = NotACode;

    /// Spaces and hyphens are the reader's; so is the case, and the digits that look like letters.
    fn from_str(text: &str) -> Result<Self, NotACode> {
        if text.len() > LONGEST_TYPED {
            return Err(NotACode);
        }
        let typed: Zeroizing<Vec<u8>> =
            Zeroizing::new(text.bytes().filter(|byte| !matches!(byte, b' ' | b'-' | b'\t')).collect());
        if let Ok(digits) = <[u8; DIGITS]>::try_from(typed.as_slice()) {
            return if digits.iter().all(u8::is_ascii_digit) {
                Ok(Self::Totp(TotpCode(digits)))
            } else {
                Err(NotACode)
            };
        }
        let read = typed.iter().map(|byte| match byte {
            b'0' => Some('o'),
            b'1' => Some('l'),
            byte => {
                Some(char::from(byte.to_ascii_lowercase())).filter(|letter| LOWER.contains(&(*letter as u8)))
            }
        });
        let read: Zeroizing<String> = Zeroizing::new(read.collect::<Option<_>>().ok_or(NotACode)?);
        if read.len() == RECOVERY_CHARACTERS { Ok(Self::Recovery(Digest::of(&read))) } else { Err(NotACode) }
    }
}

/// With every space that anybody puts between the parts.
const LONGEST_TYPED: usize = 100;
const UPPER: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const LOWER: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, NoEntropy> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(&mut *bytes).map_err(|error| NoEntropy::new(&error))?;
    Ok(bytes)
}

/// RFC 4226 section 5.3: four bytes of the MAC, from where its last one says, as a number without its sign.
fn code_at(key: &hmac::Key, step: i64) -> [u8; DIGITS] {
    let tag = hmac::sign(key, &step.to_be_bytes());
    let tag = tag.as_ref();
    let from = usize::from(tag.last().copied().unwrap_or_default() & 0xf);
    let part = tag.get(from..).and_then(|rest| rest.first_chunk::<4>()).copied().unwrap_or_default();
    let mut number = u32::from_be_bytes(part) & 0x7fff_ffff;
    let mut digits = [b'0'; DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit += u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
    digits
}

/// Of whole groups of five bytes, which need no padding.
fn base32(bytes: &[u8], alphabet: &[u8; 32]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(bytes.len() * 8 / 5));
    for group in bytes.chunks(5) {
        let number = group.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        for at in (0..8).rev() {
            let digit = usize::try_from(number >> (5 * at) & 0x1f).unwrap_or_default();
            text.push(char::from(alphabet[digit]));
        }
    }
    text
}

/// RFC 3986 section 2.1: all but the unreserved characters are escaped.
fn escaped(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn totp(text: &str) -> TotpCode {
        match text.parse() {
            Ok(Code::Totp(code)) => code,
            other => panic!("{text}: {other:?}"),
        }
    }

    /// RFC 6238 appendix B; six digits are the last six of its eight.
    #[test]
    fn codes_are_those_of_the_rfc() {
        let secret = TotpSecret::from_bytes(b"12345678901234567890").unwrap();
        for (seconds, code) in [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ] {
            let code = totp(&code[2..]);
            assert_eq!(secret.step(code, at(seconds), None), Some(seconds / 30), "{seconds}");
        }
        assert_eq!(*secret.reveal(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
    }

    /// A clock may be a step off, to the second, and no more.
    #[test]
    fn a_code_is_taken_for_three_steps() {
        let secret = TotpSecret::from_bytes(b"12345678901234567890").unwrap();
        let (code, step) = (totp("287082"), 1);
        for (seconds, taken) in [(-1, false), (0, true), (30, true), (59, true), (89, true), (90, false)] {
            assert_eq!(secret.step(code, at(seconds), None), taken.then_some(step), "{seconds}");
        }
        assert_eq!(secret.step(code, at(59), Some(0)), Some(step));
        assert_eq!(secret.step(code, at(59), Some(1)), None, "used");
        assert_eq!(secret.step(code, at(59), Some(2)), None, "older than what was used");
        let other = TotpSecret::from_bytes(b"12345678901234567891").unwrap();
        assert_eq!(other.step(code, at(59), None), None);
    }

    #[test]
    fn an_app_is_told_everything() {
        let secret = TotpSecret::from_bytes(b"12345678901234567890").unwrap();
        assert_eq!(
            *secret.uri("gate.example", "ana+x@acme.example"),
            "otpauth://totp/gate.example:ana%2Bx%40acme.example?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
             &issuer=gate.example&algorithm=SHA1&digits=6&period=30"
        );
        assert!(TotpSecret::from_bytes(b"short").is_none());
        assert_eq!(format!("{secret:?}"), "TotpSecret(..)");
        assert_ne!(TotpSecret::generate().unwrap().bytes(), TotpSecret::generate().unwrap().bytes());
    }

    #[test]
    fn recovery_codes_are_random_and_typed_as_they_are_read() {
        let codes: Vec<_> = (0..100).map(|_| RecoveryCode::generate().unwrap()).collect();
        assert_eq!(codes.iter().map(RecoveryCode::reveal).collect::<HashSet<_>>().len(), 100);
        for code in &codes {
            let text = code.reveal();
            assert_eq!((text.len(), text.split('-').count()), (27, 4), "{text}");
            assert!(!format!("{code:?}").contains(&text[..6]));
            for typed in [
                text.clone(),
                text.to_uppercase(),
                text.replace('-', ""),
                text.replace('-', " - "),
                format!(" {text} "),
                text.replace('o', "0").replace('l', "1"),
            ] {
                assert_eq!(typed.parse(), Ok(Code::Recovery(code.digest())), "{typed}");
            }
        }
    }

    #[test]
    fn other_text_is_no_code() {
        assert_eq!("12 34-56".parse::<Code>(), "123456".parse());
        for wrong in [
            "",
            "12345",
            "1234567",
            "12345a",
            "\u{663}\u{663}\u{663}",
            "abcdef-abcdef-abcdef-abcde",
            "abcdef-abcdef-abcdef-abcdef-a",
            "abcdef-abcdef-abcdef-abcde9",
            "abcdef-abcdef-abcdef-abcde\u{e9}",
            &"1".repeat(24).replacen('1', "!", 1),
            &" ".repeat(200),
        ] {
            assert_eq!(wrong.parse::<Code>(), Err(NotACode), "{wrong}");
        }
    }
}
