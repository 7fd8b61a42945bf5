//! What a key looks like, going in and coming out.

use super::shape::{Field, Kind, Shape, field};
use crate::domain::access::RatePerMinute;

/// What may be asked for.
pub(super) const RATE: Kind = Kind::Between(1, RatePerMinute::MAX as i64);

const SCOPES: &[&str] = &["org", "team", "project"];

/// What a new key may be asked to be.
pub(super) const NEW: &[Field] = &[
    field("name", Kind::Name(80), "Its label.").required(),
    field("description", Kind::Text, "What it is for.").or_null(),
    field(
        "scope",
        Kind::Choice(SCOPES),
        "Where it acts; as wide as the caller's, or as what is named, unless said.",
    ),
    field("user_id", Kind::Id, "In whose name; only the operator names somebody else."),
    field("team_id", Kind::Id, "The team that it is bound to.").or_null(),
    field("project_id", Kind::Id, "The project that it is bound to.").or_null(),
    field("scopes", Kind::Texts, "What it may do there."),
    field("preset", Kind::Text, "A ready-made list of scopes.").or_null(),
    field("roles", Kind::Texts, "Roles instead of scopes."),
    field("expires_in_days", Kind::Whole, "After how many days it ends."),
    field("expires_at", Kind::Time, "When it ends."),
    field("environment", Kind::Text, "A label such as `production`.").or_null(),
    field("rate_limit_per_minute", RATE, "How often it may call.").or_null(),
    field("allowed_ips", Kind::Texts, "From where it may call; empty: from everywhere."),
    field(
        "security_level",
        Kind::Choice(&["standard", "advanced"]),
        "How requests carry it: `standard`, as it is; `advanced`, as a signature (RFC 9421).",
    ),
    field("effective_role", Kind::Text, "The role that it acts with, at most the issuer's.").or_null(),
    field(
        "public_key",
        Kind::Text,
        "For `advanced`: the public half of an Ed25519 pair, as PEM. Without it the key is the secret to sign with.",
    ),
];

macro_rules! key_fields {
    ($($more:expr)?) => {
        &[
            field("id", Kind::Id, "Its id."),
            field("org_id", Kind::Id, "The tenant."),
            field("name", Kind::Text, "Its label."),
            field("description", Kind::Text, "What it is for.").or_null(),
            field("prefix", Kind::Text, "Its public characters alone."),
            field("scope", Kind::Choice(SCOPES), "How wide it acts."),
            field("team_id", Kind::Id, "The team that it is bound to.").or_null(),
            field("project_id", Kind::Id, "The project that it is bound to.").or_null(),
            field("scopes", Kind::Texts, "What it may do; null: what its holder or its roles may.").or_null(),
            field("roles", Kind::Texts, "The roles attached to it.").or_null(),
            field("effective_role", Kind::Text, "The role that it acts with instead of its issuer's.").or_null(),
            field("security_level", Kind::Choice(&["standard", "advanced"]), "How requests have to carry it."),
            field("environment", Kind::Text, "A label such as `production`.").or_null(),
            field("rate_limit_per_minute", Kind::Whole, "How often it may call.").or_null(),
            field("allowed_ips", Kind::Texts, "From where it may call; empty: from everywhere."),
            field("created_by", Kind::Text, "The e-mail address of who issued it.").or_null(),
            field("parent_id", Kind::Id, "The key that minted it.").or_null(),
            field("status", Kind::Choice(&["active", "rotating", "expired", "revoked"]), "Where it stands now."),
            field("created_at", Kind::Time, "When it was made."),
            field("expires_at", Kind::Time, "From then on it is refused.").or_null(),
            field("grace_until", Kind::Time, "Set by a rotation: from then on it is refused.").or_null(),
            field("revoked_at", Kind::Time, "When it was revoked.").or_null(),
            field("last_used_at", Kind::Time, "When it last passed.").or_null(),
            field("last_used_ip", Kind::Text, "From where it last passed.").or_null(),
            field("usage_count", Kind::Whole, "How often it passed."),
            field("rotated_from", Kind::Id, "The key that it replaced.").or_null(),
            field("rotated_to", Kind::Id, "The key that replaced it.").or_null(),
            $($more)?
        ]
    };
}

/// A key as it is shown: everything but what proves it.
pub(super) const KEY: Shape = Shape { name: "ApiKey", fields: key_fields!() };

/// A key that was just made.
pub(super) const CREATED: Shape = Shape {
    name: "NewApiKey",
    fields: key_fields!(
        field(
            "key",
            Kind::Text,
            "The full key, this once; absent from a repeated answer; null where nothing of it is ever sent.",
        )
        .or_null()
    ),
};

const BUCKET: Shape = Shape {
    name: "UsageBucket",
    fields: &[field("start", Kind::Time, "When it begins."), field("count", Kind::Whole, "How often.")],
};

const SOURCE: Shape = Shape {
    name: "UsageSource",
    fields: &[
        field("ip", Kind::Text, "Which address; null: it could not be told.").or_null(),
        field("count", Kind::Whole, "How often."),
        field("last_used_at", Kind::Time, "When last, to the minute."),
    ],
};

/// How often a key was used.
pub(super) const USAGE: Shape = Shape {
    name: "ApiKeyUsage",
    fields: &[
        field("window", Kind::Text, "As it was asked for."),
        field(
            "buckets",
            Kind::Many(&BUCKET),
            "The minutes, hours or days in which it was used, oldest first.",
        ),
        field("sources", Kind::Many(&SOURCE), "From where, the busiest first, 100 at most."),
    ],
};

/// Whether a key is good.
pub(super) const VERDICT: Shape = Shape {
    name: "Verdict",
    fields: &[
        field("valid", Kind::Flag, "Whether the gateway would let it pass."),
        field("code", Kind::Text, "`ok`, or the code with which the gateway would refuse it."),
        field(
            "key",
            Kind::One(&KEY),
            "The key, once its secret is proved and it is the caller's to know of.",
        )
        .or_null(),
    ],
};
