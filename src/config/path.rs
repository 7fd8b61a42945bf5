//! The path of a route: `/v1/teams/{team_id}/scans/{*rest}`.
//!
//! A request's path is brought to one normal form before it is matched, so a literal that this form never has
//! (dot segments, `//`, percent-encodings) could never match: it is refused here rather than silently dead.

use std::fmt;

/// A checked template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathTemplate {
    text: String,
    segments: Vec<Segment>,
}

/// What stands between two slashes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Segment {
    /// This text exactly. Empty only as the last one: `/v1/`.
    Literal(String),
    /// `{name}`: one segment, not empty.
    Parameter(String),
    /// `{*name}`: everything that remains, with its slashes; may be empty. Always the last one.
    Rest(String),
}

impl PathTemplate {
    /// The template as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its parts, from left to right; at least one.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Names of its parameters, that of the remainder among them.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Literal(_) => None,
            Segment::Parameter(name) | Segment::Rest(name) => Some(name.as_str()),
        })
    }

    /// Whether every path that one of them matches is matched by the other too: they differ in names alone.
    pub fn same_shape(&self, other: &Self) -> bool {
        let alike = |(left, right): (&Segment, &Segment)| match (left, right) {
            (Segment::Literal(left), Segment::Literal(right)) => left == right,
            (Segment::Parameter(_), Segment::Parameter(_)) | (Segment::Rest(_), Segment::Rest(_)) => true,
            _ => false,
        };
        self.segments.len() == other.segments.len() && self.segments.iter().zip(&other.segments).all(alike)
    }

    /// Parses a template; the error is a sentence for the operator.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(path) = text.strip_prefix('/') else {
            return Err(format!("{text:?} does not begin with a slash"));
        };
        if text.len() > LONGEST {
            return Err(format!("is longer than {LONGEST} characters"));
        }
        let pieces: Vec<&str> = path.split('/').collect();
        let mut segments = Vec::with_capacity(pieces.len());
        for (index, piece) in pieces.iter().enumerate() {
            let last = index + 1 == pieces.len();
            segments.push(segment(text, piece, last)?);
        }
        let template = Self { text: text.to_owned(), segments };
        let names: Vec<&str> = template.parameters().collect();
        if let Some((_, double)) =
            names.iter().enumerate().find(|(index, name)| names[..*index].contains(name))
        {
            return Err(format!("{text:?} names {{{double}}} twice"));
        }
        template.refuse_reserved()?;
        Ok(template)
    }

    /// The gateway answers below `/.latchgate/` itself. A parameter may stand for anything else.
    fn refuse_reserved(&self) -> Result<(), String> {
        match self.segments.first() {
            Some(Segment::Literal(first)) if before_parameters(first).eq_ignore_ascii_case(RESERVED) => {
                Err(format!("{:?} lies below /{RESERVED}/, which the gateway answers itself", self.text))
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for PathTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn segment(text: &str, piece: &str, last: bool) -> Result<Segment, String> {
    if let Some(name) = piece.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')) {
        return match name.strip_prefix('*') {
            Some(_) if !last => Err(format!("{text:?}: {piece} takes all that remains, so it must be last")),
            Some(name) => parameter(text, name).map(Segment::Rest),
            None => parameter(text, name).map(Segment::Parameter),
        };
    }
    if piece.contains(['{', '}']) {
        return Err(format!("{text:?}: a parameter is a whole segment, unlike in {piece:?}"));
    }
    if piece.is_empty() && !last {
        return Err(format!("{text:?} holds an empty segment (//), which no request can have"));
    }
    if matches!(before_parameters(piece), "." | "..") {
        return Err(format!("{text:?} holds the dot segment {piece:?}, which no request can have"));
    }
    if let Some(odd) = piece.chars().find(|c| !c.is_ascii_alphanumeric() && !PUNCTUATION.contains(*c)) {
        let why = match odd {
            '%' => "percent-encodings are not matched; use a parameter",
            '?' | '#' => "a route is chosen by its path alone",
            '*' => "the remainder is written {*rest}",
            _ => "it cannot stand in a path; use a parameter",
        };
        return Err(format!("{text:?} holds {odd:?}: {why}"));
    }
    Ok(Segment::Literal(piece.to_owned()))
}

/// Some servers cut `;` and what follows it out of a segment before they read it.
fn before_parameters(piece: &str) -> &str {
    piece.split(';').next().unwrap_or(piece)
}

fn parameter(text: &str, name: &str) -> Result<String, String> {
    let mut letters = name.chars();
    let begins = letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if begins && letters.all(|c| c.is_ascii_alphanumeric() || c == '_') {
        Ok(name.to_owned())
    } else {
        Err(format!("{text:?}: {name:?} is not a parameter's name (letters, digits and _)"))
    }
}

/// What RFC 3986 allows in a segment beside letters and digits; without `*`, which reads like a wildcard.
const PUNCTUATION: &str = "-._~!$&'()+,;=:@";

/// The gateway's own first segment.
const RESERVED: &str = ".latchgate";

/// In characters; a request's target has 8 KiB.
const LONGEST: usize = 4096;
