//! The decision: one pure function that every door of the gateway asks, so that they cannot disagree.

use std::net::IpAddr;

use super::{Denied, Holder, Method, Permit, Principal};
use crate::domain::{
    boundary::Boundary, id::ProjectId, key::state::Status, permission::Permission, time::Timestamp,
};

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Action<'a> {
    /// Whether anybody may, without a credential.
    pub public: bool,
    /// The permission it needs; none: any valid credential will do.
    pub permission: Option<Permission>,
    /// What it is done to.
    pub target: Target<'a>,
}

/// The objects that a request's path names, as text from the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Target<'a> {
    /// A team's id.
    pub team: Option<&'a str>,
    /// A project's id.
    pub project: Option<&'a str>,
}

/// May this caller do this, from this address, now?
///
/// The order is that of the documentation: state, address, boundary, permission (R002_11, R002_03, R000_17,
/// R000_22). The address and the boundary are judged before the permission, so that somebody with a stolen key
/// learns as little as possible of what it could do elsewhere.
#[inline]
pub fn decide(
    caller: Option<&Principal>,
    action: &Action<'_>,
    client: Option<IpAddr>,
    now: Timestamp,
) -> Result<Permit, Denied> {
    if action.public {
        return Ok(Permit::new());
    }
    let caller = caller.ok_or(Denied::Missing)?;
    match caller.life.status(now) {
        Status::Active | Status::Rotating => {}
        Status::Expired => return Err(ended(caller, Denied::Expired)),
        Status::Revoked => return Err(ended(caller, Denied::Revoked)),
    }
    if caller.holder == Holder::Gone {
        return Err(ended(caller, Denied::Revoked));
    }
    if caller.is_idle(now) {
        return Err(Denied::SessionEnded);
    }
    if !caller.networks.admit(client) {
        return Err(Denied::Address);
    }
    if !reaches(caller, action.target) {
        return Err(Denied::Boundary);
    }
    match action.permission {
        Some(needed) if !caller.permissions.contains(needed) => Err(Denied::Scope(needed)),
        _ => Ok(Permit::new()),
    }
}

/// However a session ended, the answer is one: sign in again.
#[cold]
const fn ended(caller: &Principal, how: Denied) -> Denied {
    match caller.method {
        Method::Session => Denied::SessionEnded,
        _ => how,
    }
}

/// Whether the objects in the path lie inside the caller's boundary. Text that is no id, or names nothing that
/// the caller is bound to, lies outside.
fn reaches(caller: &Principal, target: Target<'_>) -> bool {
    let team_fits = |team| target.team.is_none_or(|text| text.parse() == Ok(team));
    match caller.boundary {
        Boundary::Org(_) => true,
        Boundary::Team(_, team) => {
            team_fits(team)
                && target.project.is_none_or(|text| {
                    text.parse().is_ok_and(|id: ProjectId| caller.team_projects.binary_search(&id).is_ok())
                })
        }
        Boundary::Project(_, team, project) => {
            team_fits(team) && target.project.is_none_or(|text| text.parse() == Ok(project))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::domain::{
        access::{Method, Networks, Rights},
        id::{OrgId, TeamId},
        key::state::Life,
        permission::PermissionSet,
    };

    const NOW: Timestamp = Timestamp::from_micros(1_000_000_000);

    fn anybody() -> Principal {
        Principal {
            method: Method::ApiKey,
            credential: "a1b2c3d4".into(),
            life: Life::begin(NOW, None).into(),
            activity: None,
            rights: Arc::new(rights()),
        }
    }

    fn rights() -> Rights {
        Rights {
            boundary: Boundary::Org(OrgId::new(NOW)),
            team_projects: [].into(),
            user: None,
            role: None,
            permissions: PermissionSet::only(Permission::new(3)),
            holder: Holder::Present,
            networks: Networks::default(),
        }
    }

    fn with(rights: Rights) -> Principal {
        Principal { rights: Arc::new(rights), ..anybody() }
    }

    fn needs(permission: Option<u8>) -> Action<'static> {
        Action { public: false, permission: permission.map(Permission::new), target: Target::default() }
    }

    fn judge(caller: &Principal, action: &Action<'_>) -> Result<(), Denied> {
        decide(Some(caller), action, Some([203, 0, 113, 5].into()), NOW).map(|_| ())
    }

    #[test]
    fn nobody_passes_only_where_anybody_may() {
        assert_eq!(decide(None, &needs(None), None, NOW).unwrap_err(), Denied::Missing);
        assert!(decide(None, &Action { public: true, ..needs(Some(3)) }, None, NOW).is_ok());
    }

    #[test]
    fn exactly_the_needed_permission_passes() {
        assert_eq!(judge(&anybody(), &needs(Some(3))), Ok(()));
        assert_eq!(judge(&anybody(), &needs(None)), Ok(()));
        assert_eq!(judge(&anybody(), &needs(Some(4))), Err(Denied::Scope(Permission::new(4))));
    }

    #[test]
    fn ends_are_ends() {
        let caller = |life: Life| Principal { life: life.into(), ..anybody() };
        let alive = Life::begin(NOW, None);
        let expired = Life { expires_at: Some(NOW), ..alive };
        let revoked = alive.revoke(NOW).unwrap();
        let out_of_grace = Life { grace_until: Some(NOW), ..alive };
        let in_grace = Life { grace_until: Some(NOW.after(Duration::from_micros(1))), ..alive };
        assert_eq!(judge(&caller(expired), &needs(None)), Err(Denied::Expired));
        assert_eq!(judge(&caller(revoked), &needs(None)), Err(Denied::Revoked));
        assert_eq!(judge(&caller(out_of_grace), &needs(None)), Err(Denied::Expired));
        assert_eq!(judge(&caller(in_grace), &needs(None)), Ok(()));
        let gone = with(Rights { holder: Holder::Gone, ..rights() });
        assert_eq!(judge(&gone, &needs(None)), Err(Denied::Revoked));
    }

    #[test]
    fn the_address_is_judged_before_what_the_key_could_do() {
        let networks = Networks::parse(&["198.51.100.0/24"]).unwrap();
        let caller = with(Rights { networks, ..rights() });
        assert_eq!(judge(&caller, &needs(Some(4))), Err(Denied::Address));
    }

    #[test]
    fn a_bound_caller_stays_inside_its_team_and_project() {
        let (org, team, project) = (OrgId::new(NOW), TeamId::new(NOW), ProjectId::new(NOW));
        let (other_team, other_project) = (TeamId::new(NOW).to_string(), ProjectId::new(NOW).to_string());
        let (team_text, project_text) = (team.to_string(), project.to_string());
        let boundary = Boundary::Team(org, team);
        let of_team = with(Rights { boundary, team_projects: [project].into(), ..rights() });
        let of_project = with(Rights { boundary: Boundary::Project(org, team, project), ..rights() });
        let of_org = anybody();

        let mut cases = vec![
            (&of_org, Some(other_team.as_str()), Some(other_project.as_str()), true),
            (&of_team, None, None, true),
            (&of_team, Some(&team_text), Some(&project_text), true),
            (&of_team, Some(&other_team), None, false),
            (&of_team, None, Some(&other_project), false),
            (&of_team, Some(&team_text), Some(&other_project), false),
            (&of_project, None, Some(&project_text), true),
            (&of_project, Some(&team_text), None, true),
            (&of_project, Some(&other_team), Some(&project_text), false),
            (&of_project, None, Some(&other_project), false),
        ];
        let upper = team_text.to_uppercase();
        let braced = format!("{{{team_text}}}");
        for odd in ["", " ", "*", &braced, &project_text] {
            cases.push((&of_team, Some(odd), None, false));
        }
        // UUIDs compare without regard to case (RFC 9562 section 4), so this names the caller's own team.
        cases.push((&of_team, Some(&upper), None, true));
        for (caller, team, project, passes) in cases {
            let action = Action { target: Target { team, project }, ..needs(None) };
            let expected = if passes { Ok(()) } else { Err(Denied::Boundary) };
            assert_eq!(judge(caller, &action), expected, "{:?} {team:?} {project:?}", caller.boundary);
        }
    }
}
