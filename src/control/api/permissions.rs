//! `/v1/permissions`: the words that roles and keys are made of.

use serde_json::{Value, json};

use super::{
    error::ApiError,
    operation::{Answer, Call, Operation, Verb, whole},
    shape::{Kind, Shape, field},
};

const PERMISSION: Shape = Shape {
    name: "Permission",
    fields: &[
        field("name", Kind::Text, "Its name, as in scopes."),
        field("text", Kind::Text, "What it allows."),
        field("implies", Kind::Texts, "What comes with it."),
    ],
};

pub(super) const OPERATIONS: &[Operation] = &[Operation {
    id: "list_permissions",
    verb: Verb::Get,
    path: "/v1/permissions",
    text: "Every permission of this platform; all of them in one part.",
    query: &[],
    body: &[],
    answer: Answer::Page(&PERMISSION),
    run: |call| Box::pin(async move { list(&call) }),
}];

fn list(call: &Call) -> Result<Value, ApiError> {
    call.list().page(&call.query)?;
    let permissions = &call.control.profile().permissions;
    let items = permissions.iter().map(|permission| {
        let inside = permissions.names(permissions.implies(permission));
        let own = permissions.name(permission);
        let implies: Vec<&str> = inside.into_iter().filter(|name| *name != own).collect();
        json!({ "name": own, "text": permissions.text(permission), "implies": implies })
    });
    Ok(whole(&items.collect::<Vec<_>>()))
}
