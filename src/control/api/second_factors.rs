//! `/v1/session/second-factor`: what the caller proves besides their password.
//!
//! Taking it off is a POST: it carries secrets, and what a DELETE carries is dropped on many ways (RFC 9110 section
//! 9.3.5).

use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    error::ApiError,
    operation::{Answer, Call, Operation, Verb, object},
    sessions::own,
    shape::{Kind, Shape, field},
};

/// Operations whose answers are shown once, and so are not kept for a request that comes twice.
pub(super) const SHOWN_ONCE: [&str; 3] = [ENROL, CONFIRM, RENEW];

const ENROL: &str = "enrol_second_factor";
const CONFIRM: &str = "confirm_second_factor";
const RENEW: &str = "renew_recovery_codes";

const SECOND_FACTOR: Shape = Shape {
    name: "SecondFactor",
    fields: &[
        field("enabled", Kind::Flag, "Whether signing in asks for it."),
        field("enabled_at", Kind::Time, "Since when; null: it does not.").or_null(),
        field("recovery_codes_left", Kind::Whole, "How many recovery codes are not used yet."),
    ],
};

const ENROLMENT: Shape = Shape {
    name: "SecondFactorEnrolment",
    fields: &[
        field("uri", Kind::Text, "What an authenticator app takes in, as otpauth://. Shown this once."),
        field("secret", Kind::Text, "The same to be typed, in base 32. Shown this once."),
        field("confirm_before", Kind::Time, "Until then a code has to confirm it."),
    ],
};

const RECOVERY_CODES: Shape = Shape {
    name: "RecoveryCodes",
    fields: &[field(
        "recovery_codes",
        Kind::Texts,
        "Each is good for one sign-in in place of the app. Shown this once.",
    )],
};

/// Where a password alone is not enough.
pub(super) const CODE: &str = "Where the account has a second factor: a code of its app, or a recovery code.";
const EITHER: &str = "A code of the app, or a recovery code.";

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        id: "get_second_factor",
        verb: Verb::Get,
        path: "/v1/session/second-factor",
        text: "Whether signing in asks the caller for a second factor.",
        query: &[],
        body: &[],
        answer: Answer::One(&SECOND_FACTOR),
        run: |call| Box::pin(get(call)),
    },
    Operation {
        id: ENROL,
        verb: Verb::Post,
        path: "/v1/session/second-factor",
        text: "Begins a second factor for the caller: what their authenticator app needs. It is asked for once a code \
               has confirmed it.",
        query: &[],
        body: &[field("password", Kind::Text, "The caller's password.").required()],
        answer: Answer::One(&ENROLMENT),
        run: |call| Box::pin(enrol(call)),
    },
    Operation {
        id: CONFIRM,
        verb: Verb::Post,
        path: "/v1/session/second-factor/confirm",
        text: "Puts the second factor in force by a code of the app; the caller's other sessions end.",
        query: &[],
        body: &[field("code", Kind::Text, "The code that the app shows now.").required()],
        answer: Answer::One(&RECOVERY_CODES),
        run: |call| Box::pin(confirm(call)),
    },
    Operation {
        id: "remove_second_factor",
        verb: Verb::Post,
        path: "/v1/session/second-factor/remove",
        text: "Takes the caller's second factor off; their other sessions end.",
        query: &[],
        body: &[
            field("password", Kind::Text, "The caller's password.").required(),
            field("code", Kind::Text, EITHER).required(),
        ],
        answer: Answer::Done,
        run: |call| Box::pin(remove(call)),
    },
    Operation {
        id: RENEW,
        verb: Verb::Post,
        path: "/v1/session/second-factor/recovery-codes",
        text: "Gives the caller other recovery codes in place of all they had.",
        query: &[],
        body: &[
            field("password", Kind::Text, "The caller's password.").required(),
            field("code", Kind::Text, EITHER).required(),
        ],
        answer: Answer::One(&RECOVERY_CODES),
        run: |call| Box::pin(renew(call)),
    },
    Operation {
        id: "reset_second_factor",
        verb: Verb::Delete,
        path: "/v1/users/{user_id}/second-factor",
        text: "Takes the second factor off somebody else, who has lost all of it, and signs them out.",
        query: &[],
        body: &[],
        answer: Answer::Done,
        run: |call| Box::pin(reset(call)),
    },
];

async fn get(call: Call) -> Result<Value, ApiError> {
    object(&call.control.second_factor(call.caller(), own(&call)?).await?)
}

async fn enrol(call: Call) -> Result<Value, ApiError> {
    let password = Zeroizing::new(call.body.sure("password"));
    let begun = call.control.enrol_second_factor(call.caller(), own(&call)?, &password).await?;
    Ok(json!({ "uri": *begun.uri, "secret": *begun.secret, "confirm_before": begun.confirm_before }))
}

async fn confirm(call: Call) -> Result<Value, ApiError> {
    let code = Zeroizing::new(call.body.sure("code"));
    let codes = call.control.confirm_second_factor(call.caller(), own(&call)?, &code).await?;
    Ok(json!({ "recovery_codes": codes }))
}

async fn remove(call: Call) -> Result<Value, ApiError> {
    let (password, code) = both(&call);
    call.control.remove_second_factor(call.caller(), own(&call)?, &password, &code).await?;
    Ok(Value::Null)
}

async fn renew(call: Call) -> Result<Value, ApiError> {
    let (password, code) = both(&call);
    let codes = call.control.renew_recovery_codes(call.caller(), own(&call)?, &password, &code).await?;
    Ok(json!({ "recovery_codes": codes }))
}

async fn reset(call: Call) -> Result<Value, ApiError> {
    call.control.reset_second_factor(call.caller(), call.id("user_id")?).await?;
    Ok(Value::Null)
}

fn both(call: &Call) -> (Zeroizing<String>, Zeroizing<String>) {
    (Zeroizing::new(call.body.sure("password")), Zeroizing::new(call.body.sure("code")))
}
