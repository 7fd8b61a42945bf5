//! What a person may do at this moment, where they act.

use crate::domain::{
    access::Holder, boundary::BoundaryKind, key::standing::Places, permission::PermissionSet,
    profile::RoleBook,
};

/// What it comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonStanding {
    /// What they may do.
    pub permissions: PermissionSet,
    /// The role that says most about it, if one does.
    pub role: Option<Box<str>>,
    /// Whether they may act there at all.
    pub holder: Holder,
}

/// Computes it. A person acts in a team they belong to, or in an organization on which they hold a role; who belongs
/// there no longer has nothing.
pub fn standing(book: &RoleBook<'_>, place: BoundaryKind, person: &Places<'_>) -> PersonStanding {
    if !person.stands(place) {
        return PersonStanding { permissions: PermissionSet::EMPTY, role: None, holder: Holder::Gone };
    }
    let (permissions, role) = person.hold(book, place);
    PersonStanding { permissions, role, holder: Holder::Present }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::profile::Profile;

    fn profile(name: &str) -> Profile {
        Profile::parse(Profile::shipped(name).unwrap(), name).unwrap()
    }

    #[test]
    fn a_person_acts_where_they_belong_and_nowhere_else() {
        let profile = profile("offload");
        let book = RoleBook::new(&profile, &[]);
        let viewer = Places { active: true, in_team: Some(Some("viewer")), ..Places::default() };
        let in_team = standing(&book, BoundaryKind::Team, &viewer);
        assert_eq!(in_team.permissions, profile.roles.get("viewer").unwrap().permissions);
        assert_eq!(in_team.role.as_deref(), Some("viewer"));
        assert_eq!(standing(&book, BoundaryKind::Org, &viewer).holder, Holder::Gone);
        for gone in [Places { active: false, ..viewer }, Places { in_team: None, ..viewer }] {
            let nothing = standing(&book, BoundaryKind::Team, &gone);
            assert_eq!((nothing.holder, nothing.permissions), (Holder::Gone, PermissionSet::EMPTY));
        }
    }

    #[test]
    fn who_holds_a_role_on_the_organization_acts_in_any_team_of_it() {
        let profile = profile("trustedoss");
        let book = RoleBook::new(&profile, &[]);
        let root = Places { active: true, in_org: Some(Some("super_admin")), ..Places::default() };
        for place in [BoundaryKind::Org, BoundaryKind::Team] {
            assert_eq!(standing(&book, place, &root).role.as_deref(), Some("super_admin"));
        }
    }
}
