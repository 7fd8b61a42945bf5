//! What goes in and what comes out, as tables: a request is checked against them and the OpenAPI document is written
//! from them, so that the two cannot drift apart.

/// One field of an object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// What it is, for the reader of the document.
    pub(super) text: &'static str,
    /// A request without it is refused.
    pub(super) required: bool,
    /// It may be null.
    pub(super) nullable: bool,
}

/// What a field holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Text,
    /// A text of one to so many characters, not all of them blank.
    Name(usize),
    Id,
    Whole,
    /// From here to there, both included.
    Between(i64, i64),
    /// A number that may have a fraction.
    Number,
    Flag,
    Time,
    Texts,
    /// One of these.
    Choice(&'static [&'static str]),
    /// Any JSON.
    Anything,
    One(&'static Shape),
    Many(&'static Shape),
}

/// An object with a name.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) name: &'static str,
    pub(super) fields: &'static [Field],
}

/// A field that may be left out, or that an answer always has.
pub(super) const fn field(name: &'static str, kind: Kind, text: &'static str) -> Field {
    Field { name, kind, text, required: false, nullable: false }
}

impl Field {
    /// Must be there.
    pub(super) const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// May be null.
    pub(super) const fn or_null(self) -> Self {
        Self { nullable: true, ..self }
    }
}

impl Kind {
    /// What would be accepted, for the one who sent something else.
    pub(super) fn expected(self) -> String {
        match self {
            Self::Text => "expected a text without null characters".to_owned(),
            Self::Name(longest) => format!("expected 1 to {longest} characters"),
            Self::Id => "expected an id such as 0192f7c4-5b1e-7c3a-9d2e-1f0a2b3c4d5e".to_owned(),
            Self::Whole => "expected a whole number".to_owned(),
            Self::Between(low, high) => format!("expected a whole number from {low} to {high}"),
            Self::Number => "expected a number".to_owned(),
            Self::Flag => "expected true or false".to_owned(),
            Self::Time => "expected a time such as 2026-11-21T09:30:00Z".to_owned(),
            Self::Texts => "expected a list of texts without null characters".to_owned(),
            Self::Choice(known) => format!("expected one of {}", known.join(", ")),
            Self::Anything => "expected a value".to_owned(),
            Self::One(_) => "expected an object".to_owned(),
            Self::Many(_) => "expected a list of objects".to_owned(),
        }
    }
}
