//! The service that proxies without keys of their own ask: 200 with who it is, or 401.

use std::{borrow::Cow, collections::HashMap};

use crate::{
    Outcome, head,
    options::Options,
    serve::{Service, Waiting, serve},
};

/// `--listen ADDRESS --keys FILE`
pub fn run(options: &Options) -> Outcome {
    let keys = options.keys()?.into_iter().enumerate();
    let answers = keys.map(|(at, key)| {
        let answer = format!(
            "HTTP/1.1 200 OK\r\nX-User-Id: user-{at}\r\nX-Project-Id: proj-{}\r\nContent-Length: 0\r\n\r\n",
            at % 100
        );
        (key.into_bytes(), answer.into_bytes())
    });
    let service = KeyService { answers: answers.collect() };
    Ok(serve(options.needed("listen")?, &service, Waiting::Sleeping)?)
}

struct KeyService {
    answers: HashMap<Vec<u8>, Vec<u8>>,
}

impl Service for KeyService {
    fn answer(&self, head: &[u8]) -> Cow<'_, [u8]> {
        let answer = head::field(head, "x-api-key").and_then(|key| self.answers.get(key));
        Cow::Borrowed(answer.map_or(REFUSAL, Vec::as_slice))
    }
}

const REFUSAL: &[u8] = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
