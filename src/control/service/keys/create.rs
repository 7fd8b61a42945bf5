//! Making a key. Its full text exists in the answer and nowhere else (R000_14).

use serde_json::json;

use super::{super::caller::Who, KeyView, deed, plan::Plan, signing::Forged};
use crate::{
    control::service::{Caller, Control, ServiceError},
    domain::{
        id::KeyId,
        key::{state::Life, token::Token},
        time::Timestamp,
    },
    store::keys::{self, Key, Lookup},
};

/// A wanted key. What is left out is filled in by the profile's rules.
#[derive(Debug, Clone, Default)]
pub struct NewKey {
    /// In whose name, by id or e-mail address; only the operator names somebody else.
    pub user: Option<String>,
    /// The organization, by id or slug; follows from the user where there is one.
    pub org: Option<String>,
    /// Its label.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// How wide it acts: `org`, `team` or `project`.
    pub scope: Option<String>,
    /// The team that it is bound to, by id or slug.
    pub team_id: Option<String>,
    /// The project that it is bound to, by id or slug.
    pub project_id: Option<String>,
    /// What it may do there.
    pub scopes: Option<Vec<String>>,
    /// A ready-made list of scopes.
    pub preset: Option<String>,
    /// Roles instead of scopes.
    pub roles: Option<Vec<String>>,
    /// After how many days it ends.
    pub expires_in_days: Option<i64>,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// A label such as `production`.
    pub environment: Option<String>,
    /// How often it may call.
    pub rate_limit_per_minute: Option<i64>,
    /// From where it may call; empty: from everywhere.
    pub allowed_ips: Vec<String>,
    /// How requests carry it.
    pub security_level: Option<String>,
    /// The role that it acts with, at most the issuer's.
    pub effective_role: Option<String>,
    /// The public half of the pair that signs its requests, as PEM.
    pub public_key: Option<String>,
}

impl NewKey {
    /// Whether an expiry was asked for.
    pub(super) const fn says_when(&self) -> bool {
        self.expires_in_days.is_some() || self.expires_at.is_some()
    }
}

/// A key that was just made.
#[derive(Debug)]
pub struct Created {
    /// The key object.
    pub key: KeyView,
    /// The full key, to be shown now or never; none for a key of which nothing is ever sent.
    pub token: Option<Token>,
}

impl Created {
    /// The full key's text.
    pub fn full(&self) -> Option<&str> {
        self.token.as_ref().map(Token::reveal)
    }
}

impl Control {
    /// Makes a key (R000_12).
    pub async fn create_key(&self, caller: &Caller, new: &NewKey) -> Result<Created, ServiceError> {
        // Asked before the hash: what is refused anyway must not cost it.
        let mut conn = self.store().read().await?;
        let now = self.clock().now();
        let who = Who::read(&mut conn, self.profile(), caller, now).await?;
        let way = self.plan(&mut conn, &who, new, now).await?.way;
        drop(conn);
        let forged = self.forge(way).await?;

        let mut work = self.begin(caller).await?;
        let plan = self.plan(&mut work.tx, &work.who, new, work.now).await?;
        let created_by = plan.issuer.as_ref().map(|user| user.email.clone());
        let key = self.planned(plan, &forged, work.now)?;
        keys::insert(&mut work.tx, &key).await?;
        let detail = json!({
            "name": key.name,
            "scope": key.boundary.kind().as_str(),
            "scopes": key.scopes,
            "roles": key.roles,
            "expires_at": key.life.expires_at,
            "issued_for": created_by,
            "parent_id": key.parent,
            "security_level": key.security_level.as_str(),
        });
        work.record(deed(&key, "create", "api_key.created", detail)).await?;
        work.changed(&key.changed()).await?;
        let view = KeyView::new(key, created_by, work.now);
        work.finish(&view).await?;
        Ok(Created { key: view, token: forged.token })
    }

    fn planned(&self, plan: Plan, forged: &Forged, now: Timestamp) -> Result<Key, ServiceError> {
        let id = KeyId::new(now);
        Ok(Key {
            id,
            boundary: plan.boundary,
            owner: plan.owner,
            created_by: plan.issuer.map(|user| user.id),
            parent: plan.parent,
            family: id,
            name: plan.name,
            description: plan.description,
            prefix: forged.prefix.clone(),
            lookup: Lookup::Public,
            hash: forged.hash.clone(),
            mac: forged.mac,
            imported_at: None,
            scopes: plan.scopes,
            roles: plan.roles,
            effective_role: plan.effective_role,
            security_level: self.level(forged, id)?,
            environment: plan.environment,
            rate: plan.rate,
            networks: plan.networks,
            life: Life::begin(now, plan.expires_at),
            last_used_at: None,
            last_used_ip: None,
            usage_count: 0,
            rotated_from: None,
            rotated_to: None,
        })
    }
}
