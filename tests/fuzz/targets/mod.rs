//! What reads bytes of strangers, and what it promises whatever they are. A target panics when a promise is broken.

mod answer;
mod config;
mod credential;
mod forwarded;
mod path;
mod profile;
mod request;
mod token;

use http::{HeaderMap, HeaderName, HeaderValue};

/// One reader of hostile bytes.
pub(crate) struct Target {
    /// Also the folder of its seeds.
    pub(crate) name: &'static str,
    /// Reads them.
    pub(crate) run: fn(&[u8]),
    /// How many inputs a short run tries.
    pub(crate) inputs: u32,
}

/// All of them.
pub(crate) const ALL: [Target; 8] = [
    Target { name: "path", run: path::run, inputs: 40_000 },
    Target { name: "credential", run: credential::run, inputs: 10_000 },
    Target { name: "token", run: token::run, inputs: 40_000 },
    Target { name: "forwarded", run: forwarded::run, inputs: 20_000 },
    Target { name: "answer", run: answer::run, inputs: 40_000 },
    Target { name: "request", run: request::run, inputs: 40_000 },
    Target { name: "profile", run: profile::run, inputs: 300 },
    Target { name: "config", run: config::run, inputs: 300 },
];

/// Lines as the fields of a head: `name: value`, as hyper would have let them through.
fn fields(text: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in text.split(|byte| *byte == b'\n').take(100) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = line.split_at(colon);
        let name = HeaderName::from_bytes(name);
        let value = HeaderValue::from_bytes(value[1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}
