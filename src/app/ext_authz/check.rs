//! From Envoy's words to a question, and from a verdict to Envoy's words.

use std::net::{IpAddr, SocketAddr};

use envoy_types::{
    ext_authz::v3::pb::{
        Address, CheckRequest, CheckResponse, DeniedHttpResponse, HeaderAppendAction, HeaderValue as Field,
        HeaderValueOption, HttpResponse, HttpStatus, OkHttpResponse,
    },
    pb::{
        envoy::service::auth::v3::{AttributeContext, attribute_context::HttpRequest},
        google::rpc,
    },
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tonic::Code;

use crate::proxy::decide::{Question, Unclear, Verdict};

/// What is asked.
pub(super) fn question(call: CheckRequest) -> Result<Question, Unclear> {
    let attributes = call.attributes.ok_or(Unclear::Missing)?;
    let client = client(&attributes)?;
    let http = attributes.request.and_then(|request| request.http).ok_or(Unclear::Missing)?;
    let headers = headers(&http)?;
    Ok(Question {
        client,
        tls: http.scheme == "https",
        method: http.method.into(),
        target: http.path.into(),
        host: http.host.into(),
        headers,
    })
}

/// Who sent the request to Envoy, as Envoy sees them. Without an address nothing can be judged by it.
fn client(attributes: &AttributeContext) -> Result<SocketAddr, Unclear> {
    let source = attributes.source.as_ref().and_then(|source| source.address.as_ref()?.address.as_ref());
    let Some(Address::SocketAddress(socket)) = source else { return Err(Unclear::Missing) };
    let ip: IpAddr = socket.address.parse().map_err(|_| Unclear::Unreadable)?;
    Ok(SocketAddr::new(ip, 0))
}

/// Envoy joins the lines of one name by commas; where it is configured to send them one by one
/// (`encode_raw_headers`), they come so.
fn headers(http: &HttpRequest) -> Result<HeaderMap, Unclear> {
    let mut headers = HeaderMap::new();
    let mut add = |name: &str, value: &[u8]| {
        // Method, target and host in the manner of HTTP/2: they are told beside.
        if !name.starts_with(':') {
            let name = HeaderName::try_from(name).map_err(|_| Unclear::Unreadable)?;
            if headers.len() >= MOST_FIELDS {
                return Err(Unclear::Unreadable);
            }
            headers.append(name, HeaderValue::from_bytes(value).map_err(|_| Unclear::Unreadable)?);
        }
        Ok(())
    };
    for (name, value) in &http.headers {
        add(name, value.as_bytes())?;
    }
    for field in http.header_map.iter().flat_map(|lines| &lines.headers) {
        let value = if field.raw_value.is_empty() { field.value.as_bytes() } else { &field.raw_value };
        add(&field.key, value)?;
    }
    Ok(headers)
}

/// As many as `limits.header_count` may be. A call has room for more than a map has places, and for more than anybody asks a
/// list about one by one.
const MOST_FIELDS: usize = 1_000;

/// The answer.
pub(super) fn answer(verdict: Verdict) -> CheckResponse {
    match verdict {
        Verdict::Allowed { set, remove, answer } => {
            let ok = OkHttpResponse {
                headers: fields(set.iter().map(|(name, value)| (name, value))),
                headers_to_remove: remove.iter().map(ToString::to_string).collect(),
                response_headers_to_add: fields(answer.iter()),
                ..OkHttpResponse::default()
            };
            response(Code::Ok, HttpResponse::OkResponse(ok))
        }
        Verdict::Refused(refused) => {
            let (parts, body) = refused.into_parts();
            let denied = DeniedHttpResponse {
                status: Some(HttpStatus { code: parts.status.as_u16().into() }),
                headers: fields(parts.headers.iter()),
                body: String::from_utf8_lossy(&body).into_owned(),
            };
            let code = match parts.status {
                StatusCode::UNAUTHORIZED => Code::Unauthenticated,
                StatusCode::TOO_MANY_REQUESTS => Code::ResourceExhausted,
                StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
                _ => Code::PermissionDenied,
            };
            response(code, HttpResponse::DeniedResponse(denied))
        }
    }
}

fn response(code: Code, http_response: HttpResponse) -> CheckResponse {
    CheckResponse {
        status: Some(rpc::Status { code: code.into(), ..rpc::Status::default() }),
        http_response: Some(http_response),
        ..CheckResponse::default()
    }
}

/// Each in the place of what is there under its name.
fn fields<'a>(all: impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)>) -> Vec<HeaderValueOption> {
    let field = |(name, value): (&HeaderName, &HeaderValue)| HeaderValueOption {
        header: Some(Field {
            key: name.to_string(),
            value: String::from_utf8_lossy(value.as_bytes()).into_owned(),
            ..Field::default()
        }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        ..HeaderValueOption::default()
    };
    all.map(field).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Not even a panic: a call without an answer is a yes to an Envoy that is configured so.
    #[test]
    fn more_fields_than_anybody_can_keep_are_no_request() {
        let asked = |count: u32| {
            let headers = (0..count).map(|at| (format!("x-{at}"), String::new())).collect();
            self::headers(&HttpRequest { headers, ..HttpRequest::default() }).map(|headers| headers.len())
        };
        assert_eq!(asked(1_000).ok(), Some(1_000));
        assert_eq!(asked(1_001), Err(Unclear::Unreadable));
    }
}
