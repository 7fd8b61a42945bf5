//! A person with everything that a decision about them needs, read with whatever speaks for them.

use super::{
    db::{Columns, Conn, Db, Row},
    error::StoreError,
    users::folded,
};
use crate::domain::{
    boundary::Boundary,
    id::{OrgId, ProjectId, TeamId, UserId},
    key::standing::Places,
    profile::{Profile, RoleBook},
    role::CustomRole,
    session::{PersonStanding, standing},
};

/// A person where they act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acting {
    /// Who.
    pub user: UserId,
    /// The team, or the organization.
    pub boundary: Boundary,
    /// For a team: its projects, sorted.
    pub team_projects: Vec<ProjectId>,
    active: bool,
    in_org: Option<Place>,
    in_team: Option<Place>,
    groups: Vec<String>,
    roles: Vec<CustomRole>,
}

/// A membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The role; none: what groups give.
    pub role: Option<String>,
}

impl Acting {
    /// What they may do there at this moment.
    pub fn standing(&self, profile: &Profile) -> PersonStanding {
        let places = Places {
            active: self.active,
            in_org: self.in_org.as_ref().map(|place| place.role.as_deref()),
            in_team: self.in_team.as_ref().map(|place| place.role.as_deref()),
            groups: &self.groups,
        };
        standing(&RoleBook::new(profile, &self.roles), self.boundary.kind(), &places)
    }
}

/// What [`parse`] reads of the user `u`, who acts in the team that the expression names (NULL: in the organization).
/// A team that is not the user's organization's counts as none that they are in.
///
/// A membership's role is text, no role is empty text, no membership is NULL. Lists are lines: no name of a role holds
/// a line break or a tab.
macro_rules! columns {
    ($team:literal) => {
        concat!(
            "u.id AS user_id, u.org_id AS user_org, t.id AS acting_team,
             (CASE WHEN u.deactivated_at IS NULL AND u.removed_at IS NULL AND (",
            $team,
            " IS NULL OR t.id IS NOT NULL) THEN 1 ELSE 0 END) AS active,
             (SELECT COALESCE(m.role, '') FROM memberships m
                WHERE m.user_id = u.id AND m.org_id = u.org_id AND m.team_id IS NULL) AS in_org,
             (SELECT COALESCE(m.role, '') FROM memberships m
                WHERE m.user_id = u.id AND m.team_id = t.id) AS in_team,
             (SELECT string_agg(r.role, '\n') FROM group_members m JOIN groups g ON g.id = m.group_id
                JOIN group_roles r ON r.group_id = g.id
                WHERE m.user_id = u.id AND g.org_id = u.org_id) AS carried,
             (SELECT string_agg(r.name || '\t' || r.permissions, '\n') FROM roles r
                WHERE r.org_id = u.org_id) AS custom_roles,
             (SELECT string_agg(p.id, ' ') FROM projects p WHERE p.team_id = t.id) AS projects"
        )
    };
}
pub(super) use columns;

/// Whoever has this e-mail address and was not removed, where a first session of theirs would act: in the first of their
/// teams, else in the organization. Where they last chose to act with a session does not count, so that what somebody
/// clicks on does not change what their tokens may do.
pub async fn find_by_email(conn: &mut Conn, email: &str) -> Result<Option<Acting>, StoreError> {
    let row = sqlx::query::<Db>(concat!(
        "SELECT ",
        columns!("t.id"),
        " FROM users u LEFT JOIN teams t ON t.org_id = u.org_id AND t.id =
            (SELECT m.team_id FROM memberships m WHERE m.user_id = u.id AND m.team_id IS NOT NULL
             ORDER BY m.team_id LIMIT 1)
          WHERE u.email_folded = $1 AND u.removed_at IS NULL"
    ))
    .bind(folded(email))
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(parse).transpose()
}

/// The person of a row with [`columns`], of a statement that joins `u` and, as far as there is one, the team `t`.
pub(super) fn parse(row: &Row) -> Result<Acting, StoreError> {
    let columns = Columns::of(row, "users", "user_id");
    let org: OrgId = columns.parse("user_org")?;
    let team: Option<TeamId> = columns.maybe_parse("acting_team")?;
    let projects = columns.maybe_text("projects")?.unwrap_or_default();
    let mut team_projects = projects
        .split_ascii_whitespace()
        .map(|id| id.parse().map_err(|error| columns.bad("projects", error)))
        .collect::<Result<Vec<ProjectId>, _>>()?;
    team_projects.sort_unstable();
    Ok(Acting {
        user: columns.parse("user_id")?,
        boundary: team.map_or(Boundary::Org(org), |team| Boundary::Team(org, team)),
        team_projects,
        active: columns.number("active")? == 1,
        in_org: place(&columns, "in_org")?,
        in_team: place(&columns, "in_team")?,
        groups: columns.maybe_text("carried")?.unwrap_or_default().lines().map(str::to_owned).collect(),
        roles: custom_roles(&columns),
    })
}

/// A membership, from a role's name: empty text is none, NULL is no membership.
pub(super) fn place(columns: &Columns<'_>, column: &str) -> Result<Option<Place>, StoreError> {
    let role = columns.maybe_text(column)?;
    Ok(role.map(|role| Place { role: Some(role).filter(|role| !role.is_empty()) }))
}

/// The organization's own roles, from lines of name and permissions. A damaged one gives nothing and harms nobody else.
pub(super) fn custom_roles(columns: &Columns<'_>) -> Vec<CustomRole> {
    let text = columns.maybe_text("custom_roles").unwrap_or_else(|error| {
        tracing::error!(%error, "store.row_damaged");
        None
    });
    let read = |line: &str| {
        let (name, permissions) = line.split_once('\t')?;
        Some(CustomRole { name: name.into(), permissions: serde_json::from_str(permissions).ok()? })
    };
    let mut roles = Vec::new();
    for line in text.unwrap_or_default().lines() {
        if let Some(role) = read(line) {
            roles.push(role);
        } else {
            tracing::error!(error = %columns.bad("custom_roles", "damaged"), "store.row_damaged");
        }
    }
    roles
}
