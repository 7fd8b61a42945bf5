//! `/v1/roles`: those of the profile as far as the caller may see them, and the organization's own.
//!
//! One of the profile's has its name for an id: it is the same in every organization, and nobody changes it.

use serde_json::Value;

use super::{
    error::ApiError,
    operation::{Answer, Call, Operation, Verb, object},
    shape::{Kind, Shape, field},
};
use crate::control::service::{NewRole, RoleChanges};

const ROLE: Shape = Shape {
    name: "Role",
    fields: &[
        field("id", Kind::Text, "A custom role's id; for one of the profile's its name."),
        field("org_id", Kind::Id, "Whose it is; null: the profile's.").or_null(),
        field("name", Kind::Text, "The name by which it is given."),
        field("text", Kind::Text, "What it is for, as far as the profile says.").or_null(),
        field("level", Kind::Choice(&["org", "team"]), "Where it is held; null: where it is given.")
            .or_null(),
        field("permissions", Kind::Texts, "What it gives; for a custom role what was chosen."),
        field("custom", Kind::Flag, "Whether an organization made it."),
        field("on_keys", Kind::Flag, "Whether a key may carry it."),
        field("created_at", Kind::Time, "When it was made; null: with the profile.").or_null(),
    ],
};

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        id: "list_roles",
        verb: Verb::Get,
        path: "/v1/roles",
        text: "The roles that the caller may see: the profile's, then the organization's own.",
        query: &[field("name", Kind::Text, "With this name, in any case.")],
        body: &[],
        answer: Answer::Page(&ROLE),
        run: |call| Box::pin(list(call)),
    },
    Operation {
        id: "create_role",
        verb: Verb::Post,
        path: "/v1/roles",
        text: "Makes a role out of what the caller holds, where the profile has custom roles.",
        query: &[],
        body: &[
            field("name", Kind::Name(64), "Unlike that of any other role, printable ASCII without commas.")
                .required(),
            field("permissions", Kind::Texts, "Exactly what it gives; what that implies comes with it.")
                .required(),
        ],
        answer: Answer::Made(&ROLE),
        run: |call| Box::pin(create(call)),
    },
    Operation {
        id: "get_role",
        verb: Verb::Get,
        path: "/v1/roles/{role_id}",
        text: "A role.",
        query: &[],
        body: &[],
        answer: Answer::One(&ROLE),
        run: |call| Box::pin(get(call)),
    },
    Operation {
        id: "update_role",
        verb: Verb::Patch,
        path: "/v1/roles/{role_id}",
        text: "Gives a custom role another name, other permissions, or both; who holds it follows at once.",
        query: &[],
        body: &[
            field("name", Kind::Name(64), "Its new name."),
            field("permissions", Kind::Texts, "All that it gives from now on."),
        ],
        answer: Answer::One(&ROLE),
        run: |call| Box::pin(update(call)),
    },
    Operation {
        id: "delete_role",
        verb: Verb::Delete,
        path: "/v1/roles/{role_id}",
        text: "Deletes a custom role that no person, group or working key holds.",
        query: &[],
        body: &[],
        answer: Answer::Done,
        run: |call| Box::pin(delete(call)),
    },
];

async fn list(call: Call) -> Result<Value, ApiError> {
    let list = call.list();
    let page = list.page(&call.query)?;
    let (org, name) = (call.org(), call.query.text("name"));
    Ok(list.answer(&call.control.list_roles(call.caller(), org.as_deref(), name, &page).await?))
}

async fn create(call: Call) -> Result<Value, ApiError> {
    let permissions = call.body.texts("permissions").unwrap_or_default();
    let new = NewRole { org: call.org(), name: call.body.sure("name"), permissions };
    object(&call.control.create_role(call.caller(), &new).await?)
}

async fn get(call: Call) -> Result<Value, ApiError> {
    object(&call.control.find_role(call.caller(), id(&call)?).await?)
}

async fn update(call: Call) -> Result<Value, ApiError> {
    let changes = RoleChanges { name: call.body.owned("name"), permissions: call.body.texts("permissions") };
    object(&call.control.update_role(call.caller(), id(&call)?, &changes).await?)
}

async fn delete(call: Call) -> Result<Value, ApiError> {
    call.control.delete_role(call.caller(), id(&call)?).await?;
    Ok(Value::Null)
}

/// The use cases take names too, for people at a command line. Here a custom role has one address, its id.
fn id(call: &Call) -> Result<&str, ApiError> {
    let shipped = call.name("role_id").filter(|name| call.control.profile().roles.get(name).is_some());
    shipped.map_or_else(|| call.id("role_id"), Ok)
}
