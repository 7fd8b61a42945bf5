//! `/v1/requests`: what was asked of the gateway lately.

use serde_json::Value;

use super::{
    error::ApiError,
    operation::{Answer, Call, Operation, Verb},
    shape::{Kind, Shape, field},
};
use crate::control::service::RequestFilter;

const REQUEST: Shape = Shape {
    name: "Request",
    fields: &[
        field("ts", Kind::Time, "When its head was read."),
        field("request_id", Kind::Text, "As answered in `X-Request-Id`."),
        field("method", Kind::Text, "The method."),
        field("host", Kind::Text, "The authority that was asked for.").or_null(),
        field("path", Kind::Text, "The path, without a query; what looks like a key in it is cut.").or_null(),
        field("status", Kind::Whole, "As answered."),
        field("duration_ms", Kind::Number, "To the end of its answer."),
        field("upstream", Kind::Text, "The upstream's name; null when nothing was forwarded.").or_null(),
        field("route", Kind::Text, "The route's name; `admin` for the admin port.").or_null(),
        field("client_ip", Kind::Text, "Who asked, behind trusted proxies.").or_null(),
        field("auth_method", Kind::Text, "The kind of credential.").or_null(),
        field("credential", Kind::Text, "A key's prefix, or what else names the credential.").or_null(),
        field("tenant", Kind::Id, "The organization."),
        field("team", Kind::Id, "The team.").or_null(),
        field("outcome", Kind::Text, "`ok`, or the code of the error that was answered."),
        field("bytes_in", Kind::Whole, "Body bytes received."),
        field("bytes_out", Kind::Whole, "Body bytes sent."),
    ],
};

pub(super) const OPERATIONS: &[Operation] = &[Operation {
    id: "list_requests",
    verb: Verb::Get,
    path: "/v1/requests",
    text: "The newest requests that the caller can see, newest first, about a second behind.",
    query: &[
        field("since", Kind::Time, "Not before."),
        field("credential", Kind::Text, "With this credential, such as a key's prefix."),
        field("code", Kind::Text, "With this status, such as 403, or outcome, such as `scope_insufficient`."),
    ],
    body: &[],
    answer: Answer::Page(&REQUEST),
    run: |call| Box::pin(list(call)),
}];

async fn list(call: Call) -> Result<Value, ApiError> {
    let list = call.list();
    let page = list.page(&call.query)?;
    let filter = RequestFilter {
        org: call.org(),
        since: call.query.time("since"),
        credential: call.query.owned("credential"),
        code: call.query.owned("code"),
    };
    Ok(list.answer(&call.control.list_requests(call.caller(), &filter, &page).await?))
}
