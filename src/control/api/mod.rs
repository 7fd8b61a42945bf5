//! The admin API: JSON over HTTP, one file for each noun.
//!
//! A request's way: the table says which operation it is (`operation`), the credential becomes a caller
//! (`caller`), query and body are checked against the operation's fields (`input`), the use case is carried out
//! by [`control::service`](crate::control::service) - which alone decides what the caller may do - and the outcome
//! becomes an answer here or in `error`. Nobody's body is read before it is known whose it is.

mod answer;
mod asked;
mod audit;
mod caller;
mod error;
mod generate;
mod groups;
mod input;
mod invitations;
mod json;
mod key_shape;
mod keys;
mod members;
mod openapi;
mod operation;
mod operator;
mod orgs;
mod page;
mod permissions;
mod presets;
mod projects;
mod reference;
mod requests;
mod roles;
mod second_factors;
mod sessions;
mod shape;
mod teams;
mod users;

use std::{num::NonZeroU64, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{RawPathParams, Request},
    response::Response,
    routing::{MethodFilter, on},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CONTENT_TYPE, SET_COOKIE},
    request,
};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::Value;

pub(super) use self::{
    answer::Answering,
    caller::{Known, session_of},
    error::ApiError,
    generate::is_served,
    input::decode,
    reference::page as reference,
};
pub use self::{
    asked::AsSent,
    caller::{Head, Node, Pending, Presented, PresentedAs, Proved, Signature},
    error::{Refused, Unproved, Wrong},
    openapi::{TITLE, document},
    operator::{Question, operate},
};
use self::{
    asked::Asked,
    caller::{identify, visit},
    input::Input,
    operation::{Answer, Call, Cookies, Operation, Verb, all},
};
use crate::{control::service::ServiceError, runtime::client_ip::Connection};

/// The longest body that is read.
const LONGEST_BODY: usize = 1 << 20;
/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);
const LONGEST_NAME: usize = 255;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The connection that a request came on; the listener puts it into the request's extensions.
#[derive(Debug, Clone, Copy)]
pub struct Came(pub Connection);

/// A request that servers on its way could read in two ways, or that asks for us by a name that is not ours: the
/// listener puts this into its extensions, and it is refused whatever it asks.
#[derive(Debug, Clone)]
pub struct Misframed {
    /// The stable code.
    pub code: &'static str,
    /// What is wrong, in a sentence.
    pub detail: String,
}

/// What a listener allows a body, where that is less than the API does; in the request's extensions.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// The most bytes; none: no bound.
    pub bytes: Option<NonZeroU64>,
    /// How long it may take to arrive.
    pub time: Duration,
}

/// The API on this node.
pub(super) fn routes(node: &Arc<dyn Node>) -> Router {
    let mut router = Router::new();
    for operation in all() {
        let node = Arc::clone(node);
        let handler = move |names: Result<RawPathParams, _>, request: Request| {
            answer(Arc::clone(&node), operation, names.ok(), request)
        };
        router = router.route(operation.path, on(operation.verb.filter(), handler));
    }
    let node = Arc::clone(node);
    router.route(
        "/v1/openapi.json",
        on(MethodFilter::GET, move |request: Request| async move {
            let document = document(&node.control().profile().compat);
            Answering::to(node, &request).json(StatusCode::OK, &document)
        }),
    )
}

impl Verb {
    const fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
            Self::Put => MethodFilter::PUT,
            Self::Patch => MethodFilter::PATCH,
            Self::Delete => MethodFilter::DELETE,
        }
    }
}

async fn answer(
    node: Arc<dyn Node>,
    operation: &'static Operation,
    names: Option<RawPathParams>,
    request: Request,
) -> Response {
    let mut answering = Answering::to(Arc::clone(&node), &request);
    match carry_out(node, operation, names, request, &mut answering).await {
        Ok(value) => answering.success(operation, &value),
        Err(ApiError::Service(ServiceError::Replayed(value))) => {
            answering.headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
            answering.success(operation, &value)
        }
        Err(error) => answering.refusal(&error),
    }
}

async fn carry_out(
    node: Arc<dyn Node>,
    operation: &'static Operation,
    names: Option<RawPathParams>,
    request: Request,
    answering: &mut Answering,
) -> Result<Value, ApiError> {
    // Without an address nobody can be let in by it; the listener always says one.
    let Some(Came(connection)) = request.extensions().get().copied() else { return Err(ApiError::NotFound) };
    let mut asked = Asked::new(connection, request);
    let patience = node.patience();
    let identified = async {
        if operation.id == sessions::SIGN_IN {
            visit(&*node, &mut asked, answering).await
        } else {
            identify(&*node, &mut asked, answering, operation.open()).await
        }
    };
    let known = in_time(patience, identified).await?;
    let names = names.ok_or(ApiError::NotFound)?;
    let paged = if matches!(operation.answer, Answer::Page(_)) { page::FIELDS } else { &[] };
    let query = Input::of_query(asked.parts.uri.query().unwrap_or_default(), &[operation.query, paged])?;
    let body = if operation.verb == Verb::Get {
        Input::default()
    } else {
        let length = asked.bytes().await?.len();
        answering.line.bytes_in = length as u64;
        if length > 0 && !is_json(&asked.parts.headers) {
            return Err(ApiError::MediaType);
        }
        Input::of_body(asked.bytes().await?, operation.body)?
    };
    let parts = asked.parts;
    let mut control = node.control();
    let path = parts.uri.path().to_owned();
    if let Some(name) = idempotency_key(&parts)?.filter(|_| operation.changes()) {
        let asked = format!("{}\n{path}\n{}", operation.id, body.canonical());
        control = control.once(&known.name, name, asked);
    }
    control.refuse_again().await?;
    let names = names.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let cookies = Cookies::default();
    let call = Call {
        control: control.clone(),
        node: Some(Arc::clone(&node)),
        peer: connection.ip,
        known,
        path,
        names,
        query,
        body,
        cookies: cookies.clone(),
    };
    let outcome = in_time(patience, (operation.run)(call)).await;
    for cookie in cookies.take() {
        answering.headers.append(SET_COOKIE, cookie);
    }
    if operation.id == sessions::SIGN_IN {
        node.decided(answering.line.auth_method, outcome.as_ref().err().map_or("ok", ApiError::code));
    }
    match outcome {
        // Refused, perhaps because an equal request was carried out between the first look and this one.
        Err(refused @ ApiError::Service(_)) => {
            control.refuse_again().await?;
            Err(refused)
        }
        outcome => outcome,
    }
}

/// Nobody waits for ever. What was begun is undone, or was done already: asked again under the same name, it is done
/// once.
async fn in_time<T>(
    patience: Duration,
    asked: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    tokio::time::timeout(patience, asked).await.unwrap_or(Err(ApiError::Slow))
}

/// The whole body, of at most so many bytes, within this time; the listener's own bounds hold too.
pub(super) async fn whole(
    parts: &request::Parts,
    body: Body,
    mut most: usize,
    mut time: Duration,
) -> Result<Vec<u8>, ApiError> {
    if let Some(bounds) = parts.extensions.get::<Bounds>() {
        time = time.min(bounds.time);
        let bound = bounds.bytes.map(|bytes| usize::try_from(bytes.get()).unwrap_or(usize::MAX));
        most = bound.map_or(most, |bound| most.min(bound));
    }
    let whole = tokio::time::timeout(time, Limited::new(body, most).collect()).await;
    let whole = whole.map_err(|_| ApiError::Timeout)?.map_err(|error| {
        if error.is::<LengthLimitError>() {
            ApiError::TooLarge
        } else {
            ApiError::Malformed("The body is incomplete or malformed.".into())
        }
    })?;
    Ok(whole.to_bytes().to_vec())
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut kinds = headers.get_all(CONTENT_TYPE).iter();
    let (Some(kind), None) = (kinds.next(), kinds.next()) else { return false };
    let mut parts = kind.to_str().unwrap_or_default().split(';').map(str::trim);
    // JSON that is exchanged is UTF-8 (RFC 8259 section 8.1): who says otherwise would be misread.
    parts.next().unwrap_or_default().eq_ignore_ascii_case("application/json")
        && parts.filter_map(|parameter| parameter.split_once('=')).all(|(name, value)| {
            !name.trim().eq_ignore_ascii_case("charset")
                || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        })
}

/// The client's name for its change.
fn idempotency_key(parts: &request::Parts) -> Result<Option<String>, ApiError> {
    let mut names = parts.headers.get_all(IDEMPOTENCY_KEY).iter();
    let (Some(name), more) = (names.next(), names.next()) else { return Ok(None) };
    let plain = |name: &&str| {
        (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(|byte| matches!(byte, b' '..=b'~'))
    };
    match name.to_str().ok().filter(plain) {
        Some(name) if more.is_none() => Ok(Some(name.to_owned())),
        _ => Err(Wrong::new("Idempotency-Key", "expected one, of 1 to 255 plain characters").into()),
    }
}
