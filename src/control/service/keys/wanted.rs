//! What a new key is asked to hold, checked against what keys may hold at all.

use super::{NewKey, giver::Giver};
use crate::{
    control::service::ServiceError,
    domain::{
        boundary::Boundary,
        permission::PermissionSet,
        profile::{Known, MissingScopes, Profile, RoleBook},
        role::Role,
    },
};

type Wanted = (Option<Vec<String>>, Option<Vec<String>>);

/// The scopes and roles that the request asks for, all of them known and such as keys may hold.
pub(super) fn wanted_rights(
    book: &RoleBook<'_>,
    giver: &Giver<'_>,
    boundary: &Boundary,
    new: &NewKey,
) -> Result<Wanted, ServiceError> {
    let profile = book.profile();
    let said = [new.scopes.is_some(), new.preset.is_some(), new.roles.is_some()];
    if said.into_iter().filter(|said| *said).count() > 1 {
        return Err(ServiceError::field("scopes", "give one of scopes, preset and roles"));
    }
    if let Some(name) = &new.preset {
        let preset = profile.presets.get(name).ok_or_else(|| {
            let known: Vec<_> = profile.presets.iter().map(|preset| &*preset.name).collect();
            ServiceError::field("preset", format!("expected one of {}", known.join(", ")))
        })?;
        return Ok((Some(names(profile, preset.scopes)), None));
    }
    if let Some(roles) = &new.roles {
        for name in roles {
            attachable(book, giver, boundary, name)?;
        }
        if roles.is_empty() {
            return Err(ServiceError::field("roles", "name at least one role"));
        }
        let mut roles = roles.clone();
        roles.sort_unstable();
        roles.dedup();
        return Ok((None, Some(roles)));
    }
    let Some(scopes) = &new.scopes else {
        return match profile.keys.missing_scopes {
            MissingScopes::Authority => Ok((None, None)),
            MissingScopes::Refuse => {
                Err(ServiceError::field("scopes", "say what the key may do: scopes, a preset, or roles"))
            }
        };
    };
    if scopes.is_empty() {
        return Err(ServiceError::field("scopes", "name at least one scope"));
    }
    if scopes.len() == 1 && scopes[0] == "*" {
        return match profile.keys.missing_scopes {
            MissingScopes::Authority => Ok((None, None)),
            MissingScopes::Refuse => Ok((Some(names(profile, profile.keys.grantable)), None)),
        };
    }
    Ok((Some(grantable(profile, scopes)?), None))
}

/// These scopes, sorted and once each, if keys may hold them.
pub(super) fn grantable(profile: &Profile, scopes: &[String]) -> Result<Vec<String>, ServiceError> {
    let set = profile.permissions.parse_set(scopes);
    let set = set.map_err(|unknown| {
        let known = profile.permissions.names(profile.keys.grantable).join(" ");
        ServiceError::field("scopes", format!("{unknown}; keys may hold {known}"))
    })?;
    let beyond = set.difference(&profile.keys.grantable);
    if beyond.is_empty() {
        return Ok(names(profile, set));
    }
    let list = profile.permissions.names(beyond).join(", ");
    Err(ServiceError::field("scopes", format!("keys cannot hold {list}")))
}

/// A role that this giver may attach to a key: one of the organization's own where the profile allows those, or one
/// that the profile made for keys and lets them see (R001_08).
fn attachable(
    book: &RoleBook<'_>,
    giver: &Giver<'_>,
    boundary: &Boundary,
    name: &str,
) -> Result<(), ServiceError> {
    let (profile, custom) = (book.profile(), book.profile().members.custom_roles_on_keys);
    let visible = |role: &Role| match giver {
        Giver::Operator => true,
        Giver::Person(person) => person.sees_role(role, boundary),
        Giver::Key(holder) => holder.sees_role(role),
    };
    let attachable = |role: &&Role| role.on_keys && visible(role);
    let fits = match book.find(name) {
        Some(Known::Shipped(role)) => attachable(&role),
        Some(Known::Custom(_)) => custom,
        None => false,
    };
    if fits {
        return Ok(());
    }
    let known = profile.roles.iter().filter(attachable).map(|role| format!("`{}`", role.name));
    let known: Vec<_> = known.chain(custom.then(|| "a custom role".to_owned())).collect();
    let message = if known.is_empty() {
        "there is no role that you may attach to a key".to_owned()
    } else {
        format!("`{name}` is none that you may attach to a key: expected {}", known.join(", "))
    };
    Err(ServiceError::field("roles", message))
}

/// The lower role that a key acts with (R002_17).
pub(super) fn override_role(
    profile: &Profile,
    giver: &Giver<'_>,
    boundary: &Boundary,
    name: &str,
) -> Result<String, ServiceError> {
    if !profile.keys.role_override {
        return Err(ServiceError::field("effective_role", "this profile has no roles for single keys"));
    }
    let role = profile.roles.get(name).ok_or_else(|| {
        let known: Vec<_> = profile.roles.iter().map(|role| &*role.name).collect();
        ServiceError::field("effective_role", format!("expected one of {}", known.join(", ")))
    })?;
    let at_most = match giver {
        Giver::Operator => true,
        Giver::Person(person) => {
            let mut own = person.roles(boundary).filter_map(|own| profile.roles.get(own));
            own.any(|own| role.within(own))
        }
        Giver::Key(_) => role.permissions.is_subset_of(&giver.permissions(profile, boundary)),
    };
    if at_most {
        Ok(name.to_owned())
    } else {
        Err(ServiceError::Forbidden(format!("{name} is above your own role")))
    }
}

pub(super) fn closure(profile: &Profile, names: &[String]) -> PermissionSet {
    let set: PermissionSet = names.iter().filter_map(|name| profile.permissions.get(name)).collect();
    profile.permissions.closure(set)
}

pub(super) fn union_of_roles(book: &RoleBook<'_>, roles: &[String]) -> PermissionSet {
    roles.iter().fold(PermissionSet::EMPTY, |set, role| set.union(&book.permissions_on_key(role)))
}

pub(super) fn names(profile: &Profile, set: PermissionSet) -> Vec<String> {
    profile.permissions.names(set).into_iter().map(str::to_owned).collect()
}
