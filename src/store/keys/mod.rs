//! API keys: what a row holds ([`Key`]), and the statements on it. Looking one up for a decision is `held`,
//! counting and listing `list`, changing `write`, how requests are signed `signing`.

mod held;
mod list;
mod signing;
mod write;

use std::net::IpAddr;

#[cfg(test)]
pub(in crate::store) use self::list::CENSUS;
pub use self::{
    held::{
        AT_ONCE, FOREIGN_PREFIX, Held, Minter, Person, digest_lookup, find, find_by_prefix, find_by_prefixes,
        find_foreign,
    },
    list::{Census, Filter, Listed, Page, active_families, census, find_any, has_children, is_taken, list},
    signing::{SealedKey, SecurityLevel, Signing, sealed, signing_place},
    write::{
        Details, Ended, insert, link_successor, move_children, revoke, revoke_made_by, revoke_of_owner,
        revoke_within, set_details, set_life, set_mac, set_self_made,
    },
};
use super::{
    db::{Columns, Row, hex, unhex},
    error::StoreError,
    usage::Used,
};
use crate::domain::{
    access::{Networks, RatePerMinute},
    boundary::{Boundary, BoundaryKind},
    id::{KeyId, OrgId, ProjectId, TeamId, UserId},
    key::{
        secret::{KeyHash, Mac},
        state::Life,
    },
    time::Timestamp,
};

/// How a key is found when somebody presents it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// By its public characters, which the profile's shape tells.
    Public,
    /// A key of another shape: by `sha256:<hex>` of all of it, or by the characters it begins with.
    Foreign(String),
}

/// A key as stored. Its text is not: only what proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its id.
    pub id: KeyId,
    /// Where it acts.
    pub boundary: Boundary,
    /// Whose it is; none: the organization's.
    pub owner: Option<UserId>,
    /// Who issued it, as far as that was a person who is still known.
    pub created_by: Option<UserId>,
    /// The key that minted it.
    pub parent: Option<KeyId>,
    /// The first key of its chain of rotations.
    pub family: KeyId,
    /// Its label.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Its public characters.
    pub prefix: String,
    /// How it is found.
    pub lookup: Lookup,
    /// The durable proof.
    pub hash: KeyHash,
    /// The fast proof; none until the key was seen once.
    pub mac: Option<Mac>,
    /// When it came from elsewhere with its hash.
    pub imported_at: Option<Timestamp>,
    /// The names of what it may do; none: everything its authority gives.
    pub scopes: Option<Vec<String>>,
    /// The roles attached to it; none: its holder's.
    pub roles: Option<Vec<String>>,
    /// The role that it acts with instead of its issuer's.
    pub effective_role: Option<String>,
    /// How it has to be carried.
    pub security_level: SecurityLevel,
    /// A label such as `production`.
    pub environment: Option<String>,
    /// How often it may call; none: the configured default.
    pub rate: Option<RatePerMinute>,
    /// From where it may call.
    pub networks: Networks,
    /// Its dates.
    pub life: Life,
    /// When it last passed.
    pub last_used_at: Option<Timestamp>,
    /// From where it last passed.
    pub last_used_ip: Option<IpAddr>,
    /// How often it passed.
    pub usage_count: u64,
    /// The key it replaced.
    pub rotated_from: Option<KeyId>,
    /// The key that replaced it.
    pub rotated_to: Option<KeyId>,
}

impl Key {
    /// What the change feed names it by.
    pub fn looked_up_by(&self) -> &str {
        match &self.lookup {
            Lookup::Public => &self.prefix,
            Lookup::Foreign(lookup) => lookup,
        }
    }

    /// A use that is written down and not counted yet.
    fn add(&mut self, used: &Used) {
        self.usage_count = self.usage_count.saturating_add(used.count);
        if self.last_used_at.is_none_or(|last| last <= used.last) {
            self.last_used_at = Some(used.last);
            self.last_used_ip = used.ip.or(self.last_used_ip);
        }
    }

    /// The change that voids what is remembered about it.
    pub fn changed(&self) -> super::changes::Subject {
        super::changes::Subject::Key {
            org: self.boundary.org(),
            id: self.id,
            lookup: self.looked_up_by().to_owned(),
        }
    }
}

/// All columns of the table `k`, to be used with [`parse`].
macro_rules! columns {
    () => {
        "k.id, k.org_id, k.team_id, k.project_id, k.scope, k.owner_user_id, k.created_by, k.parent_id, k.family_id,
         k.name, k.description, k.prefix, k.foreign_lookup, k.hash, k.mac, k.imported_at, k.scopes, k.roles,
         k.effective_role, k.security_level, k.environment, k.rate_limit_per_minute, k.allowed_ips, k.created_at,
         k.expires_at, k.grace_until, k.revoked_at, k.last_used_at, k.last_used_ip, k.usage_count, k.rotated_from,
         k.rotated_to, k.signing"
    };
}
use columns;

/// Longer texts did not come through the service; they are not worth holding in memory.
const LONGEST_TEXT: usize = 16 * 1024;

fn parse(row: &Row) -> Result<Key, StoreError> {
    let columns = Columns::of(row, "api_keys", "id");
    for column in ["name", "description", "prefix", "scopes", "roles", "environment", "allowed_ips"] {
        if columns.maybe_text(column)?.is_some_and(|text| text.len() > LONGEST_TEXT) {
            return Err(columns.bad(column, "too long"));
        }
    }
    let created_at = columns.time("created_at")?;
    Ok(Key {
        id: columns.parse("id")?,
        boundary: boundary(&columns)?,
        owner: columns.maybe_parse("owner_user_id")?,
        created_by: columns.maybe_parse("created_by")?,
        parent: columns.maybe_parse("parent_id")?,
        family: columns.parse("family_id")?,
        name: columns.text("name")?,
        description: columns.maybe_text("description")?,
        prefix: columns.text("prefix")?,
        lookup: columns.maybe_text("foreign_lookup")?.map_or(Lookup::Public, Lookup::Foreign),
        hash: hash(&columns)?,
        mac: mac(&columns)?,
        imported_at: columns.maybe_time("imported_at")?,
        scopes: columns.maybe_list("scopes")?,
        roles: columns.maybe_list("roles")?,
        effective_role: columns.maybe_text("effective_role")?,
        security_level: SecurityLevel::read(&columns)?,
        environment: columns.maybe_text("environment")?,
        rate: rate(&columns)?,
        networks: Networks::parse(&columns.list("allowed_ips")?)
            .map_err(|error| columns.bad("allowed_ips", error))?,
        life: Life {
            created_at,
            expires_at: columns.maybe_time("expires_at")?,
            grace_until: columns.maybe_time("grace_until")?,
            revoked_at: columns.maybe_time("revoked_at")?,
        },
        last_used_at: columns.maybe_time("last_used_at")?,
        last_used_ip: columns.maybe_parse("last_used_ip")?,
        usage_count: columns.count("usage_count")?,
        rotated_from: columns.maybe_parse("rotated_from")?,
        rotated_to: columns.maybe_parse("rotated_to")?,
    })
}

fn boundary(columns: &Columns<'_>) -> Result<Boundary, StoreError> {
    let org: OrgId = columns.parse("org_id")?;
    let team: Option<TeamId> = columns.maybe_parse("team_id")?;
    let project: Option<ProjectId> = columns.maybe_parse("project_id")?;
    match (columns.parse("scope")?, team, project) {
        (BoundaryKind::Org, None, None) => Ok(Boundary::Org(org)),
        (BoundaryKind::Team, Some(team), None) => Ok(Boundary::Team(org, team)),
        (BoundaryKind::Project, Some(team), Some(project)) => Ok(Boundary::Project(org, team, project)),
        _ => Err(columns.bad("scope", "does not fit team_id and project_id")),
    }
}

fn rate(columns: &Columns<'_>) -> Result<Option<RatePerMinute>, StoreError> {
    let Some(number) = columns.maybe_number("rate_limit_per_minute")? else { return Ok(None) };
    let rate = u32::try_from(number).ok().and_then(|number| RatePerMinute::new(number).ok());
    rate.map(Some).ok_or_else(|| columns.bad("rate_limit_per_minute", "not a rate"))
}

fn hash(columns: &Columns<'_>) -> Result<KeyHash, StoreError> {
    match columns.text("hash")?.as_str() {
        KeyHash::NOTHING => Ok(KeyHash::Nothing),
        text => KeyHash::parse(text).map_err(|error| columns.bad("hash", error)),
    }
}

fn mac(columns: &Columns<'_>) -> Result<Option<Mac>, StoreError> {
    let Some(text) = columns.maybe_text("mac")? else { return Ok(None) };
    let bytes = unhex(&text);
    let mac = bytes.and_then(|bytes| Mac::from_bytes(&bytes));
    mac.map(Some).ok_or_else(|| columns.bad("mac", "not a MAC"))
}

fn mac_text(mac: Mac) -> String {
    hex(&mac.to_bytes())
}
