//! What is known about a finished request, before it is text.

use std::{net::IpAddr, time::Duration};

use http::{StatusCode, Uri};

use crate::domain::{
    access::Method,
    id::{OrgId, TeamId},
    time::Timestamp,
};

/// One request. Every field is a number, or text of its own: records wait for the writer, and what they were part of would
/// wait with them; what they shared with others would go from core to core with each of them.
#[derive(Debug, Clone)]
pub struct AccessRecord {
    /// When the request's head was read.
    pub ts: Timestamp,
    /// The method.
    pub method: http::Method,
    /// As answered.
    pub status: StatusCode,
    /// From the head of the request to the end of its answer.
    pub duration: Duration,
    /// Who asked, behind trusted proxies.
    pub client_ip: Option<IpAddr>,
    /// The kind of credential; none when there was none.
    pub auth_method: Option<Method>,
    /// The caller's organization.
    pub tenant: Option<OrgId>,
    /// The caller's team.
    pub team: Option<TeamId>,
    /// `ok` or the code of the error that was answered.
    pub outcome: &'static str,
    /// Body bytes received from the client.
    pub bytes_in: u64,
    /// Body bytes sent to the client.
    pub bytes_out: u64,
    /// A credential that failed gets a line of its own.
    pub auth_failure: Option<AuthFailure>,
    /// All words, and of each where it stands among them.
    text: Vec<u8>,
    words: [Option<(u32, u32)>; WORDS],
}

/// What a record has in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// As answered in `X-Request-Id`.
    RequestId,
    /// The authority the client asked for.
    Host,
    /// From [`asked_for`](AccessRecord::asked_for).
    Path,
    /// The upstream's name; none when nothing was forwarded.
    Upstream,
    /// The route's name; none when none matched.
    Route,
    /// The public prefix of the key, as presented, proved or not (R002_09).
    Credential,
}

const WORDS: usize = Word::Credential as usize + 1;

/// What the `api_key.auth_failed` line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthFailure {
    /// The public characters that were presented, where the credential had a shape at all. Never the secret.
    pub prefix: Option<Box<str>>,
    /// The error code.
    pub reason: &'static str,
}

impl AccessRecord {
    /// A record of nothing yet, to be filled in as the request goes on.
    pub fn new(ts: Timestamp, method: http::Method) -> Self {
        Self {
            ts,
            method,
            status: StatusCode::INTERNAL_SERVER_ERROR,
            duration: Duration::ZERO,
            client_ip: None,
            auth_method: None,
            tenant: None,
            team: None,
            outcome: "ok",
            bytes_in: 0,
            bytes_out: 0,
            auth_failure: None,
            text: Vec::with_capacity(USUAL_TEXT),
            words: [None; WORDS],
        }
    }

    /// Notes a word.
    pub fn say(&mut self, word: Word, text: impl AsRef<[u8]>) {
        self.note(word, Some(text.as_ref()));
    }

    /// Notes that there is this word, or none.
    pub fn note(&mut self, word: Word, text: Option<&[u8]>) {
        let begins = self.text.len();
        self.text.extend_from_slice(text.unwrap_or_default());
        let place = u32::try_from(begins).ok().zip(u32::try_from(self.text.len()).ok());
        self.words[word as usize] = place.filter(|_| text.is_some());
    }

    /// A word that was noted.
    pub fn said(&self, word: Word) -> Option<&[u8]> {
        let (begins, ends) = self.words[word as usize]?;
        self.text.get(begins as usize..ends as usize)
    }

    /// Notes the path as the client sent it. The query is left out: it may hold a secret.
    pub fn asked_for(&mut self, target: &Uri) {
        if let Some(target) = target.path_and_query() {
            self.say(Word::Path, target.path());
        }
    }
}

/// Room for nearly all of a record's text, in bytes.
const USUAL_TEXT: usize = 192;
