//! Changing what may be changed about a key: labels and limits, never what it may do or where.

use serde_json::json;

use super::{
    super::fields,
    KeyView, announce, authorise, deed,
    limits::{networks, rate},
};
use crate::{
    control::service::{Caller, Control, ServiceError, caller::Who, work::Work},
    domain::{
        access::{Networks, RatePerMinute},
        key::grant::Excess,
        profile::{Profile, control},
    },
    store::keys::{self, Details, Key},
};

/// What to change; what is not named stays. An inner nothing takes the value away.
#[derive(Debug, Clone, Default)]
pub struct KeyChanges {
    /// Its label.
    pub name: Option<String>,
    /// What it is for.
    pub description: Option<Option<String>>,
    /// A label such as `production`.
    pub environment: Option<Option<String>>,
    /// How often it may call.
    pub rate_limit_per_minute: Option<Option<i64>>,
    /// From where it may call; empty: from everywhere.
    pub allowed_ips: Option<Vec<String>>,
}

impl Control {
    /// Gives a key another label (R003_02).
    pub async fn rename_key(
        &self,
        caller: &Caller,
        named: &str,
        name: &str,
    ) -> Result<KeyView, ServiceError> {
        let changes = KeyChanges { name: Some(name.to_owned()), ..KeyChanges::default() };
        self.update_key(caller, named, &changes).await
    }

    /// Changes a key.
    pub async fn update_key(
        &self,
        caller: &Caller,
        named: &str,
        changes: &KeyChanges,
    ) -> Result<KeyView, ServiceError> {
        let mut work = self.begin(caller).await?;
        let held = self.key(&mut work.tx, &work.who, named).await?;
        let (mut key, created_by) = (held.key, held.issuer.map(|person| person.email));
        authorise(self.profile(), &work.who, &key, control::API_KEY_UPDATE)?;
        let before = json!({ "name": key.name, "rate_limit_per_minute": key.rate.map(|rate| rate.get().get()),
            "allowed_ips": key.networks.to_strings() });
        if let Some(name) = &changes.name {
            key.name = fields::name("name", name, 80)?;
        }
        if let Some(description) = &changes.description {
            key.description = fields::note("description", description.as_deref(), 1000)?;
        }
        if let Some(environment) = &changes.environment {
            key.environment = fields::label("environment", environment.as_deref())?;
        }
        let (old_rate, old_networks) = (key.rate, key.networks.clone());
        if let Some(per_minute) = &changes.rate_limit_per_minute {
            key.rate = rate(*per_minute)?;
        }
        if let Some(list) = &changes.allowed_ips {
            key.networks = networks(self.profile(), list)?;
        }
        if (key.rate, &key.networks) != (old_rate, &old_networks) || matches!(work.who, Who::Key(..)) {
            for (rate, networks) in limits(self.profile(), &mut work, &key, (old_rate, old_networks)).await? {
                if rate.is_some_and(|limit| key.rate.is_none_or(|own| own > limit)) {
                    return Err(ServiceError::Forbidden(Excess::Rate.to_string()));
                }
                if !key.networks.within(&networks) {
                    return Err(ServiceError::Forbidden(Excess::Networks.to_string()));
                }
            }
        }
        let details = Details {
            name: key.name.clone(),
            description: key.description.clone(),
            environment: key.environment.clone(),
            rate: key.rate,
            networks: key.networks.clone(),
        };
        keys::set_details(&mut work.tx, key.id, &details).await?;
        let after = json!({ "name": key.name, "rate_limit_per_minute": key.rate.map(|rate| rate.get().get()),
            "allowed_ips": key.networks.to_strings() });
        let detail = json!({ "scope": key.boundary.kind().as_str(), "before": before, "after": after });
        work.record(deed(&key, "update", "api_key.updated", detail)).await?;
        announce(&mut work, &key).await?;
        let view = KeyView::new(key, created_by, work.now);
        work.finish(&view).await?;
        Ok(view)
    }
}

type Limits = (Option<RatePerMinute>, Networks);

/// What the limits of a changed key have to stay within, beside the profile's: those of the key that minted it,
/// whoever changes it (R001_02), and for a key that does the changing its own. A key's limits are there to bind
/// whoever holds it; the holder must not be able to lift them.
async fn limits(
    profile: &Profile,
    work: &mut Work<'_>,
    key: &Key,
    old: Limits,
) -> Result<Vec<Limits>, ServiceError> {
    let mut limits = Vec::new();
    match &work.who {
        Who::Key(holder, _) if holder.key.id == key.id => limits.push(old),
        Who::Key(holder, _) => {
            limits.push((holder.standing.rate, holder.standing.networks.clone()));
        }
        Who::Operator | Who::Person(..) => {}
    }
    if let Some(parent) = key.parent
        && let Some(held) = keys::find(&mut work.tx, parent).await?
    {
        let standing = held.standing(profile);
        limits.push((standing.rate, standing.networks));
    }
    Ok(limits)
}
