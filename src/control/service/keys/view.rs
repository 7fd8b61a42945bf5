//! A key as shown: everything but what proves it (R002_12).

use std::net::IpAddr;

use crate::{
    domain::{
        boundary::BoundaryKind,
        id::{KeyId, OrgId, ProjectId, TeamId},
        key::state::Status,
        time::Timestamp,
    },
    store::keys::Key,
};

/// The key object of the API.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct KeyView {
    /// Its id.
    pub id: KeyId,
    /// The tenant.
    pub org_id: OrgId,
    /// Its label.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Its public characters alone.
    pub prefix: String,
    /// How wide it acts.
    pub scope: BoundaryKind,
    /// The team that it is bound to.
    pub team_id: Option<TeamId>,
    /// The project that it is bound to.
    pub project_id: Option<ProjectId>,
    /// What it may do; none: everything that its holder may.
    pub scopes: Option<Vec<String>>,
    /// The roles attached to it.
    pub roles: Option<Vec<String>>,
    /// The role that it acts with instead of its issuer's.
    pub effective_role: Option<String>,
    /// How requests have to carry it.
    pub security_level: &'static str,
    /// A label such as `production`.
    pub environment: Option<String>,
    /// How often it may call.
    pub rate_limit_per_minute: Option<u32>,
    /// From where it may call; empty: from everywhere.
    pub allowed_ips: Vec<String>,
    /// The e-mail address of who issued it.
    pub created_by: Option<String>,
    /// The key that minted it.
    pub parent_id: Option<KeyId>,
    /// Where it stands in its life now.
    pub status: Status,
    /// When it was made.
    pub created_at: Timestamp,
    /// From then on it is refused.
    pub expires_at: Option<Timestamp>,
    /// Set by a rotation: from then on it is refused.
    pub grace_until: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When it last passed.
    pub last_used_at: Option<Timestamp>,
    /// From where it last passed.
    pub last_used_ip: Option<IpAddr>,
    /// How often it passed.
    pub usage_count: u64,
    /// The key that it replaced.
    pub rotated_from: Option<KeyId>,
    /// The key that replaced it.
    pub rotated_to: Option<KeyId>,
}

impl KeyView {
    pub(super) fn new(key: Key, created_by: Option<String>, now: Timestamp) -> Self {
        Self {
            id: key.id,
            org_id: key.boundary.org(),
            name: key.name,
            description: key.description,
            prefix: key.prefix,
            scope: key.boundary.kind(),
            team_id: key.boundary.team(),
            project_id: key.boundary.project(),
            scopes: key.scopes,
            roles: key.roles,
            effective_role: key.effective_role,
            security_level: key.security_level.as_str(),
            environment: key.environment,
            rate_limit_per_minute: key.rate.map(|rate| rate.get().get()),
            allowed_ips: key.networks.to_strings(),
            created_by,
            parent_id: key.parent,
            status: key.life.status(now),
            created_at: key.life.created_at,
            expires_at: key.life.expires_at,
            grace_until: key.life.grace_until,
            revoked_at: key.life.revoked_at,
            last_used_at: key.last_used_at,
            last_used_ip: key.last_used_ip,
            usage_count: key.usage_count,
            rotated_from: key.rotated_from,
            rotated_to: key.rotated_to,
        }
    }
}
