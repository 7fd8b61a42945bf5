//! Where a credential may act: an organization, one of its teams, one project (R002_03).

use std::{fmt, str::FromStr};

use super::id::{OrgId, ProjectId, TeamId};

/// How wide a boundary is, from widest to narrowest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BoundaryKind {
    /// The whole organization.
    Org,
    /// One team and its projects.
    Team,
    /// One project.
    Project,
}

impl BoundaryKind {
    /// All kinds, widest first.
    pub const ALL: [Self; 3] = [Self::Org, Self::Team, Self::Project];

    /// The name used in files, headers and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Org => "org",
            Self::Team => "team",
            Self::Project => "project",
        }
    }
}

impl fmt::Display for BoundaryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Text that names no boundary.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a scope: expected org, team or project")]
pub struct NotABoundary;

impl FromStr for BoundaryKind {
    type Err = NotABoundary;

    fn from_str(text: &str) -> Result<Self, NotABoundary> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(NotABoundary)
    }
}

impl serde::Serialize for BoundaryKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A boundary with the objects it names; a project carries its team, a team its organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Boundary {
    /// Acts in the whole organization.
    Org(OrgId),
    /// Acts in one team.
    Team(OrgId, TeamId),
    /// Acts in one project.
    Project(OrgId, TeamId, ProjectId),
}

impl Boundary {
    /// The tenant that this lies in.
    pub const fn org(&self) -> OrgId {
        match *self {
            Self::Org(org) | Self::Team(org, _) | Self::Project(org, _, _) => org,
        }
    }

    /// The team that this is, or lies in.
    pub const fn team(&self) -> Option<TeamId> {
        match *self {
            Self::Org(_) => None,
            Self::Team(_, team) | Self::Project(_, team, _) => Some(team),
        }
    }

    /// The project that this is.
    pub const fn project(&self) -> Option<ProjectId> {
        match *self {
            Self::Project(_, _, project) => Some(project),
            _ => None,
        }
    }

    /// How wide it is.
    pub const fn kind(&self) -> BoundaryKind {
        match self {
            Self::Org(_) => BoundaryKind::Org,
            Self::Team(..) => BoundaryKind::Team,
            Self::Project(..) => BoundaryKind::Project,
        }
    }

    /// Whether everything inside `other` is inside this too.
    pub fn covers(&self, other: &Self) -> bool {
        match *self {
            Self::Org(org) => org == other.org(),
            Self::Team(org, team) => org == other.org() && other.team() == Some(team),
            Self::Project(..) => self == other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    #[test]
    fn a_boundary_covers_itself_and_what_lies_inside_and_nothing_else() {
        let now = Timestamp::from_micros(1);
        let (org, other_org) = (OrgId::new(now), OrgId::new(now));
        let (team, other_team) = (TeamId::new(now), TeamId::new(now));
        let (project, other_project) = (ProjectId::new(now), ProjectId::new(now));
        let whole = Boundary::Org(org);
        let of_team = Boundary::Team(org, team);
        let of_project = Boundary::Project(org, team, project);

        for (wide, narrow) in [(whole, of_team), (whole, of_project), (of_team, of_project)] {
            assert!(wide.covers(&narrow) && wide.covers(&wide));
            assert!(!narrow.covers(&wide));
        }
        assert!(!whole.covers(&Boundary::Org(other_org)));
        assert!(!of_team.covers(&Boundary::Team(other_org, team)));
        assert!(!of_team.covers(&Boundary::Project(org, other_team, project)));
        assert!(!of_project.covers(&Boundary::Project(org, team, other_project)));
    }
}
