//! `/v1/org/members` and `/v1/teams/{team_id}/members`: who holds which role where.

use serde_json::{Value, json};

use super::{
    error::{ApiError, Wrong},
    operation::{Answer, Call, Operation, Verb, object},
    shape::{Field, Kind, Shape, field},
};
use crate::{
    control::service::{MemberView, PageOf},
    domain::role::Level,
};

const MEMBER: Shape = Shape {
    name: "Member",
    fields: &[
        field("user_id", Kind::Id, "Who."),
        field("email", Kind::Text, "Their e-mail address."),
        field("name", Kind::Text, "Their name."),
        field("role", Kind::Text, "Their role; null: none of one's own.").or_null(),
        field("groups", Kind::Texts, "The groups they are in, whose roles are theirs too."),
        field("active", Kind::Flag, "Whether they may act."),
    ],
};

const ROLE: &[Field] =
    &[field("role", Kind::Text, "The role; null: none of one's own.").required().or_null()];

/// The same four, once for the organization and once for a team.
macro_rules! members {
    ($list:literal $put:literal $update:literal $remove:literal $path:literal $where:literal) => {
        [
            Operation {
                id: $list,
                verb: Verb::Get,
                path: $path,
                text: concat!("The members of ", $where, "."),
                query: &[],
                body: &[],
                answer: Answer::Page(&MEMBER),
                run: |call| Box::pin(list(call)),
            },
            Operation {
                id: $put,
                verb: Verb::Put,
                path: concat!($path, "/{user_id}"),
                text: concat!("Gives a person of the organization a role in ", $where, "."),
                query: &[],
                body: ROLE,
                answer: Answer::One(&MEMBER),
                run: |call| Box::pin(put(call)),
            },
            Operation {
                id: $update,
                verb: Verb::Patch,
                path: concat!($path, "/{user_id}"),
                text: concat!("Gives a member of ", $where, " another role."),
                query: &[],
                body: ROLE,
                answer: Answer::One(&MEMBER),
                run: |call| Box::pin(update(call)),
            },
            Operation {
                id: $remove,
                verb: Verb::Delete,
                path: concat!($path, "/{user_id}"),
                text: concat!("Takes a person's role in ", $where, " away."),
                query: &[],
                body: &[],
                answer: Answer::Done,
                run: |call| Box::pin(remove(call)),
            },
        ]
    };
}

const OF_ORG: [Operation; 4] = members!("list_org_members" "put_org_member" "update_org_member" "remove_org_member"
    "/v1/org/members" "the organization");
const OF_TEAM: [Operation; 4] = members!("list_team_members" "put_team_member" "update_team_member"
    "remove_team_member" "/v1/teams/{team_id}/members" "a team");

const ALL: [Operation; 8] = {
    let [a, b, c, d] = OF_ORG;
    let [e, f, g, h] = OF_TEAM;
    [a, b, c, d, e, f, g, h]
};
pub(super) const OPERATIONS: &[Operation] = &ALL;

/// The team in the path; none: the organization's own members are meant.
fn team(call: &Call) -> Result<Option<&str>, ApiError> {
    if call.path.starts_with("/v1/org/") { Ok(None) } else { call.id("team_id").map(Some) }
}

async fn list(call: Call) -> Result<Value, ApiError> {
    let list = call.list();
    let page = list.page(&call.query)?;
    let members: PageOf<MemberView> =
        call.control.list_members(call.caller(), call.org().as_deref(), team(&call)?, &page).await?;
    Ok(list.answer(&members))
}

async fn put(call: Call) -> Result<Value, ApiError> {
    let role = role_held_here(&call)?;
    object(&call.control.set_role(call.caller(), call.id("user_id")?, team(&call)?, role).await?)
}

/// As `put`, for those who are members already.
async fn update(call: Call) -> Result<Value, ApiError> {
    let (role, team, user) = (role_held_here(&call)?, team(&call)?, call.id("user_id")?);
    call.control.require_member(call.caller(), user, team).await?;
    object(&call.control.set_role(call.caller(), user, team, role).await?)
}

async fn remove(call: Call) -> Result<Value, ApiError> {
    call.control.remove_member(call.caller(), call.id("user_id")?, team(&call)?).await?;
    Ok(json!(null))
}

/// A role is held where the profile says: what belongs in a team cannot be given by the organization's path, and
/// the reverse, or a request would act in a place that its path does not name.
fn role_held_here(call: &Call) -> Result<Option<&str>, ApiError> {
    let Some(name) = call.body.text("role") else { return Ok(None) };
    let wanted = if team(call)?.is_some() { Level::Team } else { Level::Org };
    let roles = &call.control.profile().roles;
    // One of the organization's own is held where it is given; whether there is one, the use case finds out.
    let own = call.control.profile().members.custom_roles.is_some();
    if roles.get(name).map_or(own, |role| role.level == wanted) {
        return Ok(Some(name));
    }
    let known: Vec<&str> = roles.iter().filter(|role| role.level == wanted).map(|role| &*role.name).collect();
    let message = if known.is_empty() {
        format!(
            "this profile has no roles that are held in {}",
            if wanted == Level::Team { "a team" } else { "the organization" }
        )
    } else {
        format!("expected one of {}", known.join(", "))
    };
    Err(Wrong::new("role", message).into())
}
