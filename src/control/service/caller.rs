//! Who asks for a use case, and what they hold at this moment.

use std::{collections::BTreeMap, net::IpAddr};

use super::{
    error::ServiceError,
    rights::{self, Rights},
};
use crate::{
    domain::{
        access::Holder,
        audit::{Actor, ActorKind},
        boundary::Boundary,
        id::{KeyId, OrgId, TeamId, UserId},
        key::{
            grant::Grant,
            standing::{Standing, carries},
        },
        permission::{Permission, PermissionSet},
        profile::{Profile, Reach},
        role::Role,
        time::Timestamp,
    },
    store::{Conn, groups, keys, keys::Key, memberships, users, users::User},
};

/// Who asks. What they may do is not part of it: that is read when it is needed.
#[derive(Debug, Clone)]
pub enum Caller {
    /// Whoever runs the gateway, on its own machine: bound by the rules of the platform, by no role.
    Operator,
    /// Somebody who has shown no credential. What they may do at all proves itself by what they send; nothing that
    /// needs a right can be done by them.
    Anonymous {
        /// From where.
        ip: Option<IpAddr>,
    },
    /// A person who has signed in.
    User {
        /// Who.
        id: UserId,
        /// From where.
        ip: Option<IpAddr>,
        /// The team they act in, to which they see and touch nothing beside (R000_01); none: wherever they hold a
        /// role.
        team: Option<TeamId>,
    },
    /// An API key that has been proved.
    Key {
        /// Which.
        id: KeyId,
        /// From where.
        ip: Option<IpAddr>,
    },
}

/// A caller with what they hold, read in the transaction that acts on it.
#[derive(Debug)]
pub(super) enum Who {
    Operator,
    Person(Box<Person>, Option<IpAddr>),
    Key(Box<KeyHolder>, Option<IpAddr>),
}

/// A person with their roles.
#[derive(Debug, Clone)]
pub(super) struct Person {
    pub(super) user: User,
    pub(super) in_org: Option<Held>,
    /// Where they act, that is: in one of their teams, or in all of them.
    pub(super) in_teams: BTreeMap<TeamId, Held>,
    /// The only team they act in; none: no such limit.
    pub(super) acts_in: Option<TeamId>,
    /// All teams they belong to: that these exist they may know wherever they act.
    pub(super) belongs_to: Vec<TeamId>,
    /// The names of the groups they are in.
    pub(super) groups: Vec<String>,
    /// What those carry together, for the whole organization.
    carried: Carried,
}

/// What groups give to a member.
#[derive(Debug, Clone, Default)]
struct Carried {
    roles: Vec<String>,
    permissions: PermissionSet,
}

/// A role with what it gives.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) role: Option<String>,
    pub(super) permissions: PermissionSet,
}

/// A key that acts for itself.
#[derive(Debug)]
pub(super) struct KeyHolder {
    pub(super) key: Key,
    /// What it may do at this moment, and within which limits.
    pub(super) standing: Standing,
    /// The roles of the person whose authority it stands on: what those may see and give, it may.
    pub(super) roles: Vec<String>,
    /// How many keys stand above it, each minted by the one before.
    pub(super) depth: usize,
}

impl Who {
    pub(super) async fn read(
        conn: &mut Conn,
        profile: &Profile,
        caller: &Caller,
        now: Timestamp,
    ) -> Result<Self, ServiceError> {
        match caller {
            Caller::Operator => Ok(Self::Operator),
            Caller::Anonymous { .. } => Err(ServiceError::Forbidden("nobody has signed in".into())),
            Caller::User { id, ip, team } => {
                let user = users::find(conn, *id).await?.filter(User::active);
                let user = user.ok_or_else(|| ServiceError::Forbidden("this account may not act".into()))?;
                let mut person = Person::read(conn, profile, user).await?;
                if let Some(team) = team {
                    person.act_in(*team);
                }
                Ok(Self::Person(Box::new(person), *ip))
            }
            Caller::Key { id, ip } => {
                let held = keys::find(conn, *id).await?.ok_or_else(|| gone("key"))?;
                let standing = held.standing(profile);
                if !standing.life.status(now).works() || standing.holder == Holder::Gone {
                    return Err(gone("key"));
                }
                let issuer = held.issuer.as_ref().filter(|issuer| issuer.active);
                let roles = issuer.map(|issuer| issuer.roles().map(str::to_owned).collect());
                let (roles, depth) = (roles.unwrap_or_default(), held.minters.len());
                Ok(Self::Key(Box::new(KeyHolder { key: held.key, standing, roles, depth }), *ip))
            }
        }
    }

    pub(super) fn actor(&self) -> Actor {
        match self {
            Self::Operator => Actor { kind: ActorKind::Operator, name: "operator".into() },
            Self::Person(person, _) => Actor { kind: ActorKind::User, name: person.user.email.clone() },
            Self::Key(holder, _) => Actor { kind: ActorKind::ApiKey, name: holder.key.prefix.clone() },
        }
    }

    pub(super) const fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Operator => None,
            Self::Person(_, ip) | Self::Key(_, ip) => *ip,
        }
    }

    /// The only organization they can see; none: all of them.
    pub(super) const fn org(&self) -> Option<OrgId> {
        match self {
            Self::Operator => None,
            Self::Person(person, _) => Some(person.user.org_id),
            Self::Key(holder, _) => Some(holder.key.boundary.org()),
        }
    }

    /// The team that everything they see lies in, if they act in one and hold nothing on the organization.
    pub(super) fn only_team(&self) -> Option<TeamId> {
        match self {
            Self::Operator => None,
            Self::Person(person, _) => person.acts_in.filter(|_| person.in_org.is_none()),
            Self::Key(holder, _) => holder.key.boundary.team(),
        }
    }

    /// The team that they act in, whatever else they hold.
    pub(super) fn acting_team(&self) -> Option<TeamId> {
        match self {
            Self::Operator => None,
            Self::Person(person, _) => person.acts_in,
            Self::Key(holder, _) => holder.key.boundary.team(),
        }
    }

    /// Whether they can see anything of the organization.
    pub(super) fn sees(&self, org: OrgId) -> bool {
        self.org().is_none_or(|own| own == org)
    }

    /// The person they are, or whose key they are.
    pub(super) fn user(&self) -> Option<UserId> {
        match self {
            Self::Operator => None,
            Self::Person(person, _) => Some(person.user.id),
            Self::Key(holder, _) => holder.key.owner,
        }
    }

    /// What they may do in `boundary`; none: everything.
    fn permissions(&self, boundary: &Boundary) -> Option<PermissionSet> {
        match self {
            Self::Operator => None,
            Self::Person(person, _) => Some(person.permissions(boundary)),
            Self::Key(holder, _) if holder.key.boundary.covers(boundary) => Some(holder.standing.permissions),
            Self::Key(..) => Some(PermissionSet::EMPTY),
        }
    }

    /// Whether they hold `permission` in `boundary`.
    pub(super) fn may(&self, permission: Permission, boundary: &Boundary) -> bool {
        self.permissions(boundary).is_none_or(|held| held.contains(permission))
    }

    /// Refuses those who do not hold `permission` in `boundary`.
    pub(super) fn require(
        &self,
        profile: &Profile,
        permission: Permission,
        boundary: &Boundary,
    ) -> Result<(), ServiceError> {
        if self.may(permission, boundary) {
            return Ok(());
        }
        let name = profile.permissions.name(permission);
        Err(ServiceError::Lacks(name.to_owned()))
    }

    /// Whether they see and manage keys that are not their own in `boundary`.
    pub(super) fn reaches_others(&self, profile: &Profile, boundary: &Boundary) -> bool {
        self.permissions(boundary).is_none_or(|held| profile.keys.reach(&held) == Reach::All)
    }

    /// Whether they see and may give this role of the profile in `boundary` (R001_08).
    pub(super) fn sees_role(&self, role: &Role, boundary: &Boundary) -> bool {
        match self {
            Self::Operator => true,
            Self::Person(person, _) => person.sees_role(role, boundary),
            Self::Key(holder, _) => holder.sees_role(role),
        }
    }

    /// Everything they could give away in `boundary`; none: whatever the platform has.
    pub(super) fn grant(&self, boundary: &Boundary) -> Option<Grant> {
        match self {
            Self::Operator => None,
            Self::Person(person, _) => Some(person.grant(boundary)),
            Self::Key(holder, _) => Some(holder.grant()),
        }
    }
}

impl KeyHolder {
    /// What the person behind it sees, it sees.
    pub(super) fn sees_role(&self, role: &Role) -> bool {
        role.is_visible_to(None) || self.roles.iter().any(|own| role.is_visible_to(Some(own)))
    }

    /// Everything that the key could give away.
    pub(super) fn grant(&self) -> Grant {
        Grant {
            boundary: self.key.boundary,
            permissions: self.standing.permissions,
            expires_at: self.standing.life.ends_at(),
            networks: self.standing.networks.clone(),
            rate: self.standing.rate,
        }
    }

    /// The person whose authority a key that it mints stands on.
    pub(super) fn issuer(&self) -> Option<UserId> {
        self.key.created_by.or(self.key.owner)
    }
}

impl Person {
    pub(super) async fn read(conn: &mut Conn, profile: &Profile, user: User) -> Result<Self, ServiceError> {
        let rights = Rights::of_org(conn, profile, user.org_id).await?;
        let book = rights.book(profile);
        let mut person = Self {
            user,
            in_org: None,
            in_teams: BTreeMap::new(),
            acts_in: None,
            belongs_to: Vec::new(),
            groups: Vec::new(),
            carried: Carried::default(),
        };
        for membership in memberships::of_user(conn, person.user.id).await? {
            let permissions = rights::union(&book, membership.role.as_deref());
            let held = Held { role: membership.role, permissions };
            match membership.team_id {
                Some(team) => drop(person.in_teams.insert(team, held)),
                None => person.in_org = Some(held),
            }
        }
        person.belongs_to = person.in_teams.keys().copied().collect();
        // Groups give roles to members; they make nobody one.
        let member = person.in_org.is_some() || !person.in_teams.is_empty();
        if member && profile.members.groups {
            for group in groups::of_user(conn, person.user.id).await? {
                person.groups.push(group.name);
                person.carried.roles.extend(group.roles.into_iter().filter(|name| carries(&book, name)));
            }
            person.carried.permissions =
                rights::union(&book, person.carried.roles.iter().map(String::as_str));
        }
        Ok(person)
    }

    /// From now on they act in this team alone, and as who they are there.
    fn act_in(&mut self, team: TeamId) {
        self.acts_in = Some(team);
        self.in_teams.retain(|held, _| *held == team);
        if self.in_org.is_none() && self.in_teams.is_empty() {
            self.groups.clear();
            self.carried = Carried::default();
        }
    }

    /// Whether something that lies in this team, or in none, lies where they act.
    pub(super) fn acts_at(&self, team: Option<TeamId>) -> bool {
        team.is_none() || self.acts_in.is_none() || self.acts_in == team
    }

    /// Whether they see a team and what is in it: those with a role on the organization each, others their own - and
    /// who acts in one, that one (R000_01).
    pub(super) fn sees_team(&self, org: OrgId, team: TeamId) -> bool {
        org == self.user.org_id
            && self.acts_at(Some(team))
            && (self.in_org.is_some() || self.in_teams.contains_key(&team))
    }

    /// What their roles and groups give them in `boundary`: the organization's everywhere, a team's in that team.
    pub(super) fn permissions(&self, boundary: &Boundary) -> PermissionSet {
        if boundary.org() != self.user.org_id || !self.acts_at(boundary.team()) {
            return PermissionSet::EMPTY;
        }
        let in_org = self.in_org.as_ref().map(|held| held.permissions).unwrap_or_default();
        let team = boundary.team().and_then(|team| self.in_teams.get(&team));
        let in_team = team.map(|held| held.permissions).unwrap_or_default();
        in_org.union(&in_team).union(&self.carried.permissions)
    }

    /// Whether they see and may give this role of the profile.
    pub(super) fn sees_role(&self, role: &Role, boundary: &Boundary) -> bool {
        role.is_visible_to(None) || self.roles(boundary).any(|own| role.is_visible_to(Some(own)))
    }

    /// The roles that count in `boundary`, held directly or carried by groups.
    pub(super) fn roles(&self, boundary: &Boundary) -> impl Iterator<Item = &str> {
        let here = self.acts_at(boundary.team());
        let team = boundary.team().and_then(|team| self.in_teams.get(&team));
        let direct = self.in_org.iter().chain(team).filter_map(|held| held.role.as_deref());
        direct.chain(self.carried.roles.iter().map(String::as_str)).filter(move |_| here)
    }

    /// Everything they could give away in `boundary`.
    pub(super) fn grant(&self, boundary: &Boundary) -> Grant {
        Grant {
            boundary: *boundary,
            permissions: self.permissions(boundary),
            expires_at: None,
            networks: crate::domain::access::Networks::default(),
            rate: None,
        }
    }
}

fn gone(what: &str) -> ServiceError {
    ServiceError::Forbidden(format!("this {what} may not act"))
}
