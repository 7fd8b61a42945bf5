//! `/v1/audit`: who did what.

use serde_json::Value;

use super::{
    error::ApiError,
    operation::{Answer, Call, Operation, Verb},
    shape::{Kind, Shape, field},
};
use crate::control::service::AuditFilter;

const EVENT: Shape = Shape {
    name: "AuditEvent",
    fields: &[
        field("id", Kind::Id, "Its id."),
        field("at", Kind::Time, "When."),
        field("target_table", Kind::Text, "The kind of thing, such as `api_keys`."),
        field("target", Kind::Text, "The thing: a key's prefix, else an id."),
        field("action", Kind::Text, "A verb, such as `revoke`."),
        field("event", Kind::Text, "Noun and past participle, such as `api_key.revoked`."),
        field("actor", Kind::Text, "Who: an e-mail address, a key's prefix, or `operator`."),
        field("actor_kind", Kind::Choice(&["user", "api_key", "operator", "system"]), "What the actor is."),
        field("ip", Kind::Text, "From where.").or_null(),
        field("detail", Kind::Anything, "What else is worth knowing."),
        field("hash", Kind::Text, "Over the event and the one before it."),
    ],
};

pub(super) const OPERATIONS: &[Operation] = &[Operation {
    id: "list_audit",
    verb: Verb::Get,
    path: "/v1/audit",
    text: "The events that the caller can see, newest first.",
    query: &[
        field("target_table", Kind::Text, "About this kind of thing."),
        field("target", Kind::Text, "About this thing."),
        field("action", Kind::Text, "With this verb."),
        field("actor", Kind::Text, "By this actor."),
        field("since", Kind::Time, "Not before."),
        field("until", Kind::Time, "Before."),
    ],
    body: &[],
    answer: Answer::Page(&EVENT),
    run: |call| Box::pin(list(call)),
}];

async fn list(call: Call) -> Result<Value, ApiError> {
    let list = call.list();
    let page = list.page(&call.query)?;
    let filter = AuditFilter {
        org: call.org(),
        target_table: call.query.owned("target_table"),
        target: call.query.owned("target"),
        action: call.query.owned("action"),
        actor: call.query.owned("actor"),
        since: call.query.time("since"),
        until: call.query.time("until"),
    };
    Ok(list.answer(&call.control.list_audit(call.caller(), &filter, &page).await?))
}
