//! One cookie among others: read, and taken out so that the rest stays as it came, byte for byte.
//!
//! Names are compared exactly (RFC 6265 section 5.4 has them case-sensitive). A cookie that came twice with different
//! values names nobody: which of the two a neighbour put there cannot be told.

use http::{HeaderValue, header::COOKIE};

use super::fields::Fields;

/// What was sent under a cookie's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// One value, perhaps more than once.
    One {
        /// The line it stands in.
        value: HeaderValue,
        /// Where it begins there.
        start: usize,
        /// Where it ends.
        end: usize,
    },
    /// Values that differ.
    Several,
}

/// The cookie of this name, if it was sent.
pub(super) fn find(fields: &Fields, name: &str) -> Option<Found> {
    let mut found: Option<Found> = None;
    for line in fields.get_all(&COOKIE) {
        for (start, end) in values(line.as_bytes(), name) {
            let bytes = &line.as_bytes()[start..end];
            match &found {
                None => found = Some(Found::One { value: line.clone(), start, end }),
                Some(Found::One { value, start, end }) if value.as_bytes()[*start..*end] == *bytes => {}
                Some(_) => return Some(Found::Several),
            }
        }
    }
    found
}

/// Takes the cookie of this name out, wherever it stands, and what lies beside it: the gateway's pages keep more, each
/// under this name, a hyphen and a word of its own.
pub(super) fn remove(fields: &mut Fields, name: &str) {
    let stands_in =
        |line: &HeaderValue| line.as_bytes().split(|byte| *byte == b';').any(|piece| is_ours(piece, name));
    fields.retain(|field, line| {
        if *field != COOKIE || !stands_in(line) {
            return true;
        }
        without(line, name).map(|rest| *line = rest).is_some()
    });
}

/// Whether this would put one of these cookies into a browser: an upstream that could would choose as whom somebody
/// works from then on (L311).
pub(super) fn would_set(line: &HeaderValue, name: &str) -> bool {
    let line = line.as_bytes();
    // Browsers send a cookie without a name as its value alone, which may look like another.
    let unnamed = line.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'=')).count();
    is_ours(line[unnamed..].split(|byte| *byte == b';').next().unwrap_or_default(), name)
}

/// A line without the cookie; nothing when nothing else stood in it.
fn without(line: &HeaderValue, name: &str) -> Option<HeaderValue> {
    let mut rest = Vec::with_capacity(line.len());
    for piece in line.as_bytes().split(|byte| *byte == b';').filter(|piece| !is_ours(piece, name)) {
        if rest.is_empty() {
            rest.extend_from_slice(piece.trim_ascii_start());
        } else {
            rest.push(b';');
            rest.extend_from_slice(piece);
        }
    }
    HeaderValue::from_bytes(&rest).ok().filter(|line| !line.is_empty())
}

/// Where the values of the cookie stand in a line.
fn values<'a>(line: &'a [u8], name: &'a str) -> impl Iterator<Item = (usize, usize)> + 'a {
    let mut next = 0;
    line.split(|byte| *byte == b';').filter_map(move |piece| {
        let begins = next;
        next += piece.len() + 1;
        value(piece, name).map(|(start, end)| (begins + start, begins + end))
    })
}

/// Whether a piece between two semicolons is the cookie, or one beside it.
fn is_ours(piece: &[u8], name: &str) -> bool {
    let Some((own, _)) = named(piece) else { return false };
    own.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first().is_none_or(|byte| *byte == b'-'))
}

/// Where its value stands in a piece between two semicolons, if the piece is the cookie.
fn value(piece: &[u8], name: &str) -> Option<(usize, usize)> {
    let (own, start) = named(piece)?;
    (own == name.as_bytes()).then_some((start, piece.trim_ascii_end().len()))
}

/// The name in a piece, and where its value begins: behind white space, as everybody reads it (RFC 6265 section 5.2).
fn named(piece: &[u8]) -> Option<(&[u8], usize)> {
    let piece = piece.trim_ascii_end();
    let equals = piece.iter().position(|byte| *byte == b'=')?;
    let (name, value) = (&piece[..equals], &piece[equals + 1..]);
    Some((name.trim_ascii(), piece.len() - value.trim_ascii_start().len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "__Host-latchgate";

    fn sent(lines: &[&str]) -> Fields {
        lines.iter().map(|line| (COOKIE, HeaderValue::from_bytes(line.as_bytes()).unwrap())).collect()
    }

    fn read(lines: &[&str]) -> Option<String> {
        match find(&sent(lines), NAME)? {
            Found::One { value, start, end } => {
                Some(String::from_utf8(value.as_bytes()[start..end].to_vec()).unwrap())
            }
            Found::Several => Some("several".to_owned()),
        }
    }

    fn left(lines: &[&str]) -> Vec<String> {
        let mut fields = sent(lines);
        remove(&mut fields, NAME);
        let text = |line: &HeaderValue| String::from_utf8(line.as_bytes().to_vec()).unwrap();
        fields.get_all(&COOKIE).map(text).collect()
    }

    #[test]
    fn the_cookie_is_found_wherever_it_stands() {
        for lines in [
            &["__Host-latchgate=x"][..],
            &["a=1; __Host-latchgate=x"],
            &["__Host-latchgate=x; a=1"],
            &["a=1", "b=2;__Host-latchgate=x ;c"],
            &["a=1; __Host-latchgate =\t x "],
            &["__Host-latchgate=x", "__Host-latchgate=x"],
        ] {
            assert_eq!(read(lines).as_deref(), Some("x"), "{lines:?}");
        }
        assert_eq!(read(&["__Host-latchgate="]).as_deref(), Some(""));
        assert_eq!(read(&["__Host-latchgate=a=b"]).as_deref(), Some("a=b"));
        assert_eq!(read(&["__Host-latchgate=x; __Host-latchgate=y"]).as_deref(), Some("several"));
        assert_eq!(read(&["__Host-latchgate=x", "__Host-latchgate=y"]).as_deref(), Some("several"));
    }

    /// D137.
    #[test]
    fn what_only_looks_like_it_is_another_cookie() {
        for line in [
            "",
            ";",
            "=",
            "__Host-latchgate",
            "__host-latchgate=x",
            "__HOST-LATCHGATE=x",
            "latchgate=x",
            "x__Host-latchgate=x",
            "a=__Host-latchgate=x",
            "a=\"; b=__Host-latchgate=x",
        ] {
            assert_eq!(read(&[line]), None, "{line}");
            assert_eq!(left(&[line]), [line], "{line}");
        }
    }

    /// L311.
    #[test]
    fn nobody_else_sets_it() {
        let others: [&'static str; 5] =
            ["a=1; Path=/", "__Host-latchgates=x", "a=__Host-latchgate=x", "", "latchgate=x"];
        let ours: [&'static str; 4] = [
            "__Host-latchgate=lgs_x; Path=/; Secure",
            " __Host-latchgate =",
            "=__Host-latchgate=x",
            "__Host-latchgate-form=x",
        ];
        let sets = |line: &&'static str| would_set(&HeaderValue::from_static(line), NAME);
        assert!(ours.iter().all(sets) && !others.iter().any(sets));
    }

    #[test]
    fn the_rest_stays_as_it_came() {
        assert_eq!(left(&["__Host-latchgate=x"]), [""; 0]);
        assert_eq!(left(&["a=1; __Host-latchgate=x; b=2"]), ["a=1; b=2"]);
        assert_eq!(left(&["__Host-latchgate=x; b=\"2 3\" ;c"]), ["b=\"2 3\" ;c"]);
        assert_eq!(left(&["a=ü;;b ; __Host-latchgate=x"]), ["a=ü;;b "]);
        assert_eq!(left(&["a=1", "__Host-latchgate=x", "b=2"]), ["a=1", "b=2"]);
        assert_eq!(left(&["__Host-latchgate-form=x; a=1; __Host-latchgate-oidc=y"]), ["a=1"], "P338");
        assert_eq!(left(&["__Host-latchgates=x"]), ["__Host-latchgates=x"]);
        assert_eq!(left(&["__Host-latchgate=x;__Host-latchgate=y"]), [""; 0]);
    }
}
