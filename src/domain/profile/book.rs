//! The roles of one organization: those that the profile ships, and its own (R001_06).

use super::Profile;
use crate::domain::{
    permission::PermissionSet,
    role::{CustomRole, Role},
};

/// What a role's name means in one organization.
#[derive(Debug, Clone, Copy)]
pub struct RoleBook<'a> {
    profile: &'a Profile,
    own: &'a [CustomRole],
}

/// A role that was found.
#[derive(Debug, Clone, Copy)]
pub enum Known<'a> {
    /// One of the profile's.
    Shipped(&'a Role),
    /// One of the organization's.
    Custom(&'a CustomRole),
}

impl<'a> RoleBook<'a> {
    /// The profile's roles and these.
    pub const fn new(profile: &'a Profile, own: &'a [CustomRole]) -> Self {
        Self { profile, own }
    }

    /// The rules that the roles stand under.
    pub const fn profile(&self) -> &'a Profile {
        self.profile
    }

    /// The role of this exact name. The profile's come first: none of an organization's can take the place of one.
    pub fn find(&self, name: &str) -> Option<Known<'a>> {
        let shipped = self.profile.roles.get(name).map(Known::Shipped);
        shipped.or_else(|| self.own.iter().find(|role| *role.name == *name).map(Known::Custom))
    }

    /// What the role gives to a person, implications included; nothing when there is none of this name.
    pub fn permissions(&self, name: &str) -> PermissionSet {
        match self.find(name) {
            Some(Known::Shipped(role)) => role.permissions,
            Some(Known::Custom(role)) => self.of_custom(&role.permissions),
            None => PermissionSet::EMPTY,
        }
    }

    /// What a key gains by carrying the role.
    pub fn permissions_on_key(&self, name: &str) -> PermissionSet {
        match self.find(name) {
            Some(Known::Custom(_)) if !self.profile.members.custom_roles_on_keys => PermissionSet::EMPTY,
            _ => self.permissions(name),
        }
    }

    /// What a custom role with these permissions gives. What the profile no longer knows, or no longer allows in
    /// custom roles, gives nothing.
    pub fn of_custom<T: AsRef<str>>(&self, names: &[T]) -> PermissionSet {
        let vocabulary = &self.profile.permissions;
        let Some(allowed) = &self.profile.members.custom_roles else { return PermissionSet::EMPTY };
        let known: PermissionSet = names.iter().filter_map(|name| vocabulary.get(name.as_ref())).collect();
        vocabulary.closure(known.intersection(allowed))
    }
}

impl Known<'_> {
    /// Whether it is held in a team and nowhere else.
    pub fn only_in_teams(&self) -> bool {
        matches!(self, Self::Shipped(role) if role.level == crate::domain::role::Level::Team)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn custom(name: &str, permissions: &[&str]) -> CustomRole {
        let permissions = permissions.iter().map(|&name| name.to_owned()).collect();
        CustomRole { name: name.into(), permissions }
    }

    #[test]
    fn a_custom_role_gives_what_the_profile_allows_and_nothing_else() {
        let profile = Profile::parse(Profile::shipped("cortex").unwrap(), "cortex").unwrap();
        let own = [
            custom("Writer", &["cli_tools:edit", "org:delete", "no:such"]),
            custom("instance_admin", &["cli_tools:view"]),
        ];
        let book = RoleBook::new(&profile, &own);
        let names = |set| profile.permissions.names(set).join(" ");
        assert_eq!(names(book.permissions("Writer")), "cli_tools:edit cli_tools:view");
        assert_eq!(
            book.permissions("instance_admin"),
            profile.roles.get("instance_admin").unwrap().permissions
        );
        assert!(book.permissions("writer").is_empty(), "names are exact");
    }

    #[test]
    fn without_custom_roles_in_the_profile_they_give_nothing() {
        let profile = Profile::parse(Profile::shipped("offload").unwrap(), "offload").unwrap();
        let own = [custom("Writer", &["scan:read"])];
        assert!(RoleBook::new(&profile, &own).permissions("Writer").is_empty());
    }
}
