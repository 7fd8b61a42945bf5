//! `/v1/groups`: they carry roles for the people in them.

use serde_json::Value;

use super::{
    error::ApiError,
    operation::{Answer, Call, Operation, Verb, object},
    shape::{Kind, Shape, field},
};
use crate::control::service::{GroupChanges, NewGroup};

const IN_GROUP: Shape = Shape {
    name: "GroupMember",
    fields: &[
        field("user_id", Kind::Id, "Who."),
        field("email", Kind::Text, "Their e-mail address."),
        field("name", Kind::Text, "Their name."),
    ],
};

const GROUP: Shape = Shape {
    name: "Group",
    fields: &[
        field("id", Kind::Id, "Its id."),
        field("org_id", Kind::Id, "The organization."),
        field("name", Kind::Text, "Its name, unlike that of any other group."),
        field("roles", Kind::Texts, "The roles that it carries, by name."),
        field("members", Kind::Many(&IN_GROUP), "Who is in it."),
        field("created_at", Kind::Time, "When it was made."),
    ],
};

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        id: "list_groups",
        verb: Verb::Get,
        path: "/v1/groups",
        text: "The groups of the organization.",
        query: &[field("name", Kind::Text, "With this name, in any case.")],
        body: &[],
        answer: Answer::Page(&GROUP),
        run: |call| Box::pin(list(call)),
    },
    Operation {
        id: "create_group",
        verb: Verb::Post,
        path: "/v1/groups",
        text: "Makes a group of roles that the caller may give, where the profile has groups.",
        query: &[],
        body: &[
            field("name", Kind::Name(80), "Unlike that of any other group.").required(),
            field("roles", Kind::Texts, "The roles that it carries, by name.").required(),
        ],
        answer: Answer::Made(&GROUP),
        run: |call| Box::pin(create(call)),
    },
    Operation {
        id: "get_group",
        verb: Verb::Get,
        path: "/v1/groups/{group_id}",
        text: "A group, with who is in it.",
        query: &[],
        body: &[],
        answer: Answer::One(&GROUP),
        run: |call| Box::pin(get(call)),
    },
    Operation {
        id: "update_group",
        verb: Verb::Patch,
        path: "/v1/groups/{group_id}",
        text: "Gives a group another name, other roles, or both; who is in it follows at once.",
        query: &[],
        body: &[
            field("name", Kind::Name(80), "Its new name."),
            field("roles", Kind::Texts, "All the roles that it carries from now on, by name."),
        ],
        answer: Answer::One(&GROUP),
        run: |call| Box::pin(update(call)),
    },
    Operation {
        id: "delete_group",
        verb: Verb::Delete,
        path: "/v1/groups/{group_id}",
        text: "Deletes a group; what it carried is taken from everybody in it.",
        query: &[],
        body: &[],
        answer: Answer::Done,
        run: |call| Box::pin(delete(call)),
    },
    Operation {
        id: "add_group_member",
        verb: Verb::Put,
        path: "/v1/groups/{group_id}/members/{user_id}",
        text: "Puts a person into a group; again is no error.",
        query: &[],
        body: &[],
        answer: Answer::Done,
        run: |call| Box::pin(add(call)),
    },
    Operation {
        id: "remove_group_member",
        verb: Verb::Delete,
        path: "/v1/groups/{group_id}/members/{user_id}",
        text: "Takes a person out of a group; keys that stand on its roles shrink at once.",
        query: &[],
        body: &[],
        answer: Answer::Done,
        run: |call| Box::pin(remove(call)),
    },
];

async fn list(call: Call) -> Result<Value, ApiError> {
    let list = call.list();
    let page = list.page(&call.query)?;
    let (org, name) = (call.org(), call.query.text("name"));
    Ok(list.answer(&call.control.list_groups(call.caller(), org.as_deref(), name, &page).await?))
}

async fn create(call: Call) -> Result<Value, ApiError> {
    let roles = call.body.texts("roles").unwrap_or_default();
    let new = NewGroup { org: call.org(), name: call.body.sure("name"), roles };
    object(&call.control.create_group(call.caller(), &new).await?)
}

async fn get(call: Call) -> Result<Value, ApiError> {
    object(&call.control.find_group(call.caller(), call.id("group_id")?).await?)
}

async fn update(call: Call) -> Result<Value, ApiError> {
    let changes = GroupChanges { name: call.body.owned("name"), roles: call.body.texts("roles") };
    object(&call.control.update_group(call.caller(), call.id("group_id")?, &changes).await?)
}

async fn delete(call: Call) -> Result<Value, ApiError> {
    call.control.delete_group(call.caller(), call.id("group_id")?).await?;
    Ok(Value::Null)
}

async fn add(call: Call) -> Result<Value, ApiError> {
    let (group, user) = (call.id("group_id")?, call.id("user_id")?);
    call.control.add_to_group(call.caller(), group, user).await?;
    Ok(Value::Null)
}

async fn remove(call: Call) -> Result<Value, ApiError> {
    let (group, user) = (call.id("group_id")?, call.id("user_id")?);
    call.control.remove_from_group(call.caller(), group, user).await?;
    Ok(Value::Null)
}
