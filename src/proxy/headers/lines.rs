//! Where the gateway's own fields go: among others, or as text into a message that is written.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::proxy::{fields::Fields, wire::field};

/// Takes fields that the gateway says. Nobody else says anything under their names: whoever asks for them has seen to it.
pub trait Lines {
    /// One field.
    fn say(&mut self, name: &HeaderName, value: &HeaderValue);

    /// One whose value is this text, of visible ASCII and blanks.
    fn say_text(&mut self, name: &HeaderName, text: &[u8]);
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
}
