//! `/v1/org`: the caller's organization; `/v1/orgs`: all of them, for who may make some.

use serde_json::Value;

use super::{
    error::{ApiError, Wrong},
    operation::{Answer, Call, Operation, Verb, object},
    shape::{Field, Kind, Shape, field},
};
use crate::control::service::{Caller, NewOrg};

const ORG: Shape = Shape {
    name: "Organization",
    fields: &[
        field("id", Kind::Id, "Its id."),
        field("slug", Kind::Text, "Its name in commands and addresses, unique."),
        field("name", Kind::Text, "Its name for people."),
        field("created_at", Kind::Time, "When it was made."),
    ],
};

/// What names an object, for people and for commands.
pub(super) const NAMES: &[Field] = &[
    field("name", Kind::Name(100), "Its name for people."),
    field("slug", Kind::Text, "Its name in commands: a-z, 0-9 and inner `-`."),
];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        id: "list_orgs",
        verb: Verb::Get,
        path: "/v1/orgs",
        text: "The organizations that the caller can see: their own, or all for who may make some.",
        query: &[],
        body: &[],
        answer: Answer::Page(&ORG),
        run: |call| Box::pin(list(call)),
    },
    Operation {
        id: "create_org",
        verb: Verb::Post,
        path: "/v1/orgs",
        text: "Makes an organization and invites its first administrator by mail.",
        query: &[],
        body: &[
            field("name", Kind::Name(100), "Its name for people.").required(),
            field("slug", Kind::Text, "Its name in commands: a-z, 0-9 and inner `-`."),
            field(
                "admin_email",
                Kind::Text,
                "Whom to invite with the highest role; the operator may leave it out.",
            ),
        ],
        answer: Answer::Made(&ORG),
        run: |call| Box::pin(create(call)),
    },
    Operation {
        id: "get_org",
        verb: Verb::Get,
        path: "/v1/org",
        text: "The caller's organization.",
        query: &[],
        body: &[],
        answer: Answer::One(&ORG),
        run: |call| Box::pin(get(call)),
    },
    Operation {
        id: "update_org",
        verb: Verb::Patch,
        path: "/v1/org",
        text: "Gives the organization another name, another slug, or both.",
        query: &[],
        body: NAMES,
        answer: Answer::One(&ORG),
        run: |call| Box::pin(update(call)),
    },
    Operation {
        id: "delete_org",
        verb: Verb::Delete,
        path: "/v1/org",
        text: "Deletes the organization with everything in it, the calling key included.",
        query: &[],
        body: &[],
        answer: Answer::Done,
        run: |call| Box::pin(delete(call)),
    },
];

/// The operator has to have chosen one.
fn sure(call: &Call) -> Result<String, ApiError> {
    call.org().ok_or_else(|| Wrong::new("org", "name the organization, by its slug or id").into())
}

async fn list(call: Call) -> Result<Value, ApiError> {
    let list = call.list();
    let page = list.page(&call.query)?;
    Ok(list.answer(&call.control.list_orgs(call.caller(), &page).await?))
}

async fn create(call: Call) -> Result<Value, ApiError> {
    let new = NewOrg { name: call.body.sure("name"), slug: call.body.owned("slug") };
    let admin = call.body.text("admin_email");
    if admin.is_none() && !matches!(call.caller(), Caller::Operator) {
        return Err(Wrong::new("admin_email", "name who is to be the first administrator").into());
    }
    object(&call.control.found_org(call.caller(), &new, admin).await?)
}

async fn get(call: Call) -> Result<Value, ApiError> {
    object(&call.control.find_org(call.caller(), &sure(&call)?).await?)
}

async fn update(call: Call) -> Result<Value, ApiError> {
    let (name, slug) = (call.body.text("name"), call.body.text("slug"));
    object(&call.control.rename_org(call.caller(), &sure(&call)?, name, slug).await?)
}

async fn delete(call: Call) -> Result<Value, ApiError> {
    call.control.delete_org(call.caller(), &sure(&call)?).await?;
    Ok(Value::Null)
}
