//! An answer, and the line that the access log has of it.

use std::sync::Arc;

use axum::{body::Body, extract::Request, response::Response};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, LOCATION, REFERRER_POLICY,
        STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
    },
    uri::Scheme,
};
use serde_json::Value;

use super::{
    Came,
    caller::Node,
    error::ApiError,
    operation::{Answer, Operation},
};
use crate::{
    control::console::{self, Assets},
    domain::{id::RequestId, time::Moment},
    telemetry::access_log::{AccessRecord, Word},
};

/// On every answer, unless it has its own.
const ALWAYS: [(HeaderName, &str); 5] = [
    (CACHE_CONTROL, "no-store"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];
const PAGE_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; \
                           frame-ancestors 'none'";

/// JSON on a line of its own: a terminal's next line begins below it.
fn line(value: &Value) -> String {
    format!("{value}\n")
}

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// An answer being made: every one has the same headers, whatever it says.
pub(in crate::control) struct Answering {
    /// What belongs on the answer besides.
    pub(in crate::control) headers: HeaderMap,
    /// What the access log will say.
    pub(in crate::control) line: AccessRecord,
    request_id: String,
    began: Moment,
    node: Arc<dyn Node>,
    /// Whether its connection is encrypted, and ends here.
    tls: bool,
}

impl Answering {
    pub(in crate::control) fn to(node: Arc<dyn Node>, request: &Request) -> Self {
        let began = node.control().clock().read();
        let request_id = request_id(request.headers(), || RequestId::new(began.wall).to_string());
        let mut line = AccessRecord::new(began.wall, request.method().clone());
        line.note(Word::Host, request.headers().get(HOST).map(HeaderValue::as_bytes));
        line.asked_for(request.uri());
        line.say(Word::Route, "admin");
        let came = request.extensions().get().map(|Came(connection)| *connection);
        line.client_ip = came.map(|came| came.ip);
        line.say(Word::RequestId, &request_id);
        let tls = came.is_some_and(|came| came.tls);
        Self { headers: HeaderMap::new(), line, request_id, began, node, tls }
    }

    pub(super) fn success(mut self, operation: &Operation, value: &Value) -> Response {
        match operation.answer {
            Answer::One(_) | Answer::Page(_) => self.json(StatusCode::OK, value),
            Answer::Made(shape) => {
                if let Some(place) = place(operation, shape.name, value) {
                    self.headers.insert(LOCATION, place);
                }
                self.json(StatusCode::CREATED, value)
            }
            Answer::Reply(_, reply) => self.json(StatusCode::OK, &reply(value)),
            Answer::Done => self.finish(StatusCode::NO_CONTENT, String::new()),
        }
    }

    pub(in crate::control) fn json(mut self, status: StatusCode, value: &Value) -> Response {
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.finish(status, line(value))
    }

    pub(in crate::control) fn refusal(mut self, error: &ApiError) -> Response {
        self.line.outcome = error.code();
        let (status, problem) = error.answer(&self.request_id, &mut self.headers);
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        self.finish(status, line(&problem))
    }

    /// A page for a browser: it loads its own style sheet and pictures, sends its forms here, runs nothing and stands in
    /// no frame. To its own origin alone it names itself: a browser that may not say where a form stands calls its
    /// origin `null`.
    pub(in crate::control) fn page(mut self, status: StatusCode, html: String) -> Response {
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        self.headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
        self.headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
        self.finish(status, html)
    }

    /// A refusal as somebody reads it who sits before a browser.
    pub(in crate::control) fn refusal_page(mut self, error: &ApiError, assets: &Assets) -> Response {
        self.line.outcome = error.code();
        let (status, problem) = error.answer(&self.request_id, &mut self.headers);
        let html = console::error_page(assets, status, &problem);
        self.page(status, html)
    }

    /// A refusal that a form is shown again with: its status, and what is wrong.
    pub(in crate::control) fn refused(&mut self, error: &ApiError) -> (StatusCode, String) {
        self.line.outcome = error.code();
        let (status, problem) = error.answer(&self.request_id, &mut self.headers);
        (status, problem["detail"].as_str().unwrap_or_default().to_owned())
    }

    /// Sends a browser on, with a GET, to a place here.
    pub(in crate::control) fn see_other(mut self, place: &str) -> Response {
        if let Ok(place) = HeaderValue::from_str(place) {
            self.headers.insert(LOCATION, place);
        }
        self.finish(StatusCode::SEE_OTHER, String::new())
    }

    /// What a page is dressed in; its name changes with its content, so it may be kept.
    pub(in crate::control) fn asset(mut self, kind: &'static str, text: &str) -> Response {
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        self.headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
        self.finish(StatusCode::OK, text.to_owned())
    }

    fn finish(mut self, status: StatusCode, body: String) -> Response {
        let https = || self.node.public_url().is_some_and(|url| url.scheme() == Some(&Scheme::HTTPS));
        let https = self.tls || https();
        let https = https.then_some((STRICT_TRANSPORT_SECURITY, "max-age=31536000"));
        for (name, value) in ALWAYS.into_iter().chain(https) {
            self.headers.entry(name).or_insert(HeaderValue::from_static(value));
        }
        if let Ok(id) = HeaderValue::from_str(&self.request_id) {
            self.headers.insert(X_REQUEST_ID, id);
        }
        self.line.status = status;
        self.line.bytes_out = body.len() as u64;
        self.line.duration = self.node.control().clock().uptime().saturating_sub(self.began.uptime);
        let mut response = Response::new(Body::from(body));
        response.extensions_mut().insert(self.line);
        *response.status_mut() = status;
        *response.headers_mut() = self.headers;
        response
    }
}

/// Where a new object is from now on.
fn place(operation: &Operation, shape: &str, value: &Value) -> Option<HeaderValue> {
    let list = if shape == "Project" {
        "/v1/projects"
    } else if shape == "Invitation" {
        // It is in no list of its own: this is where it is taken back.
        "/v1/invitations"
    } else {
        operation.path.split("/{").next().unwrap_or_default().trim_end_matches("/self/rotate")
    };
    HeaderValue::from_str(&format!("{list}/{}", value["id"].as_str()?)).ok()
}

/// The client's own name for its request if it is one that can be logged and echoed as it is, else a new one.
fn request_id(headers: &HeaderMap, new: impl FnOnce() -> String) -> String {
    let mut lines = headers.get_all(X_REQUEST_ID).iter();
    let plain = |id: &HeaderValue| {
        let bytes = id.as_bytes();
        (1..=128).contains(&bytes.len())
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
    };
    match (lines.next(), lines.next()) {
        (Some(id), None) if plain(id) => id.to_str().map_or_else(|_| String::new(), str::to_owned),
        _ => new(),
    }
}
