//! Examples that are true for the profile at hand.

use crate::domain::{boundary::BoundaryKind, profile::Profile};

/// A permission to read and one to do more, preferably to the same thing, that keys may hold.
pub(super) fn permissions(profile: &Profile) -> (&str, &str) {
    let names = profile.permissions.names(profile.keys.grantable);
    let first = names.first().copied().unwrap_or("read");
    let of_backend = || names.iter().filter(|name| !CONTROL.contains(&noun(name)));
    let read = of_backend()
        .find(|name| name.ends_with(":read") || name.ends_with(":view"))
        .or_else(|| of_backend().next());
    let read = read.copied().unwrap_or(first);
    let more = names.iter().find(|name| **name != read && noun(name) == noun(read));
    (read, more.copied().unwrap_or(read))
}

/// The command that issues a first key to the administrator.
pub(super) fn of_key(profile: &Profile, email: &str, config: &str) -> String {
    let (read, _) = permissions(profile);
    // A team is there; a project is still to be made.
    let team = profile.has_teams() && profile.keys.boundaries.contains(&BoundaryKind::Team);
    let place = if team { "--scope team --team-id default" } else { "--scope org" };
    format!("latchgate keys create --config {config} --user {email} --name first {place} --scopes {read}")
}

fn noun(name: &str) -> &str {
    name.split(':').next().unwrap_or(name)
}

/// Nouns of the control plane: no example for a backend.
const CONTROL: [&str; 9] = ["org", "team", "project", "member", "role", "group", "api_key", "audit", "usage"];
