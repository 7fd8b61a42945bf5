//! The rules for keys: shape, issuing, reach, expiry.

use std::time::Duration;

use super::{super::*, shipped};
use crate::domain::{permission::PermissionSet, time::Timestamp};

const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

/// R000_14, R002_01, R001_11.
#[test]
fn keys_look_as_documented() {
    for (name, literal, secret_and_sum, digits) in [
        ("offload", "osk_", 38, false),
        ("cortex", "cx_", 38, true),
        ("trustedoss", "tos_", 32, false),
        ("reducto", "rdk_", 38, false),
    ] {
        let shape = shipped(name).keys.shape;
        let token = shape.generate().unwrap();
        let rest = token.reveal().strip_prefix(literal).unwrap_or_else(|| panic!("{name}"));
        let (public, secret) = rest.split_once('_').unwrap_or_else(|| panic!("{name}"));
        assert_eq!((public.len(), secret.len()), (8, secret_and_sum), "{name}");
        assert_eq!(public.parse::<u32>().is_ok_and(|id| id >= 10_000_000), digits, "{name}: {public}");
        assert!(shape.parse(token.reveal()).is_ok(), "{name}");
    }
    let documented = "tos_a1b2c3d4_eaff8b91d36c5e0a2f1c4d7e8a9b0c2d";
    assert!(shipped("trustedoss").keys.shape.parse(documented).is_ok());
}

/// R000_15, R002_08, R001_11.
#[test]
fn keys_are_carried_as_documented() {
    for (name, _) in Profile::SHIPPED {
        let keys = shipped(name).keys;
        assert!(keys.carried_by(Carrier::ApiKeyHeader) && keys.carried_by(Carrier::Bearer), "{name}");
        assert_eq!(keys.carried_by(Carrier::Bare), name == "cortex", "{name}");
    }
}

/// R002_04, R003_02.
#[test]
fn each_boundary_is_issued_by_the_documented_roles() {
    use BoundaryKind::{Org, Project, Team};
    for (name, role, expected) in [
        ("trustedoss", Some("super_admin"), &[Org, Team, Project][..]),
        ("trustedoss", Some("team_admin"), &[Team, Project]),
        ("trustedoss", Some("developer"), &[Project]),
        ("trustedoss", None, &[]),
        ("offload", Some("viewer"), &[Team]),
        ("offload", Some("admin"), &[Team]),
        ("cortex", None, &[Org]),
        ("cortex", Some("instance_admin"), &[Org]),
        ("reducto", Some("owner"), &[Org]),
        ("reducto", Some("admin"), &[Org]),
        ("reducto", Some("member"), &[]),
    ] {
        let keys = shipped(name).keys;
        let may: Vec<_> = BoundaryKind::ALL.into_iter().filter(|kind| keys.may_issue(*kind, role)).collect();
        assert_eq!(may, expected, "{name} {role:?}");
    }
    for (name, teams, projects) in [
        ("offload", true, false),
        ("cortex", false, false),
        ("trustedoss", true, true),
        ("reducto", false, false),
    ] {
        let profile = shipped(name);
        assert_eq!((profile.has_teams(), profile.has_projects()), (teams, projects), "{name}");
    }
}

#[test]
fn own_keys_and_everybodys_keys_are_told_apart() {
    for (name, everybodys) in [
        ("offload", "security_manager admin"),
        ("cortex", "instance_admin account_admin"),
        ("trustedoss", "team_admin super_admin"),
        ("reducto", "member admin owner"),
    ] {
        let profile = shipped(name);
        for role in &profile.roles {
            let all = everybodys.split_whitespace().any(|one| one == &*role.name);
            let expected = if all { Reach::All } else { Reach::Own };
            assert_eq!(profile.keys.reach(&role.permissions), expected, "{name} {}", role.name);
        }
        assert_eq!(profile.keys.reach(&PermissionSet::EMPTY), Reach::Own, "{name}");
    }
}

/// R003_03, R002_05, and what keys may hold.
#[test]
fn ownership_and_authority_are_as_documented() {
    for (name, owner, authority, missing, role_override, per_user) in [
        ("offload", Owner::User, Authority::Issuer, MissingScopes::Refuse, false, Some(25)),
        ("cortex", Owner::User, Authority::Issuer, MissingScopes::Refuse, false, None),
        ("trustedoss", Owner::User, Authority::Issuer, MissingScopes::Authority, true, None),
        ("reducto", Owner::Org, Authority::Key, MissingScopes::Authority, false, None),
    ] {
        let keys = shipped(name).keys;
        assert_eq!((keys.owner, keys.authority, keys.missing_scopes), (owner, authority, missing), "{name}");
        assert_eq!((keys.role_override, keys.max_active_per_user), (role_override, per_user), "{name}");
        assert_eq!((keys.max_networks, keys.rotation_grace), (50, Duration::from_hours(48)), "{name}");
    }
    let reducto = shipped("reducto");
    assert_eq!(reducto.permissions.names(reducto.keys.grantable), ["api:call", "studio:use", "usage:read"]);
    let trustedoss = shipped("trustedoss");
    assert_eq!(trustedoss.keys.grantable, trustedoss.permissions.all());
}

/// R000_12.
#[test]
fn an_offload_key_lives_ninety_days_and_at_most_a_year() {
    let keys = shipped("offload").keys;
    let after = |days: u32| NOW.after(Days(days).duration());
    let in_days = |days| keys.expiry(NOW, WantedExpiry::In(Days(days)));
    assert_eq!(keys.expiry(NOW, WantedExpiry::Default), Ok(Some(after(90))));
    assert_eq!(in_days(1), Ok(Some(after(1))));
    assert_eq!(in_days(365), Ok(Some(after(365))));
    for wrong in [0, 366, u32::MAX] {
        assert_eq!(in_days(wrong), Err(BadExpiry::Days { min: Days(1), max: Days(365) }), "{wrong}");
    }
    let at = |end| keys.expiry(NOW, WantedExpiry::At(end));
    assert_eq!(at(after(365)), Ok(Some(after(365))));
    assert!(matches!(at(after(365).after(Duration::from_micros(1))), Err(BadExpiry::Days { .. })));
    assert_eq!(at(NOW), Err(BadExpiry::Past));
    assert_eq!(at(NOW.before(Duration::from_secs(1))), Err(BadExpiry::Past));
}

/// R002_06.
#[test]
fn a_trustedoss_key_expires_only_when_asked_to() {
    let keys = shipped("trustedoss").keys;
    assert_eq!(keys.expiry(NOW, WantedExpiry::Default), Ok(None));
    for (days, right) in [(0, false), (1, true), (1825, true), (1826, false)] {
        assert_eq!(keys.expiry(NOW, WantedExpiry::In(Days(days))).is_ok(), right, "{days}");
    }
    assert_eq!(keys.expiry_choices, [30, 90, 180, 365].map(Days));
}
