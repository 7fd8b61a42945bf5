//! Where to go on to after a form: a place on this very origin, or none.
//!
//! A place that came with the request may have been made up by a stranger, who would like a page of theirs to look as
//! if it came from here. So only what every program reads alike is taken: a path in its plain form with a query,
//! nothing that could be a host.

use std::fmt;

/// A path and query of this origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReturnTo(String);

impl ReturnTo {
    /// None for what might lead away, or be read in two ways.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let path = text.split('?').next().unwrap_or_default();
        let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#' | b'"' | b'<' | b'>');
        let local = text.len() <= LONGEST
            && path.starts_with('/')
            && text.bytes().all(plain)
            && path.split('/').skip(1).enumerate().all(|(at, segment)| is_plain(segment, at == 0))
            && !path.contains("//");
        local.then(|| Self(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ReturnTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// No dot segment, and no encoding of what would be something else undone: a slash, a backslash, a dot, a control
/// character.
fn is_plain(segment: &str, first: bool) -> bool {
    let name = segment.split(';').next().unwrap_or_default();
    if matches!(name, "." | "..") || (first && segment.starts_with('@')) {
        return false;
    }
    segment.split('%').skip(1).all(|escape| {
        let octet = escape.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        octet.is_some_and(|octet| !octet.is_ascii_control() && !matches!(octet, b'/' | b'\\' | b'.' | b'%'))
    })
}

/// What a browser sends on is as long again when it is encoded, and has to fit into 8 KiB.
const LONGEST: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_here_are_taken() {
        for place in [
            "/",
            "/x",
            "/v1/teams/7/scans?x=1&y=//a&next=https://b.example/%2e",
            "/a%20b/c%C3%A4",
            "/.latchgate/sign-in",
            "/.well-known/x",
            "/a/b/",
            "/a;v=1",
        ] {
            assert_eq!(ReturnTo::parse(place).as_ref().map(ReturnTo::as_str), Some(place));
        }
    }

    /// L314, all its spellings and some more.
    #[test]
    fn places_elsewhere_are_not() {
        let long = format!("/{}", "a".repeat(LONGEST));
        for place in [
            "",
            "x",
            "//evil.example",
            "//evil.example/x",
            "///evil.example",
            "/\\evil.example",
            "\\/evil.example",
            "\\\\evil.example",
            "/%5cevil.example",
            "/%5Cevil.example",
            "/%2fevil.example",
            "/%2F%2fevil.example",
            "/%09/evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "/\r\nSet-Cookie: a=b",
            "/%0d%0aSet-Cookie:a=b",
            " //evil.example",
            "/ /evil.example",
            "https:evil.example",
            "https:/evil.example",
            "https://evil.example",
            "http://gw.evil.example",
            "http://gw@evil.example",
            "HTTPS://evil.example",
            "javascript:alert(1)",
            "/javascript:alert(1)//evil\\",
            "data:text/html,x",
            "/api/..//evil.example",
            "/api/../evil",
            "/api/%2e%2e//evil.example",
            "/api/%2E%2E/x",
            "/..;/x",
            "/./evil.example",
            "/api//evil.example",
            "/.//evil.example",
            "/@evil.example",
            "@evil.example",
            "?x",
            "#x",
            "/x#y",
            "/%",
            "/%4",
            "/%zz",
            "/%252f%252fevil",
            "/ä",
            "/\u{2028}",
            "/\0",
            "/%00",
            "/\u{ff0f}evil.example",
            "/\"><script>",
            &long,
        ] {
            assert_eq!(ReturnTo::parse(place), None, "{place:?}");
        }
    }
}
