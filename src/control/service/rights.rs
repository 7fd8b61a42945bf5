//! What a role gives in an organization. What a key may do is `domain::key::standing`, which the request path asks too.

use super::ServiceError;
use crate::{
    domain::{
        id::OrgId,
        permission::PermissionSet,
        profile::{Profile, RoleBook},
        role::CustomRole,
    },
    store::{Conn, roles},
};

/// The roles of one organization, read in the transaction that acts on them.
#[derive(Debug, Clone, Default)]
pub(super) struct Rights(Vec<CustomRole>);

impl Rights {
    /// The organization's own roles; none are read where the profile has none.
    pub(super) async fn of_org(conn: &mut Conn, profile: &Profile, org: OrgId) -> Result<Self, ServiceError> {
        if profile.members.custom_roles.is_none() {
            return Ok(Self::default());
        }
        let roles = roles::list(conn, Some(org)).await?;
        let custom = |role: roles::Role| CustomRole { name: role.name.into(), permissions: role.permissions };
        Ok(Self(roles.into_iter().map(custom).collect()))
    }

    /// Them and the profile's.
    pub(super) fn book<'a>(&'a self, profile: &'a Profile) -> RoleBook<'a> {
        RoleBook::new(profile, &self.0)
    }
}

/// What these roles give together.
pub(super) fn union<'n>(book: &RoleBook<'_>, names: impl IntoIterator<Item = &'n str>) -> PermissionSet {
    let sets = names.into_iter().map(|name| book.permissions(name));
    sets.fold(PermissionSet::EMPTY, |all, set| all.union(&set))
}
