//! The admin API of a server, asked over HTTP.
//!
//! The token goes to the address that was named and nowhere else: no redirect is followed, and over plain HTTP it
//! leaves this machine only when that was asked for. A change carries a name of its own (`Idempotency-Key`), so that
//! asking again after a connection broke carries it out once.

use std::{cell::Cell, error::Error, future, time::Duration};

use http::{HeaderValue, Method, StatusCode, header};
use reqwest::{Client, RequestBuilder, Response, Url, redirect};
use serde_json::Value;

use super::{
    error::{Failure, note},
    output::harmless,
    secrets::Token,
};
use crate::{
    app::reach::tls_words,
    control::api::{Question, Refused, TITLE},
};

/// A server, and the token to show it.
pub(crate) struct Remote {
    http: Client,
    base: Url,
    /// None: of somebody who is about to sign in.
    token: Option<Token>,
    /// Since a change was sent, an interruption is answered with what is known of it.
    changing: Cell<bool>,
}

/// A whole answer.
struct Answer {
    status: StatusCode,
    retry_after: Option<u64>,
    json: Option<Value>,
    location: Option<String>,
}

const CONNECT: Duration = Duration::from_secs(10);
const TOTAL: Duration = Duration::from_secs(60);
/// A page of the longest objects is far below it.
const LONGEST_ANSWER: usize = 16 << 20;
/// Nobody waits longer for a rate limit, in seconds; nor more often for one answer.
const LONGEST_WAIT: u64 = 60;
const MOST_WAITS: u32 = 3;

impl Remote {
    /// The server at this address; nothing is sent yet.
    pub(crate) fn open(server: &str, insecure_http: bool, token: Option<Token>) -> Result<Self, Failure> {
        let base = address(server, insecure_http)?;
        let mut http = Client::builder()
            .user_agent(concat!("latchgate/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .referer(false)
            .connect_timeout(CONNECT)
            .timeout(TOTAL);
        if base.scheme() == "http" {
            // A proxy of the environment would read the token.
            http = http.no_proxy();
        }
        let http = http.build().map_err(|error| {
            Failure::failed(
                format_args!("TLS cannot be set up: {}", reason(&error)),
                "see that this machine has certificates: the package ca-certificates, or SSL_CERT_FILE",
            )
        })?;
        Ok(Self { http, base, token, changing: Cell::new(false) })
    }

    /// The answer to a question.
    pub(crate) async fn ask(&self, question: &Question) -> Result<Value, Failure> {
        let answer = self.answer(question).await?;
        self.read(question, answer)
    }

    /// Whether the admin API is there. A password is sent to nothing else: on another port a route may take it, and a
    /// backend behind it.
    pub(crate) async fn greet(&self) -> Result<(), Failure> {
        let answer = self.answer(&Question::get(&["openapi.json"])).await?;
        let title = answer.json.as_ref().map(|json| &json["info"]["title"]);
        if answer.status.is_success() && title.is_some_and(|title| title == TITLE) {
            return Ok(());
        }
        Err(Failure::failed(
            format_args!("--server {}: the admin API is not there, so nothing was sent", self.base),
            "name the address of listen.admin, such as https://gate.example.com:8081",
        ))
    }

    /// The same; none: the password is right, and a code has to be sent, too.
    pub(crate) async fn ask_or_code(&self, question: &Question) -> Result<Option<Value>, Failure> {
        let answer = self.answer(question).await?;
        if answer.json.as_ref().is_some_and(|json| json["code"] == "second_factor_required") {
            return Ok(None);
        }
        self.read(question, answer).map(Some)
    }

    async fn answer(&self, question: &Question) -> Result<Answer, Failure> {
        let name = if question.method == Method::GET { None } else { Some(name()?) };
        self.changing.set(self.changing.get() || name.is_some());
        let (mut waits, mut broken) = (0, false);
        loop {
            let request = self.request(question, name.as_ref());
            match self.or_interrupted(async { whole(request.send().await?).await }).await? {
                Ok(answer) => match answer.patience().filter(|_| waits < MOST_WAITS) {
                    Some(seconds) => {
                        waits += 1;
                        note(format_args!(
                            "The rate limit of this token is reached; going on in {seconds} s."
                        ));
                        self.or_interrupted(tokio::time::sleep(Duration::from_secs(seconds))).await?;
                    }
                    None => return Ok(answer),
                },
                Err(error) if breaks(&error) && !broken => {
                    broken = true;
                    note("The connection broke before the answer was there; asking once more.");
                }
                Err(error) => return Err(self.unanswered(&error, name.is_some())),
            }
        }
    }

    fn request(&self, question: &Question, name: Option<&HeaderValue>) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push("v1").extend(&question.path);
        }
        if !question.query.is_empty() {
            let mut query = url.query_pairs_mut();
            for (name, value) in &question.query {
                let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                query.append_pair(name, &shown);
            }
        }
        let mut request =
            self.http.request(question.method.clone(), url).header(header::ACCEPT, "application/json");
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.reveal());
        }
        if let Some(name) = name {
            request = request.header("Idempotency-Key", name);
        }
        if !question.body.is_empty() {
            request = request.json(&question.body);
        }
        request
    }

    /// Ctrl-C ends a command at once, unless a change is on its way: then it is said that nobody knows of it.
    async fn or_interrupted<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        let interrupted = async {
            if !self.changing.get() || tokio::signal::ctrl_c().await.is_err() {
                future::pending::<()>().await;
            }
        };
        tokio::select! {
            done = work => Ok(done),
            () = interrupted => Err(Failure::failed("interrupted before the answer was there", UNKNOWN)),
        }
    }

    fn read(&self, question: &Question, answer: Answer) -> Result<Value, Failure> {
        let (status, place) = (answer.status, answer.location.as_deref());
        match answer.json {
            _ if status == StatusCode::NO_CONTENT => Ok(Value::Null),
            Some(json) if status.is_success() && json.is_object() => Ok(json),
            Some(json) if !status.is_success() => match serde_json::from_value(json) {
                Ok(refused) => Err(self.refused(question, status, refused, answer.retry_after)),
                Err(_) => Err(self.foreign(status, place)),
            },
            _ => Err(self.foreign(status, place)),
        }
    }

    fn refused(
        &self,
        question: &Question,
        status: StatusCode,
        refused: Refused,
        retry_after: Option<u64>,
    ) -> Failure {
        let detail = harmless(refused.detail.trim_end_matches('.'));
        // What proves a person is wrong then, and not the token.
        let proves = question.path.first().is_some_and(|noun| noun == "session")
            && refused.code == "credential_invalid"
            && ["password", "code"].iter().any(|field| question.body.contains_key(*field));
        match status {
            StatusCode::UNAUTHORIZED if proves && self.token.is_some() => {
                Failure::failed(detail, "correct the password or the code; nothing was changed")
            }
            StatusCode::UNAUTHORIZED => match &self.token {
                Some(token) => Failure::failed(
                    format_args!("{} does not take the token: {detail}", self.base),
                    format!("put an API key or the token of a session into {}", token.source()),
                ),
                None => Failure::failed(detail, "correct the e-mail address or the password"),
            },
            StatusCode::FORBIDDEN => Failure::failed(
                detail,
                "nothing was changed. Ask for less, or with the token of somebody who holds it",
            ),
            StatusCode::TOO_MANY_REQUESTS => Failure::failed(
                detail,
                match retry_after {
                    Some(seconds) => format!("try again in {seconds} s"),
                    None => "try again later".to_owned(),
                },
            ),
            // Objects that are not there are named; that no path leads here is said by other servers too.
            StatusCode::NOT_FOUND if !refused.detail.starts_with("No ") => self.foreign(status, None),
            StatusCode::METHOD_NOT_ALLOWED => self.foreign(status, None),
            status if status.is_server_error() => {
                Failure::failed(format_args!("{}: {detail}", self.base), "try again in a moment")
            }
            _ => refused.into(),
        }
    }

    /// What answers is no admin API.
    fn foreign(&self, status: StatusCode, place: Option<&str>) -> Failure {
        let what = match place.filter(|_| status.is_redirection()) {
            Some(place) => format!("{} sends on to {}", self.base, harmless(place)),
            None => format!("{} does not answer as Latchgate's admin API does: {status}", self.base),
        };
        Failure::failed(
            what,
            "name the address of the admin API: `listen.admin` in the server's configuration, or what stands before it",
        )
    }

    fn unanswered(&self, error: &reqwest::Error, changes: bool) -> Failure {
        let (base, reason) = (&self.base, reason(error));
        if !error.is_connect() {
            // To whoever speaks no TLS, such a port answers with an alert.
            if base.scheme() == "http" && reason.contains("invalid HTTP version") {
                return Failure::failed(
                    format_args!("{base} does not answer in HTTP"),
                    "that port may speak TLS: name it with https:// in place of http://",
                );
            }
            let what = if error.is_timeout() {
                format!("{base} has not answered within {} s", TOTAL.as_secs())
            } else {
                format!("the connection to {base} broke: {reason}")
            };
            return Failure::failed(what, if changes { UNKNOWN } else { "try again" });
        }
        let next = if reason.contains("certificate") {
            "nothing was sent. Name the server as its certificate does; an issuer of your own is trusted through\n\
             SSL_CERT_FILE=file.pem"
        } else if self.base.scheme() == "https" && !error.is_timeout() && reason.contains("corrupt message") {
            "nothing was sent. That port does not speak TLS: name the right one"
        } else {
            "nothing was sent. See that the address is right, and that the server runs and can be reached from here"
        };
        Failure::failed(format_args!("cannot connect to {base}: {reason}"), next)
    }
}

impl Answer {
    /// How long to wait before asking again: not for those who were refused for guessing.
    fn patience(&self) -> Option<u64> {
        let limited = self.json.as_ref().is_some_and(|json| json["code"] == "rate_limited");
        self.retry_after.filter(|seconds| limited && *seconds <= LONGEST_WAIT)
    }
}

/// Reads an answer to its end, unless it is longer than any of ours.
async fn whole(mut response: Response) -> Result<Answer, reqwest::Error> {
    let text = |name: header::HeaderName| {
        response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    };
    let (status, location) = (response.status(), text(header::LOCATION));
    let retry_after = text(header::RETRY_AFTER).and_then(|seconds| seconds.parse().ok());
    let json = text(header::CONTENT_TYPE).is_some_and(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        ["application/json", "application/problem+json"].iter().any(|ours| kind.eq_ignore_ascii_case(ours))
    });
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await? {
        body.extend_from_slice(&part);
        if body.len() > LONGEST_ANSWER {
            body.clear();
            break;
        }
    }
    let json = if json { serde_json::from_slice(&body).ok() } else { None };
    Ok(Answer { status, retry_after, json, location })
}

/// A name for one change.
fn name() -> Result<HeaderValue, Failure> {
    let mut bytes = [0; 16];
    let drawn = getrandom::fill(&mut bytes).map_err(|error| error.to_string());
    let name = drawn.map(|()| format!("cli-{:032x}", u128::from_be_bytes(bytes)));
    name.and_then(|name| HeaderValue::from_str(&name).map_err(|error| error.to_string())).map_err(|error| {
        Failure::failed(
            format_args!("the system gives no random bytes: {error}"),
            "see that /dev/urandom or getrandom(2) is available here",
        )
    })
}

/// The address of a server; only where nobody can listen may it be plain HTTP.
fn address(text: &str, insecure_http: bool) -> Result<Url, Failure> {
    let wrong = |what: &str| {
        Failure::usage(
            format_args!("--server {}: {what}", harmless(text)),
            "for example --server https://gate.example.com:8081",
        )
    };
    if !text.contains("://") {
        return Err(wrong("expected an address that begins with https:// or http://"));
    }
    let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none_or(str::is_empty) {
        return Err(wrong("expected an address that begins with https:// or http://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        // Not repeated: it may be a secret.
        return Err(Failure::usage(
            "--server: an address holds no name and no password",
            "the token goes into LATCHGATE_TOKEN, where no process list shows it",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("an address has no `?` and no `#`"));
    }
    if url.scheme() == "http" && !insecure_http && !is_loopback(&url) {
        return Err(Failure::usage(
            format_args!("--server {url}: the token would travel in the clear"),
            "use https://; --insecure-http sends it all the same, for networks that nobody else is on",
        ));
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    ip.map_or_else(|_| host == "localhost", |ip| ip.to_canonical().is_loopback())
}

/// Whether the request may have arrived although no answer came.
fn breaks(error: &reqwest::Error) -> bool {
    !error.is_connect() && !error.is_timeout() && !error.is_builder()
}

/// The last cause, which says most.
fn reason(error: &reqwest::Error) -> String {
    let mut reason = String::from("no reason is known");
    let mut cause = error.source();
    while let Some(inner) = cause {
        reason = harmless(&tls_words(inner).unwrap_or_else(|| inner.to_string()));
        cause = inner.source();
    }
    reason
}

const UNKNOWN: &str =
    "whether it was done is not known: `list` and `show` tell. A key that was made and not shown: revoke it";
