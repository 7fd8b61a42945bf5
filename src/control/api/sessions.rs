//! `/v1/session`: signing in, looking who one is, switching teams, signing out.

use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    error::ApiError,
    operation::{Answer, Call, Operation, Verb, object},
    second_factors::CODE,
    shape::{Kind, Shape, field},
};
use crate::{
    control::{cookie, service::SignIn},
    domain::id::SessionId,
};

/// The operation that is carried out for whoever asks.
pub(super) const SIGN_IN: &str = "sign_in";

const USER: Shape = Shape {
    name: "SessionUser",
    fields: &[
        field("id", Kind::Id, "Their id."),
        field("email", Kind::Text, "Their e-mail address."),
        field("name", Kind::Text, "Their name."),
    ],
};

const PLACE: Shape = Shape {
    name: "SessionPlace",
    fields: &[
        field("id", Kind::Id, "Its id."),
        field("slug", Kind::Text, "Its name in commands."),
        field("name", Kind::Text, "Its name for people."),
    ],
};

const ACTIVE: &str = "The team the session acts in; null: the organization.";

const SIGNED_IN: Shape = Shape {
    name: "SignedIn",
    fields: &[
        field("token", Kind::Text, "Proves the session, as Authorization: Bearer. Shown this once."),
        field("expires_at", Kind::Time, "When to sign in again, whatever is done."),
        field("user", Kind::One(&USER), "Who signed in."),
        field("active_team", Kind::One(&PLACE), ACTIVE).or_null(),
    ],
};

const SESSION: Shape = Shape {
    name: "Session",
    fields: &[
        field("id", Kind::Id, "Its id, as logs and upstreams see it."),
        field("user", Kind::One(&USER), "Who."),
        field("org", Kind::One(&PLACE), "Their organization."),
        field("active_team", Kind::One(&PLACE), ACTIVE).or_null(),
        field("teams", Kind::Many(&PLACE), "The teams they belong to."),
        field("role", Kind::Text, "The role that says most about what they may do there.").or_null(),
        field("groups", Kind::Texts, "The groups they are in."),
        field("permissions", Kind::Texts, "What they may do there."),
        field("expires_at", Kind::Time, "When to sign in again, whatever is done."),
    ],
};

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        id: SIGN_IN,
        verb: Verb::Post,
        path: "/v1/session",
        text: "Signs in with a password, and a code where the account has a second factor. The answer sets the session cookie, too.",
        query: &[],
        body: &[
            field("email", Kind::Text, "The e-mail address.").required(),
            field("password", Kind::Text, "The password.").required(),
            field("code", Kind::Text, CODE),
        ],
        answer: Answer::One(&SIGNED_IN),
        run: |call| Box::pin(sign_in(call)),
    },
    Operation {
        id: "get_session",
        verb: Verb::Get,
        path: "/v1/session",
        text: "The calling session: who, where, and what they may do.",
        query: &[],
        body: &[],
        answer: Answer::One(&SESSION),
        run: |call| Box::pin(get(call)),
    },
    Operation {
        id: "sign_out",
        verb: Verb::Delete,
        path: "/v1/session",
        text: "Ends the calling session.",
        query: &[],
        body: &[],
        answer: Answer::Done,
        run: |call| Box::pin(sign_out(call)),
    },
    Operation {
        id: "switch_team",
        verb: Verb::Put,
        path: "/v1/session/team",
        text: "Lets the calling session act in another team, or in the organization.",
        query: &[],
        body: &[field(
            "team_id",
            Kind::Id,
            "The team; null: the organization, for those who hold a role on it.",
        )
        .required()
        .or_null()],
        answer: Answer::One(&SESSION),
        run: |call| Box::pin(switch(call)),
    },
    Operation {
        id: "change_password",
        verb: Verb::Put,
        path: "/v1/session/password",
        text: "Gives the caller another password; their other sessions end.",
        query: &[],
        body: &[
            field("password", Kind::Text, "The password they have.").required(),
            field("new_password", Kind::Text, "15 to 256 characters.").required(),
            field("code", Kind::Text, CODE),
        ],
        answer: Answer::Done,
        run: |call| Box::pin(change_password(call)),
    },
    Operation {
        id: "end_sessions",
        verb: Verb::Delete,
        path: "/v1/users/{user_id}/sessions",
        text: "Signs a person out wherever they are signed in.",
        query: &[],
        body: &[],
        answer: Answer::Done,
        run: |call| Box::pin(end_all(call)),
    },
];

async fn sign_in(call: Call) -> Result<Value, ApiError> {
    let asked = SignIn {
        email: call.body.sure("email"),
        password: Zeroizing::new(call.body.sure("password")),
        code: call.body.owned("code").map(Zeroizing::new),
        replaces: call.known.session.filter(|_| call.known.by_cookie),
    };
    let made = call.control.sign_in(&asked, Some(call.client())).await?;
    call.cookies.set(cookie::set(call.control.sessions(), &made.token));
    let view = object(&made.view)?;
    Ok(json!({
        "token": made.token.reveal(),
        "expires_at": view["expires_at"],
        "user": view["user"],
        "active_team": view["active_team"],
    }))
}

async fn get(call: Call) -> Result<Value, ApiError> {
    object(&call.control.session(call.caller(), own(&call)?).await?)
}

async fn sign_out(call: Call) -> Result<Value, ApiError> {
    call.control.sign_out(call.caller(), own(&call)?).await?;
    if call.known.by_cookie {
        call.cookies.set(cookie::clear(call.control.sessions()));
    }
    Ok(Value::Null)
}

async fn switch(call: Call) -> Result<Value, ApiError> {
    let team = call.body.text("team_id");
    object(&call.control.switch_team(call.caller(), own(&call)?, team).await?)
}

async fn change_password(call: Call) -> Result<Value, ApiError> {
    let (old, new) = (call.body.sure("password"), call.body.sure("new_password"));
    let (old, new) = (Zeroizing::new(old), Zeroizing::new(new));
    let code = call.body.text("code");
    call.control.change_password(call.caller(), own(&call)?, &old, &new, code).await?;
    Ok(Value::Null)
}

async fn end_all(call: Call) -> Result<Value, ApiError> {
    call.control.end_sessions(call.caller(), call.id("user_id")?).await?;
    Ok(Value::Null)
}

/// The calling session; who calls with something else has none.
pub(super) fn own(call: &Call) -> Result<SessionId, ApiError> {
    call.known.session.ok_or(ApiError::NotFound)
}
