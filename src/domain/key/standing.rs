//! What a key may do at this moment: what it was given, within what its issuer holds right now, within what the keys
//! that minted it may do.
//!
//! The one place where a key's rights are computed; the data plane, the control plane and `explain` all ask here.

use crate::domain::{
    access::{Holder, Networks, RatePerMinute},
    boundary::BoundaryKind,
    key::state::Life,
    permission::PermissionSet,
    profile::{Authority, Known, Owner, RoleBook},
};

/// What a key says of itself.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// Where it acts.
    pub boundary: BoundaryKind,
    /// What it may do; none: whatever its authority gives.
    pub scopes: Option<&'a [String]>,
    /// Roles attached to the key itself.
    pub roles: Option<&'a [String]>,
    /// The role it acts with instead of its issuer's.
    pub effective_role: Option<&'a str>,
    /// Its dates.
    pub life: Life,
    /// From where it may call.
    pub networks: &'a Networks,
    /// How often it may call.
    pub rate: Option<RatePerMinute>,
}

/// Where a person stands at this moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Places<'a> {
    /// Neither deactivated nor removed.
    pub active: bool,
    /// A member of the organization; the role, if one, is held there.
    pub in_org: Option<Option<&'a str>>,
    /// A member of the key's team, likewise.
    pub in_team: Option<Option<&'a str>>,
    /// The roles that the groups they are in carry (R001_07).
    pub groups: &'a [String],
}

/// What it comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// What the key may do.
    pub permissions: PermissionSet,
    /// The role it acts with, if one.
    pub role: Option<Box<str>>,
    /// Whether whoever it depends on is still there.
    pub holder: Holder,
    /// When it ends, or whether it has.
    pub life: Life,
    /// From where it may call.
    pub networks: Networks,
    /// How often it may call.
    pub rate: Option<RatePerMinute>,
}

/// Computes it for a key by itself; [`Standing::under`] is for one that another key minted.
///
/// Names that nobody knows - a scope of an older profile, a role since deleted - give nothing.
pub fn standing(
    book: &RoleBook<'_>,
    given: &Given<'_>,
    owner: Option<&Places<'_>>,
    issuer: Option<&Places<'_>>,
) -> Standing {
    let rules = &book.profile().keys;
    let stands = |person: Option<&Places<'_>>| person.is_some_and(|person| person.stands(given.boundary));
    let holder_stands = match (rules.owner, rules.authority) {
        (Owner::User, Authority::Issuer) => stands(owner) && stands(issuer),
        (Owner::User, Authority::Key) => stands(owner),
        (Owner::Org, Authority::Issuer) => stands(issuer),
        (Owner::Org, Authority::Key) => true,
    };
    let mut standing = Standing {
        permissions: PermissionSet::EMPTY,
        role: None,
        holder: Holder::Gone,
        life: given.life,
        networks: given.networks.clone(),
        rate: given.rate,
    };
    if !holder_stands {
        return standing;
    }
    let (cap, held) = match rules.authority {
        Authority::Key => (rules.grantable, None),
        Authority::Issuer => {
            issuer.map_or((PermissionSet::EMPTY, None), |issuer| issuer.hold(book, given.boundary))
        }
    };
    let acted = given.effective_role.map(|name| book.permissions(name));
    let cap = acted.map_or(cap, |acted| cap.intersection(&acted));
    let own = own(book, given);
    standing.permissions = own.map_or(cap, |own| own.intersection(&cap)).intersection(&rules.grantable);
    standing.role = given.effective_role.or_else(|| only(given.roles)).map(Into::into).or(held);
    standing.holder = Holder::Present;
    standing
}

impl Standing {
    /// What is left of it under the key that minted it: never more than that one has in any respect, and nothing
    /// once that one has ended (R001_02).
    #[must_use]
    pub fn under(mut self, minter: &Self) -> Self {
        self.permissions = self.permissions.intersection(&minter.permissions);
        if minter.holder == Holder::Gone {
            self.end();
        }
        self.life.revoked_at = self.life.revoked_at.or(minter.life.revoked_at);
        self.life.expires_at = earliest(self.life.expires_at, minter.life.ends_at());
        self.networks = self.networks.intersection(&minter.networks);
        self.rate = earliest(self.rate, minter.rate);
        self
    }

    /// Takes everything away: what it stands on is not there.
    pub fn end(&mut self) {
        self.permissions = PermissionSet::EMPTY;
        self.role = None;
        self.holder = Holder::Gone;
    }
}

/// The lower of two limits; none is no limit.
fn earliest<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// What the key holds by its own scopes and roles; none when it has neither.
fn own(book: &RoleBook<'_>, given: &Given<'_>) -> Option<PermissionSet> {
    let vocabulary = &book.profile().permissions;
    let scopes = given.scopes.map(|names| {
        let known = names.iter().filter_map(|name| vocabulary.get(name));
        vocabulary.closure(known.collect())
    });
    let roles = given.roles.map(|names| {
        let sets = names.iter().map(|name| book.permissions_on_key(name));
        sets.fold(PermissionSet::EMPTY, |all, set| all.union(&set))
    });
    match (scopes, roles) {
        (Some(scopes), Some(roles)) => Some(scopes.union(&roles)),
        (one, other) => one.or(other),
    }
}

fn only(names: Option<&[String]>) -> Option<&str> {
    match names {
        Some([name]) => Some(name),
        _ => None,
    }
}

impl Places<'_> {
    /// Whether what has this boundary still stands on this person: for a team or project, a place in that team
    /// or in the organization. Groups give roles to members; they make nobody one.
    pub fn stands(&self, boundary: BoundaryKind) -> bool {
        let in_team = boundary != BoundaryKind::Org && self.in_team.is_some();
        self.active && (self.in_org.is_some() || in_team)
    }

    /// What this person holds inside a boundary, and the name of the role that says most about it: the highest of
    /// the profile's, else the one they hold directly, else the only one there is. A role held in a team says
    /// nothing outside the team.
    pub fn hold(&self, book: &RoleBook<'_>, boundary: BoundaryKind) -> (PermissionSet, Option<Box<str>>) {
        let in_team = self.in_team.flatten().filter(|_| boundary != BoundaryKind::Org);
        let direct: Vec<&str> = [self.in_org.flatten(), in_team].into_iter().flatten().collect();
        let carried = self.groups.iter().map(String::as_str).filter(|name| carries(book, name));
        let mut all: Vec<&str> = direct.iter().copied().chain(carried).collect();
        all.retain(|name| book.find(name).is_some());
        all.dedup();
        let sets = all.iter().map(|name| book.permissions(name));
        let held = sets.fold(PermissionSet::EMPTY, |all, set| all.union(&set));
        let shipped = all.iter().filter_map(|name| match book.find(name) {
            Some(Known::Shipped(role)) => Some((role.rank, *name)),
            _ => None,
        });
        // Of equal ranks the first: a role held in the organization stands before one in a team.
        let highest = shipped.reduce(|best, next| if next.0 > best.0 { next } else { best });
        let named = highest.map(|(_, name)| name).or_else(|| match (direct.as_slice(), all.as_slice()) {
            ([one], _) | ([], [one]) if book.find(one).is_some() => Some(*one),
            _ => None,
        });
        (held, named.map(Into::into))
    }
}

/// Whether a group can give its members this role: one that is held in teams alone, it cannot.
pub fn carries(book: &RoleBook<'_>, name: &str) -> bool {
    book.profile().members.groups && book.find(name).is_some_and(|role| !role.only_in_teams())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{profile::Profile, role::CustomRole, time::Timestamp};

    const NOW: Timestamp = Timestamp::from_micros(1_000_000);
    static EVERYWHERE: std::sync::LazyLock<Networks> = std::sync::LazyLock::new(Networks::default);

    fn given(boundary: BoundaryKind) -> Given<'static> {
        Given {
            boundary,
            scopes: None,
            roles: None,
            effective_role: None,
            life: Life::begin(NOW, None),
            networks: &EVERYWHERE,
            rate: None,
        }
    }

    fn standing(
        profile: &Profile,
        given: &Given<'_>,
        owner: Option<&Places<'_>>,
        issuer: Option<&Places<'_>>,
    ) -> Standing {
        super::standing(&RoleBook::new(profile, &[]), given, owner, issuer)
    }

    fn profile(name: &str) -> Profile {
        Profile::parse(Profile::shipped(name).unwrap(), name).unwrap()
    }

    fn in_team(role: &'static str) -> Places<'static> {
        Places { active: true, in_team: Some(Some(role)), ..Places::default() }
    }

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn a_key_follows_its_issuer_down_and_never_up() {
        let profile = profile("offload");
        let scopes = names(&["scan:read", "scan:trigger"]);
        let given = Given { scopes: Some(&scopes), ..given(BoundaryKind::Team) };
        let held = |role| {
            let person = in_team(role);
            let standing = standing(&profile, &given, Some(&person), Some(&person));
            profile.permissions.names(standing.permissions).join(" ")
        };
        assert_eq!(held("security_analyst"), "scan:read scan:trigger");
        assert_eq!(held("viewer"), "scan:read");
        assert_eq!(held("admin"), "scan:read scan:trigger");
        assert_eq!(held("no-such-role"), "");
    }

    #[test]
    fn a_key_stops_with_its_person() {
        let profile = profile("offload");
        let scopes = names(&["scan:read"]);
        let given = Given { scopes: Some(&scopes), ..given(BoundaryKind::Team) };
        let there = in_team("admin");
        let gone = [None, Some(Places { active: false, ..there }), Some(Places { in_team: None, ..there })];
        for person in &gone {
            let standing = standing(&profile, &given, person.as_ref(), person.as_ref());
            assert_eq!((standing.holder, standing.permissions), (Holder::Gone, PermissionSet::EMPTY));
        }
    }

    #[test]
    fn a_team_role_gives_nothing_to_an_organization_key() {
        let profile = profile("trustedoss");
        let given = given(BoundaryKind::Org);
        let person = Places { in_org: Some(None), ..in_team("team_admin") };
        assert!(standing(&profile, &given, Some(&person), Some(&person)).permissions.is_empty());
    }

    #[test]
    fn an_organizations_key_survives_everybody() {
        let profile = profile("reducto");
        let scopes = names(&["api:call"]);
        let given = Given { scopes: Some(&scopes), ..given(BoundaryKind::Org) };
        let standing = standing(&profile, &given, None, None);
        assert_eq!(standing.holder, Holder::Present);
        assert_eq!(profile.permissions.names(standing.permissions), ["api:call"]);
    }

    #[test]
    fn an_override_only_lowers() {
        let profile = profile("trustedoss");
        let person = in_team("developer");
        let with = |effective_role| {
            let given = Given { effective_role, ..given(BoundaryKind::Team) };
            standing(&profile, &given, Some(&person), Some(&person)).permissions
        };
        assert!(with(Some("super_admin")).is_subset_of(&with(None)));
        assert!(with(Some("no-such-role")).is_empty());
    }

    fn custom(name: &str, permissions: &[&str]) -> CustomRole {
        CustomRole { name: name.into(), permissions: names(permissions) }
    }

    /// R001_07: what groups carry counts for members, and only for members.
    #[test]
    fn groups_add_to_a_membership_and_do_not_replace_it() {
        let profile = profile("cortex");
        let own = [custom("Reader", &["cli_tools:view"]), custom("Minter", &["public_api:edit"])];
        let book = RoleBook::new(&profile, &own);
        let groups = names(&["Reader", "Minter", "Gone"]);
        let scopes = names(&["cli_tools:edit", "cli_tools:view", "api_key:create"]);
        let given = Given { scopes: Some(&scopes), ..given(BoundaryKind::Org) };
        let person = Places { active: true, in_org: Some(None), in_team: None, groups: &groups };
        let held = super::standing(&book, &given, Some(&person), Some(&person));
        assert_eq!(profile.permissions.names(held.permissions), ["api_key:create", "cli_tools:view"]);
        assert_eq!(held.role, None, "no one role says it");
        let outside = Places { in_org: None, ..person };
        assert_eq!(super::standing(&book, &given, Some(&outside), Some(&outside)).holder, Holder::Gone);
    }

    /// R001_02: a minted key is never more than its minter, whatever became of that one since.
    #[test]
    fn a_minted_key_shrinks_with_its_minter() {
        let profile = profile("cortex");
        let person = Places { active: true, in_org: Some(Some("instance_admin")), ..Places::default() };
        let (narrow, wide) = (names(&["cli_tools:view"]), names(&["cli_tools:edit", "cli_tools:view"]));
        let rate = |number| RatePerMinute::new(number).ok();
        let networks = Networks::parse(&["10.0.0.0/8"]).unwrap();
        let minter =
            Given { scopes: Some(&narrow), rate: rate(5), networks: &networks, ..given(BoundaryKind::Org) };
        let child = Given { scopes: Some(&wide), rate: rate(9), ..given(BoundaryKind::Org) };
        let of = |given| standing(&profile, given, Some(&person), Some(&person));
        let left = of(&child).under(&of(&minter));
        assert_eq!(profile.permissions.names(left.permissions), ["cli_tools:view"]);
        assert_eq!((left.rate, &left.networks, left.life.ends_at()), (rate(5), &networks, None));
        let ended = Given { life: Life { grace_until: Some(NOW), ..minter.life }, ..minter };
        assert_eq!(of(&child).under(&of(&ended)).life.ends_at(), Some(NOW));
        let revoked = Given { life: Life { revoked_at: Some(NOW), ..minter.life }, ..minter };
        assert_eq!(of(&child).under(&of(&revoked)).life.revoked_at, Some(NOW));
        let orphan = of(&child).under(&standing(&profile, &minter, None, None));
        assert_eq!((orphan.holder, orphan.permissions), (Holder::Gone, PermissionSet::EMPTY));
    }
}
