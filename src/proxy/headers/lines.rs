//! Where the gateway's own fields go: among others, or as text into a message that is written.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::proxy::{fields::Fields, wire::field};

/// Takes fields that the gateway says. Nobody else says anything under their names: whoever asks for them has seen to it.
pub trait Lines {
    /// One field.
    fn say(&mut self, name: &HeaderName, value: &HeaderValue);

    /// One whose value is this text, of visible ASCII and blanks.
    fn say_text(&mut self, name: &HeaderName, text: &[u8]);

    /// Some that are said often.
    fn say_phrase(&mut self, phrase: &Phrase) {
        for (name, value) in phrase.iter() {
            self.say(name, value);
        }
    }
}

/// Fields that are said again and again in the same words: written once.
#[derive(Debug, Clone)]
pub struct Phrase {
    fields: Box<[(HeaderName, HeaderValue)]>,
    text: Box<[u8]>,
}

impl Phrase {
    /// Its fields.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.fields.iter().map(|(name, value)| (name, value))
    }
}

impl FromIterator<(HeaderName, HeaderValue)> for Phrase {
    fn from_iter<T: IntoIterator<Item = (HeaderName, HeaderValue)>>(fields: T) -> Self {
        let fields: Box<[_]> = fields.into_iter().collect();
        let mut text = Vec::new();
        fields.iter().for_each(|(name, value)| text.say(name, value));
        Self { fields, text: text.into() }
    }
}

impl Lines for HeaderMap {
    fn say(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.append(name, value.clone());
    }

    fn say_text(&mut self, name: &HeaderName, text: &[u8]) {
        if let Ok(value) = HeaderValue::from_bytes(text) {
            self.append(name, value);
        }
    }
}

impl Lines for Fields {
    fn say(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.append(name.clone(), value.clone());
    }

    fn say_text(&mut self, name: &HeaderName, text: &[u8]) {
        if let Ok(value) = HeaderValue::from_bytes(text) {
            self.append(name.clone(), value);
        }
    }
}

/// As HTTP/1 has them, one after the other.
impl Lines for Vec<u8> {
    fn say(&mut self, name: &HeaderName, value: &HeaderValue) {
        field(self, name.as_str(), value.as_bytes());
    }

    fn say_text(&mut self, name: &HeaderName, text: &[u8]) {
        field(self, name.as_str(), text);
    }

    fn say_phrase(&mut self, phrase: &Phrase) {
        self.extend_from_slice(&phrase.text);
    }
}
