//! The path of a request in the one form that is both matched and forwarded, or a refusal.
//!
//! A gateway and a backend that read one path differently are a hole in the gateway: `/public/..%2fadmin` is
//! public here and the admin's there. So whatever two programs could read differently is refused before any
//! route is looked for (`path_ambiguous`): dot segments in every spelling, empty segments, backslashes, encoded
//! slashes, controls, broken percent-encoding, bytes that are no UTF-8, and `;` before a slash, which servlet
//! containers cut out of the path.
//!
//! What remains has exactly one normal form (RFC 3986 section 6.2.2): unreserved characters stand for themselves
//! (`%41` is `A`), every other encoding stays as it is with upper-case digits. It is decoded once: `%252e` is
//! three literal characters and stays `%252e`. A path that is in normal form already, nearly every one, is given
//! back as it came, without a copy. The query is none of our business and is never touched.

use std::borrow::Cow;

use bytes::Bytes;
use http::uri::{InvalidUri, PathAndQuery, Uri};

/// The longest request target that is accepted, in bytes; longer ones are 414 `uri_too_long`.
pub const MAX_TARGET: usize = 8 * 1024;

/// Why a path is refused; all of them are `path_ambiguous`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ambiguous {
    /// Empty, `*`, or without a leading slash.
    #[error("the path does not begin with a slash")]
    Relative,
    /// `.` or `..` as a segment, plain, encoded or with a parameter behind it.
    #[error("the path has a dot segment")]
    DotSegment,
    /// `//`.
    #[error("the path has an empty segment")]
    EmptySegment,
    /// A backslash or an encoded slash or backslash.
    #[error("the path has a backslash or an encoded slash")]
    Separator,
    /// `;` with a slash behind it.
    #[error("the path has a parameter inside it")]
    Parameter,
    /// A raw `#`, a space, a control character or a byte that is not ASCII.
    #[error("the path has a character that must be encoded")]
    Character,
    /// `%` without two hexadecimal digits.
    #[error("the path has an invalid percent-encoding")]
    Encoding,
    /// An encoded control character.
    #[error("the path has an encoded control character")]
    Control,
    /// Encoded bytes that are no UTF-8, or an overlong form.
    #[error("the path is not UTF-8")]
    NotUtf8,
}

/// The normal form of a path, without its query.
///
/// Applying it twice gives what it gave the first time. Nothing that it returns holds a dot segment, an empty
/// segment (a trailing slash aside), a separator in disguise or a control character, whichever way it is read.
pub fn normal_form(path: &str) -> Result<Cow<'_, str>, Ambiguous> {
    let bytes = path.as_bytes();
    if bytes.first() != Some(&b'/') {
        return Err(Ambiguous::Relative);
    }
    let mut at = 0;
    // Most bytes are like every other.
    while let Some(found) = bytes[at..].iter().position(|&byte| !IS_PLAIN[usize::from(byte)]) {
        at += found;
        let begins_segment = at > 0 && bytes[at - 1] == b'/';
        match KINDS[usize::from(bytes[at])] {
            Kind::Slash if begins_segment => return Err(Ambiguous::EmptySegment),
            Kind::Dot if begins_segment => refuse_dot_segment(&bytes[at..])?,
            Kind::Plain | Kind::Slash | Kind::Dot => {}
            Kind::Semicolon => refuse_slash(&bytes[at..])?,
            Kind::Percent => return rewritten(bytes, at).map(Cow::Owned),
            Kind::Backslash => return Err(Ambiguous::Separator),
            Kind::Refused => return Err(Ambiguous::Character),
        }
        at += 1;
    }
    Ok(Cow::Borrowed(path))
}

/// The target to forward: the path in its normal form (none when it came in it) and the query as it came, byte for
/// byte (RFC 9110 section 7.7), without scheme and authority, which are for proxies.
pub fn origin_form(target: &Uri, form: Option<&str>) -> Result<Uri, InvalidUri> {
    let written = match (target.path_and_query(), form) {
        (Some(as_it_came), None) => as_it_came.clone(),
        (_, form) => {
            let mut text = form.unwrap_or("/").to_owned();
            if let Some(query) = target.query() {
                text.push('?');
                text.push_str(query);
            }
            PathAndQuery::from_maybe_shared(Bytes::from(text))?
        }
    };
    Ok(written.into())
}

/// The normal form of a path that has an encoding at `first`; everything before it is known to be in normal form
/// but may be the beginning of what is not.
#[cold]
fn rewritten(bytes: &[u8], first: usize) -> Result<String, Ambiguous> {
    // Each octet of the path as it will be read: what it means, and how it is written.
    let mut form = Vec::with_capacity(bytes.len());
    let mut meaning = Vec::with_capacity(bytes.len());
    form.extend_from_slice(&bytes[..first]);
    meaning.extend_from_slice(&bytes[..first]);
    let mut rest = &bytes[first..];
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        match KINDS[usize::from(byte)] {
            Kind::Percent => {
                let (octet, behind) = decoded(rest)?;
                rest = behind;
                match octet {
                    b'/' | b'\\' => return Err(Ambiguous::Separator),
                    0..0x20 | 0x7f => return Err(Ambiguous::Control),
                    _ => {}
                }
                meaning.push(octet);
                if is_unreserved(octet) {
                    form.push(octet);
                } else {
                    form.extend([b'%', HEX[usize::from(octet >> 4)], HEX[usize::from(octet & 15)]]);
                }
            }
            Kind::Backslash => return Err(Ambiguous::Separator),
            Kind::Refused => return Err(Ambiguous::Character),
            Kind::Semicolon => {
                refuse_slash(rest)?;
                form.push(byte);
                meaning.push(byte);
            }
            Kind::Plain | Kind::Slash | Kind::Dot => {
                form.push(byte);
                meaning.push(byte);
            }
        }
    }
    // C1 controls are controls as well; everything below them has been seen above.
    let text = str::from_utf8(&meaning).map_err(|_| Ambiguous::NotUtf8)?;
    if text.chars().any(char::is_control) {
        return Err(Ambiguous::Control);
    }
    for (at, pair) in meaning.windows(2).enumerate() {
        match pair {
            b"//" => return Err(Ambiguous::EmptySegment),
            b"/." => refuse_dot_segment(&meaning[at + 1..])?,
            _ => {}
        }
    }
    // Only ASCII was pushed.
    String::from_utf8(form).map_err(|_| Ambiguous::NotUtf8)
}

/// Two hexadecimal digits at the start, and what stands behind them.
fn decoded(rest: &[u8]) -> Result<(u8, &[u8]), Ambiguous> {
    let [high, low, behind @ ..] = rest else { return Err(Ambiguous::Encoding) };
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        b'A'..=b'F' => Ok(byte - b'A' + 10),
        _ => Err(Ambiguous::Encoding),
    };
    Ok((digit(*high)? << 4 | digit(*low)?, behind))
}

/// Refuses a segment that is one dot or two, alone or before a `;`. `segment` begins with a dot.
fn refuse_dot_segment(segment: &[u8]) -> Result<(), Ambiguous> {
    let behind = segment.strip_prefix(b"..").unwrap_or(&segment[1..]);
    match behind.first() {
        None | Some(b'/' | b';') => Err(Ambiguous::DotSegment),
        // `.%2e` and `..%3b`: only the slow path can read them, and it will.
        Some(_) => Ok(()),
    }
}

/// Refuses a slash anywhere behind a `;`. An encoded slash is refused on its own.
fn refuse_slash(behind: &[u8]) -> Result<(), Ambiguous> {
    if behind.contains(&b'/') { Err(Ambiguous::Parameter) } else { Ok(()) }
}

/// RFC 3986 section 2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

#[derive(Clone, Copy)]
enum Kind {
    Plain,
    Slash,
    Dot,
    Percent,
    Semicolon,
    Backslash,
    Refused,
}

/// Visible ASCII passes as it is. Browsers send `|`, `[` and `]` raw although RFC 3986 would not, and no program
/// reads them in two ways.
const KINDS: [Kind; 256] = {
    let mut kinds = [Kind::Refused; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        kinds[byte as usize] = match byte {
            b'/' => Kind::Slash,
            b'.' => Kind::Dot,
            b'%' => Kind::Percent,
            b';' => Kind::Semicolon,
            b'\\' => Kind::Backslash,
            b'#' | b'?' => Kind::Refused,
            _ => Kind::Plain,
        };
        byte += 1;
    }
    kinds
};

const IS_PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < plain.len() {
        plain[byte] = matches!(KINDS[byte], Kind::Plain);
        byte += 1;
    }
    plain
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(path: &str) -> Ambiguous {
        match normal_form(path) {
            Err(why) => why,
            Ok(form) => panic!("{path} became {form}"),
        }
    }

    #[test]
    fn a_clean_path_is_given_back_without_a_copy() {
        for path in
            ["/", "/a", "/a/", "/a.b/..c/.d/e..", "/~u/a-b_c", "/a!$&'()*+,=:@b", "/x;v=1", "/[id]|x", "/..."]
        {
            assert!(matches!(normal_form(path), Ok(Cow::Borrowed(same)) if same == path), "{path}");
        }
    }

    #[test]
    fn one_resource_has_one_form() {
        for (path, form) in [
            ("/%41dmin/x", "/Admin/x"),
            ("/%7euser/%2d%5f%2e%2ea", "/~user/-_..a"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/a%20b%3fc%23d%3b/e", "/a%20b%3Fc%23d%3B/e"),
            ("/public/%252e%252e%252fadmin", "/public/%252e%252e%252fadmin"),
            ("/100%25", "/100%25"),
            ("/a%3bb", "/a%3Bb"),
        ] {
            assert_eq!(normal_form(path).as_deref(), Ok(form), "{path}");
        }
    }

    #[test]
    fn two_readings_are_refused() {
        use Ambiguous::{
            Character, Control, DotSegment, EmptySegment, Encoding, NotUtf8, Parameter, Relative, Separator,
        };
        for (why, paths) in [
            (Relative, &["", "*", "a/b", "?x", "admin/x"] as &[_]),
            (
                DotSegment,
                &[
                    "/.",
                    "/..",
                    "/./a",
                    "/a/..",
                    "/a/../b",
                    "/../a",
                    "/a/.",
                    "/public/%2e%2e/admin/x",
                    "/a/.%2e/b",
                    "/a/%2E./b",
                    "/a/%2e",
                    "/a/..;",
                    "/a/.;x",
                    "/a/..;/b",
                    "/a/.;x/y",
                    "/a/..%3b",
                    "/%2e%2e%3bx",
                    "/..%3B/a",
                ],
            ),
            (EmptySegment, &["//", "//admin/x", "/a//b", "/a//", "///", "/%41//b"]),
            (
                Separator,
                &[
                    "/a\\b",
                    "/..\\a",
                    "/a%5cb",
                    "/a%5Cb",
                    "/a%2fb",
                    "/public%2f..%2fadmin",
                    "/%41\\",
                    "/a;%2fb",
                ],
            ),
            (Parameter, &["/api/health;/keys", "/admin;x=1/y", "/%41;a/b", "/a;%41/b"]),
            (
                Character,
                &["/a#b", "/admin/x#/public/", "/a b", "/a\tb", "/a\0b", "/a\u{7f}", "/é", "/%41 ", "/a?b"],
            ),
            (Encoding, &["/%", "/a%2", "/%g1", "/%1g", "/%u002f", "/%%41", "/% 1"]),
            (Control, &["/%00", "/a%0d%0aX:1", "/%1f", "/%7f", "/%09", "/%c2%85"]),
            (NotUtf8, &["/%c0%af", "/%e0%80%af", "/%ff", "/%c3", "/%ed%a0%80", "/%f5%80%80%80", "/%80"]),
        ] {
            for path in paths {
                assert_eq!(refused(path), why, "{path}");
            }
        }
    }

    #[test]
    fn the_query_stays_as_it_came() {
        for query in ["", "?", "?a=1&a=2", "?a;b", "?%", "?a=%2B+%20", "?/../%2e%2e//\\", "?a?b", "?%41"] {
            for (path, form) in [("/x", None), ("/%78", Some("/x"))] {
                for start in ["", "http://gw:80"] {
                    let target: Uri = [start, path, query].concat().parse().unwrap();
                    let forwarded = origin_form(&target, form).unwrap();
                    assert_eq!(forwarded.to_string(), ["/x", query].concat(), "{target}");
                    assert!(forwarded.authority().is_none());
                }
            }
        }
    }

    /// How a careless backend would read a path: decoded again and again, parameters cut, slashes unified.
    fn read_carelessly(form: &str) -> Vec<u8> {
        let mut octets = Vec::new();
        let mut rest = form.as_bytes();
        while let Some((&byte, behind)) = rest.split_first() {
            (octets, rest) = match decoded(behind) {
                Ok((octet, behind)) if byte == b'%' => ([octets, vec![octet]].concat(), behind),
                _ => ([octets, vec![byte]].concat(), behind),
            };
        }
        octets
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn whatever_comes_nothing_climbs(path in "/[a-c./;%\\\\#?\u{0}\u{e9}2eEfF35bBcC0 ]{0,24}") {
            if let Ok(form) = normal_form(&path) {
                prop_assert_eq!(normal_form(&form), Ok(Cow::Borrowed(form.as_ref())));
                let read = read_carelessly(&form);
                prop_assert!(str::from_utf8(&read).is_ok_and(|text| !text.contains(char::is_control)));
                let segments: Vec<_> = read.split(|&byte| byte == b'/' || byte == b'\\').skip(1).collect();
                for (at, segment) in segments.iter().enumerate() {
                    let name = segment.split(|&byte| byte == b';').next().unwrap_or_default();
                    prop_assert!(name != b"." && name != b"..", "{} reads {:?}", form, segments);
                    prop_assert!(!segment.is_empty() || at + 1 == segments.len(), "{}", form);
                }
                prop_assert_eq!(
                    form.matches('/').count(), segments.len(),
                    "a slash appears or vanishes in {}", form
                );
            }
        }

        #[test]
        fn nothing_panics(path in any::<String>()) {
            let _ = normal_form(&path);
            let _ = normal_form(&["/", path.as_str()].concat());
        }

        #[test]
        fn encoding_unreserved_characters_changes_nothing(segment in "[A-Za-z0-9_~-]{1,12}") {
            let encoded: Vec<_> = segment.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let (encoded, plain) = (format!("/{}", encoded.concat()), format!("/{segment}"));
            prop_assert_eq!(normal_form(&encoded), Ok(Cow::Owned(plain)));
        }
    }
}
