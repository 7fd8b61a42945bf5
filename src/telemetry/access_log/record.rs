//! What is known about a finished request, before it is text.

use std::{net::IpAddr, sync::Arc, time::Duration};

use http::{HeaderValue, StatusCode, Uri};

use crate::domain::{access::Method, time::Timestamp};

/// One request. Every field is a number, or a value that nobody else's memory hangs on: records wait for the
/// writer, and what they were part of would wait with them.
#[derive(Debug, Clone)]
pub struct AccessRecord {
    /// When the request's head was read.
    pub ts: Timestamp,
    /// As answered in `X-Request-Id`.
    pub request_id: Option<HeaderValue>,
    /// The method.
    pub method: http::Method,
    /// The authority the client asked for.
    pub host: Option<HeaderValue>,
    /// From [`asked_for`](Self::asked_for).
    pub(super) path: Option<Box<str>>,
    /// As answered.
    pub status: StatusCode,
    /// From the head of the request to the end of its answer.
    pub duration: Duration,
    /// The upstream's name; none when nothing was forwarded.
    pub upstream: Option<Arc<str>>,
    /// The route's name; none when none matched.
    pub route: Option<Arc<str>>,
    /// Who asked, behind trusted proxies.
    pub client_ip: Option<IpAddr>,
    /// The kind of credential; none when there was none.
    pub auth_method: Option<Method>,
    /// The public prefix of the key, as presented, proved or not (R002_09).
    pub credential: Option<HeaderValue>,
    /// The caller's organization.
    pub tenant: Option<HeaderValue>,
    /// The caller's team.
    pub team: Option<HeaderValue>,
    /// `ok` or the code of the error that was answered.
    pub outcome: &'static str,
    /// Body bytes received from the client.
    pub bytes_in: u64,
    /// Body bytes sent to the client.
    pub bytes_out: u64,
    /// A credential that failed gets a line of its own.
    pub auth_failure: Option<AuthFailure>,
}

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
            request_id: None,
            method,
            host: None,
            path: None,
            status: StatusCode::INTERNAL_SERVER_ERROR,
            duration: Duration::ZERO,
            upstream: None,
            route: None,
            client_ip: None,
            auth_method: None,
            credential: None,
            tenant: None,
            team: None,
            outcome: "ok",
            bytes_in: 0,
            bytes_out: 0,
            auth_failure: None,
        }
    }

    /// Notes the path as the client sent it. The query is left out: it may hold a secret.
    pub fn asked_for(&mut self, target: &Uri) {
        self.path = target.path_and_query().map(|target| target.path().into());
    }
}
