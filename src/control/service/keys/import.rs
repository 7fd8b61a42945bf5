//! Keys from elsewhere, with their hashes.

use std::collections::HashMap;

use serde_json::json;

use super::{
    super::{fields, orgs, teams, users},
    deed,
    limits::{networks, rate},
    wanted::grantable,
};
use crate::{
    control::service::{Caller, Control, ServiceError, caller::Who, work::Work},
    domain::{
        boundary::{Boundary, BoundaryKind},
        id::{KeyId, OrgId},
        key::{
            secret::{BadHash, KeyHash},
            state::Life,
        },
        profile::{MissingScopes, Owner},
        time::Timestamp,
    },
    store::keys::{self, FOREIGN_PREFIX, Key, Lookup, SecurityLevel},
};

/// How many records one transaction takes: small enough that other writers do not wait long.
pub const IMPORT_BATCH: usize = 500;

/// A key as it stands in the file; everything as text, so that every fault is reported in the same way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// Its label.
    pub name: String,
    /// The organization, by id or slug; may be left out where there is only one.
    pub org: Option<String>,
    /// The team, by id or slug.
    pub team: Option<String>,
    /// Whose it is, by id or e-mail address.
    pub user: Option<String>,
    /// Its public characters, or for a foreign bcrypt hash those that the key begins with.
    pub prefix: Option<String>,
    /// `$2b$...` or `sha256:<hex>`.
    pub hash: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// When it ends, RFC 3339.
    pub expires_at: Option<String>,
    /// A label such as `production`.
    pub environment: Option<String>,
    /// From where it may call.
    pub allowed_ips: Vec<String>,
    /// How often it may call.
    pub rate_limit_per_minute: Option<String>,
}

impl Control {
    /// Takes up to [`IMPORT_BATCH`] records in one transaction. A record that is refused does not hold up the others:
    /// each has its own answer, the new key's id or why not. The limit of keys for one person binds keys that are made
    /// here: what already exists elsewhere is taken, and counts from then on.
    ///
    /// # Errors
    /// As a whole only when nothing of the batch was taken.
    pub async fn import_keys(
        &self,
        caller: &Caller,
        batch: &[Imported],
    ) -> Result<Vec<Result<KeyId, ServiceError>>, ServiceError> {
        if batch.len() > IMPORT_BATCH {
            return Err(ServiceError::field("records", format!("at most {IMPORT_BATCH} at a time")));
        }
        let mut work = self.begin(caller).await?;
        if !matches!(work.who, Who::Operator) {
            return Err(ServiceError::Forbidden("only the operator imports keys".into()));
        }
        let mut places = Places::default();
        let mut answers = Vec::with_capacity(batch.len());
        for record in batch {
            match self.import_one(&mut work, &mut places, record).await {
                // The store itself failed: nothing of the batch is kept.
                Err(error @ ServiceError::Store(_)) => return Err(error),
                answer => answers.push(answer),
            }
        }
        work.finish(&()).await?;
        Ok(answers)
    }

    async fn import_one(
        &self,
        work: &mut Work<'_>,
        places: &mut Places,
        record: &Imported,
    ) -> Result<KeyId, ServiceError> {
        let profile = self.profile();
        let hash = KeyHash::parse(record.hash.trim());
        let hash = hash.map_err(|error| ServiceError::field("hash", error.to_string()))?;
        let (prefix, lookup) = self.named_by(record, &hash)?;
        let boundary = places.boundary(self, work, record).await?;
        let owner = match record.user.as_deref() {
            Some(named) => {
                let user = users::find(&mut work.tx, &work.who, named).await?;
                if user.org_id != boundary.org() {
                    return Err(ServiceError::field("user", "belongs to another organization"));
                }
                Some(user.id)
            }
            None if profile.keys.owner == Owner::User => {
                return Err(ServiceError::field("user", "name whose key it is, by e-mail or id"));
            }
            None => None,
        };
        let scopes = match (record.scopes.as_slice(), profile.keys.missing_scopes) {
            ([], MissingScopes::Authority) => None,
            ([], MissingScopes::Refuse) => {
                return Err(ServiceError::field("scopes", "say what the key may do"));
            }
            (scopes, _) => Some(grantable(profile, scopes)?),
        };
        let expires_at = record.expires_at.as_deref().map(when).transpose()?;
        let per_minute = record.rate_limit_per_minute.as_deref().map(number).transpose()?;
        let id = KeyId::new(work.now);
        let key = Key {
            id,
            boundary,
            owner: owner.filter(|_| profile.keys.owner == Owner::User),
            created_by: owner,
            parent: None,
            family: id,
            name: fields::name("name", &record.name, 80)?,
            description: None,
            prefix,
            lookup,
            hash,
            mac: None,
            imported_at: Some(work.now),
            scopes,
            roles: None,
            effective_role: None,
            security_level: SecurityLevel::Standard,
            environment: fields::label("environment", record.environment.as_deref())?,
            rate: rate(per_minute)?,
            networks: networks(profile, &record.allowed_ips)?,
            life: Life::begin(work.now, expires_at),
            last_used_at: None,
            last_used_ip: None,
            usage_count: 0,
            rotated_from: None,
            rotated_to: None,
        };
        if !key.life.status(work.now).works() {
            return Err(ServiceError::field("expires_at", "lies in the past"));
        }
        if keys::is_taken(&mut work.tx, &key).await? {
            let refusal = format!("a key with the prefix or hash of `{}` exists already", key.prefix);
            return Err(ServiceError::Conflict(refusal));
        }
        keys::insert(&mut work.tx, &key).await?;
        let detail = json!({ "name": key.name, "scope": boundary.kind().as_str(), "imported": true });
        work.record(deed(&key, "create", "api_key.imported", detail)).await?;
        work.changed(&key.changed()).await?;
        Ok(id)
    }

    /// The characters that name the key in public, and how it will be found. A key of the profile's own shape is found
    /// by its public characters; any other by the SHA-256 of all of it or, where only bcrypt knows that, by the
    /// characters that it begins with.
    fn named_by(&self, record: &Imported, hash: &KeyHash) -> Result<(String, Lookup), ServiceError> {
        let shape = &self.profile().keys.shape;
        let given = record.prefix.as_deref().map(str::trim).filter(|prefix| !prefix.is_empty());
        let public =
            given.map(|given| given.strip_prefix(shape.literal()).unwrap_or(given).trim_end_matches('_'));
        if let Some(public) = public.filter(|public| shape.accepts_public(public)) {
            return Ok((public.to_owned(), Lookup::Public));
        }
        if !self.settings().accept_foreign {
            let message =
                "not the public part of this profile's keys; others need `keys.accept_foreign = true`";
            return Err(ServiceError::field("prefix", message));
        }
        let fits = |given: &&str| {
            FOREIGN_PREFIX.contains(&given.len()) && given.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let (least, most) = (FOREIGN_PREFIX.start(), FOREIGN_PREFIX.end());
        let expected =
            || ServiceError::field("prefix", format!("expected {least} to {most} visible characters"));
        match (hash, given) {
            (KeyHash::Bcrypt(_), Some(given)) if fits(&given) => {
                Ok((given.to_owned(), Lookup::Foreign(given.to_owned())))
            }
            (KeyHash::Bcrypt(_), _) => Err(expected()),
            (KeyHash::Nothing, _) => Err(ServiceError::field("hash", BadHash::Form.to_string())),
            (KeyHash::Sha256(_), Some(given)) if !fits(&given) => Err(expected()),
            // Without a given name, the first characters of its hash name it: they tell nothing about the key.
            (KeyHash::Sha256(_), given) => {
                let lookup = hash.to_string();
                let name = given.map_or_else(|| lookup.chars().skip(7).take(8).collect(), str::to_owned);
                Ok((name, Lookup::Foreign(lookup)))
            }
        }
    }
}

/// The organizations and teams of a batch, each looked up once.
#[derive(Default)]
struct Places {
    orgs: HashMap<Option<String>, OrgId>,
    teams: HashMap<(OrgId, String), Boundary>,
}

impl Places {
    async fn boundary(
        &mut self,
        control: &Control,
        work: &mut Work<'_>,
        record: &Imported,
    ) -> Result<Boundary, ServiceError> {
        let org = if let Some(org) = self.orgs.get(&record.org) {
            *org
        } else {
            let org = orgs::find_or_only(&mut work.tx, &work.who, "org", record.org.as_deref()).await?.id;
            self.orgs.insert(record.org.clone(), org);
            org
        };
        let kinds = &control.profile().keys.boundaries;
        let Some(named) = &record.team else {
            if kinds.contains(&BoundaryKind::Org) {
                return Ok(Boundary::Org(org));
            }
            let mut some = crate::store::teams::list(&mut work.tx, Some(org), None, 2).await?;
            return match (some.pop(), some.pop()) {
                (Some(only), None) => Ok(Boundary::Team(org, only.id)),
                _ => Err(ServiceError::field("team", "name the team that the key is bound to")),
            };
        };
        if !kinds.contains(&BoundaryKind::Team) {
            return Err(ServiceError::field("team", "this profile binds keys to no team"));
        }
        let place = (org, named.clone());
        if let Some(boundary) = self.teams.get(&place) {
            return Ok(*boundary);
        }
        let team = teams::find(&mut work.tx, &work.who, Some(org), named).await?;
        let boundary = Boundary::Team(org, team.id);
        self.teams.insert(place, boundary);
        Ok(boundary)
    }
}

fn when(text: &str) -> Result<Timestamp, ServiceError> {
    text.trim()
        .parse()
        .map_err(|_| ServiceError::field("expires_at", "expected a time such as 2027-01-31T09:30:00Z"))
}

fn number(text: &str) -> Result<i64, ServiceError> {
    text.trim().parse().map_err(|_| ServiceError::field("rate_limit_per_minute", "expected a number"))
}
