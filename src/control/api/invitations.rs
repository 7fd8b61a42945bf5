//! `/v1/org/invitations`, `/v1/teams/{team_id}/invitations` and `/v1/invitations`: roles that wait for whoever reads
//! the mail at an address.

use serde_json::Value;

use super::{
    error::ApiError,
    operation::{Answer, Call, Operation, Verb, object},
    second_factors::CODE,
    shape::{Field, Kind, Shape, field},
    users::USER,
};
use crate::{
    control::service::{Acceptance, Caller, InviteTo, NewInvitation},
    domain::invitation::Status,
};

const INVITATION: Shape = Shape {
    name: "Invitation",
    fields: &[
        field("id", Kind::Id, "Its id."),
        field("org_id", Kind::Id, "Into which organization."),
        field("team_id", Kind::Id, "Into which team; null: into the organization itself.").or_null(),
        field("email", Kind::Text, "Whom."),
        field("role", Kind::Text, "With which role; null: with what groups give.").or_null(),
        field("status", Kind::Choice(Status::NAMES), "What has become of it."),
        field("invited_by", Kind::Text, "The address of who invited, or `operator`."),
        field("created_at", Kind::Time, "When."),
        field("expires_at", Kind::Time, "From then on it cannot be accepted."),
    ],
};

const ACCEPTED: Shape = Shape {
    name: "AcceptedInvitation",
    fields: &[
        field("user", Kind::One(&USER), "Who is a member now."),
        field("created", Kind::Flag, "Whether the account is new."),
    ],
};

const NEW: &[Field] = &[
    field("email", Kind::Text, "Whom.").required(),
    field("role", Kind::Text, "With which role; null or left out: with what groups give.").or_null(),
    field("message", Kind::Text, "A few words of the inviter's own, 1000 characters at most.").or_null(),
];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        id: "list_org_invitations",
        verb: Verb::Get,
        path: "/v1/org/invitations",
        text: "The invitations into the organization.",
        query: &[],
        body: &[],
        answer: Answer::Page(&INVITATION),
        run: |call| Box::pin(list(call)),
    },
    Operation {
        id: "create_org_invitation",
        verb: Verb::Post,
        path: "/v1/org/invitations",
        text: "Invites somebody into the organization by mail, in place of an earlier invitation of theirs.",
        query: &[],
        body: NEW,
        answer: Answer::Made(&INVITATION),
        run: |call| Box::pin(create(call)),
    },
    Operation {
        id: "list_team_invitations",
        verb: Verb::Get,
        path: "/v1/teams/{team_id}/invitations",
        text: "The invitations into a team.",
        query: &[],
        body: &[],
        answer: Answer::Page(&INVITATION),
        run: |call| Box::pin(list(call)),
    },
    Operation {
        id: "create_team_invitation",
        verb: Verb::Post,
        path: "/v1/teams/{team_id}/invitations",
        text: "Invites somebody into a team by mail, in place of an earlier invitation of theirs.",
        query: &[],
        body: NEW,
        answer: Answer::Made(&INVITATION),
        run: |call| Box::pin(create(call)),
    },
    Operation {
        id: "revoke_invitation",
        verb: Verb::Delete,
        path: "/v1/invitations/{invitation_id}",
        text: "Takes an invitation back: its link is dead.",
        query: &[],
        body: &[],
        answer: Answer::Done,
        run: |call| Box::pin(revoke(call)),
    },
    Operation {
        id: "accept_invitation",
        verb: Verb::Post,
        path: "/v1/invitations/accept",
        text: "Accepts an invitation with the token of its mail: makes an account, or proves the one that the address has.",
        query: &[],
        body: &[
            field("token", Kind::Text, "The token of the link.").required(),
            field("name", Kind::Name(100), "For a new account: one's name."),
            field(
                "password",
                Kind::Text,
                "A new account's password, 15 to 256 characters, or that of the account that exists; its session will do too.",
            ),
            field("code", Kind::Text, CODE),
        ],
        answer: Answer::One(&ACCEPTED),
        run: |call| Box::pin(accept(call)),
    },
];

/// The team in the path; none: the organization itself is meant.
fn team(call: &Call) -> Result<Option<&str>, ApiError> {
    if call.name("team_id").is_some() { call.id("team_id").map(Some) } else { Ok(None) }
}

async fn list(call: Call) -> Result<Value, ApiError> {
    let list = call.list();
    let page = list.page(&call.query)?;
    let (org, team) = (call.org(), team(&call)?);
    Ok(list.answer(&call.control.list_invitations(call.caller(), org.as_deref(), team, &page).await?))
}

async fn create(call: Call) -> Result<Value, ApiError> {
    let to = match team(&call)? {
        Some(team) => InviteTo::Team(team.to_owned()),
        None => InviteTo::Org(call.org()),
    };
    let (email, role) = (call.body.sure("email"), call.body.owned("role"));
    let new = NewInvitation { to, email, role, message: call.body.owned("message") };
    object(&call.control.invite(call.caller(), &new).await?)
}

async fn revoke(call: Call) -> Result<Value, ApiError> {
    call.control.revoke_invitation(call.caller(), call.id("invitation_id")?).await?;
    Ok(Value::Null)
}

async fn accept(call: Call) -> Result<Value, ApiError> {
    let signed_in = match call.caller() {
        Caller::Anonymous { .. } => None,
        Caller::User { id, .. } => Some(*id),
        Caller::Operator | Caller::Key { .. } => {
            let why = "an invitation is accepted by a person, signed in or not".to_owned();
            return Err(crate::control::service::ServiceError::Forbidden(why).into());
        }
    };
    let acceptance = Acceptance {
        token: call.body.sure("token"),
        name: call.body.owned("name"),
        password: call.body.owned("password"),
        code: call.body.owned("code"),
        signed_in,
        ip: Some(call.client()),
    };
    object(&call.control.accept_invitation(&acceptance).await?)
}
