//! What a new key would be, and whether its giver may make it so. Read-only, so that it can be asked twice: before the
//! costly hash, and again inside the transaction that keeps the key.

use super::{
    super::{caller::Who, fields},
    NewKey,
    giver::{Giver, giver},
    limits::{expiry, networks, rate},
    place::boundary,
    signing::Way,
    wanted::{closure, names, override_role, union_of_roles, wanted_rights},
};
use crate::{
    control::service::{Control, ServiceError, rights::Rights},
    domain::{
        access::{Networks, RatePerMinute},
        boundary::Boundary,
        id::{KeyId, UserId},
        key::grant::{Excess, Grant},
        profile::{Authority, Owner, Profile},
        time::Timestamp,
    },
    store::{Conn, keys, users::User},
};

/// As many keys may stand in a line, each minted by the one before. What checks one asks about all of them.
const LONGEST_LINE: usize = 8;

/// A key that may be made.
pub(super) struct Plan {
    pub(super) boundary: Boundary,
    pub(super) owner: Option<UserId>,
    pub(super) issuer: Option<User>,
    pub(super) parent: Option<KeyId>,
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) environment: Option<String>,
    pub(super) scopes: Option<Vec<String>>,
    pub(super) roles: Option<Vec<String>>,
    pub(super) effective_role: Option<String>,
    pub(super) rate: Option<RatePerMinute>,
    pub(super) networks: Networks,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) way: Way,
}

impl Control {
    /// Checks everything about a wanted key.
    pub(super) async fn plan(
        &self,
        conn: &mut Conn,
        who: &Who,
        new: &NewKey,
        now: Timestamp,
    ) -> Result<Plan, ServiceError> {
        let profile = self.profile();
        let name = fields::name("name", &new.name, 80)?;
        let description = fields::note("description", new.description.as_deref(), 1000)?;
        let environment = fields::label("environment", new.environment.as_deref())?;
        let networks = networks(profile, &new.allowed_ips)?;
        let rate = rate(new.rate_limit_per_minute)?;
        let expires_at = expiry(profile, new, now)?;
        let way = Way::wanted(new)?;

        let giver = giver(conn, profile, who, new).await?;
        let boundary = boundary(conn, profile, who, &giver, new).await?;
        giver.may_issue(profile, &boundary)?;
        if let Giver::Key(holder) = &giver
            && holder.depth + 1 >= LONGEST_LINE
        {
            let refusal = format!("keys are minted by keys in lines of at most {LONGEST_LINE}");
            return Err(ServiceError::LimitReached(refusal));
        }
        let rights = Rights::of_org(conn, profile, boundary.org()).await?;
        let book = rights.book(profile);

        let mut effective_role = None;
        let (mut scopes, roles) = wanted_rights(&book, &giver, &boundary, new)?;
        if let Some(role) = &new.effective_role {
            effective_role = Some(override_role(profile, &giver, &boundary, role)?);
        }
        let held = giver.grant(profile, &boundary);
        if scopes.is_none()
            && roles.is_none()
            && effective_role.is_none()
            && (profile.keys.authority == Authority::Key || matches!(giver, Giver::Key(_)))
        {
            // Fixed at what the giver holds now: this key's rights do not follow anybody's. Left open, those of a key
            // that a key mints would be its issuer's, who may hold far more than the key does.
            scopes = Some(names(profile, held.permissions.intersection(&profile.keys.grantable)));
        }
        let asked = [
            scopes.as_ref().map(|scopes| closure(profile, scopes)),
            roles.as_ref().map(|roles| union_of_roles(&book, roles)),
            effective_role.as_deref().map(|role| book.permissions(role)),
        ];
        let asked = asked.into_iter().flatten().reduce(|one, other| one.intersection(&other));
        let permissions = asked.unwrap_or_else(|| held.permissions.intersection(&profile.keys.grantable));
        let expires_at = match (new.says_when(), expires_at, held.expires_at) {
            // An expiry that nobody asked for is shortened to the giver's instead of being refused.
            (false, Some(own), Some(limit)) => Some(own.min(limit)),
            (false, None, limit) => limit,
            (true, own, _) | (false, own, None) => own,
        };
        let networks = if networks.is_empty() { held.networks.clone() } else { networks };
        let rate = rate.or(held.rate);
        let wanted = Grant { boundary, permissions, expires_at, networks, rate };
        wanted.within(&held).map_err(|excess| beyond(profile, &excess))?;
        let Grant { networks, rate, .. } = wanted;

        let issuer = giver.user(conn).await?;
        let owner = match profile.keys.owner {
            Owner::User => issuer.as_ref().map(|user| user.id),
            Owner::Org => None,
        };
        let parent = match who {
            Who::Key(holder, _) => Some(holder.key.id),
            Who::Operator | Who::Person(..) => None,
        };
        if let Some(owner) = owner {
            self.room_for_one_more(conn, owner, now).await?;
        }
        Ok(Plan {
            boundary,
            owner,
            issuer,
            parent,
            name,
            description,
            environment,
            scopes,
            roles,
            effective_role,
            rate,
            networks,
            expires_at,
            way,
        })
    }

    /// Refuses a key beyond the profile's limit of working keys for one person (R000_21).
    pub(super) async fn room_for_one_more(
        &self,
        conn: &mut Conn,
        owner: UserId,
        now: Timestamp,
    ) -> Result<(), ServiceError> {
        let Some(most) = self.profile().keys.max_active_per_user else { return Ok(()) };
        if keys::active_families(conn, owner, now).await? < i64::from(most) {
            return Ok(());
        }
        Err(ServiceError::LimitReached(format!(
            "this user holds {most} active keys, which is the limit: revoke one that is not needed"
        )))
    }
}

fn beyond(profile: &Profile, excess: &Excess) -> ServiceError {
    let message = match excess {
        Excess::Permissions(set) => {
            format!(
                "nobody gives more than they hold, and whoever the key is for lacks {}",
                profile.permissions.names(*set).join(", ")
            )
        }
        other => other.to_string(),
    };
    ServiceError::Forbidden(message)
}
