//! Who holds which role where: one on the organization, one in each team.

use super::{
    Tx,
    db::{Columns, Conn, Db, Row, readable},
    error::StoreError,
};
use crate::domain::{
    id::{OrgId, TeamId, UserId},
    time::Timestamp,
};

/// A person's place in an organization (no team) or in a team of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Who.
    pub user_id: UserId,
    /// In which organization.
    pub org_id: OrgId,
    /// In which team of it; none: in the organization itself.
    pub team_id: Option<TeamId>,
    /// With which role; none: what groups give.
    pub role: Option<String>,
    /// Since when.
    pub created_at: Timestamp,
}

/// A membership with the person's name and address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The membership.
    pub membership: Membership,
    /// The person's e-mail address.
    pub email: String,
    /// The person's name.
    pub name: String,
    /// Whether they may act.
    pub active: bool,
}

/// Gives a role, or another one than before.
pub async fn put(tx: &mut Tx, membership: &Membership) -> Result<(), StoreError> {
    if !set_role(tx, membership.user_id, membership.team_id, membership.role.as_deref()).await? {
        sqlx::query::<Db>(
            "INSERT INTO memberships (user_id, org_id, team_id, role, created_at) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(membership.user_id.to_string())
        .bind(membership.org_id.to_string())
        .bind(membership.team_id.map(|id| id.to_string()))
        .bind(&membership.role)
        .bind(membership.created_at.micros())
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

async fn set_role(
    tx: &mut Tx,
    user: UserId,
    team: Option<TeamId>,
    role: Option<&str>,
) -> Result<bool, StoreError> {
    let done = sqlx::query::<Db>(
        "UPDATE memberships SET role = $3
         WHERE user_id = $1 AND ((team_id IS NULL AND $2 IS NULL) OR team_id = $2)",
    )
    .bind(user.to_string())
    .bind(team.map(|id| id.to_string()))
    .bind(role)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Takes the membership away; false when there was none.
pub async fn remove(tx: &mut Tx, user: UserId, team: Option<TeamId>) -> Result<bool, StoreError> {
    let done = sqlx::query::<Db>(
        "DELETE FROM memberships WHERE user_id = $1 AND ((team_id IS NULL AND $2 IS NULL) OR team_id = $2)",
    )
    .bind(user.to_string())
    .bind(team.map(|id| id.to_string()))
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// All memberships of one person.
///
/// # Errors
/// A damaged one is an error here: leaving it out could hide that somebody holds a role.
pub async fn of_user(conn: &mut Conn, user: UserId) -> Result<Vec<Membership>, StoreError> {
    let rows = sqlx::query::<Db>(
        "SELECT user_id, org_id, team_id, role, created_at FROM memberships
         WHERE user_id = $1 ORDER BY team_id",
    )
    .bind(user.to_string())
    .fetch_all(conn)
    .await?;
    rows.iter().map(parse).collect()
}

/// The members of a team, or of the organization itself, after `after`, by user id.
pub async fn list(
    conn: &mut Conn,
    org: OrgId,
    team: Option<TeamId>,
    after: Option<UserId>,
    limit: u32,
) -> Result<Vec<Member>, StoreError> {
    let rows = sqlx::query::<Db>(
        "SELECT m.user_id, m.org_id, m.team_id, m.role, m.created_at, u.email, u.name, u.deactivated_at
         FROM memberships m JOIN users u ON u.id = m.user_id
         WHERE m.org_id = $1 AND ((m.team_id IS NULL AND $2 IS NULL) OR m.team_id = $2) AND m.user_id > $3
         ORDER BY m.user_id LIMIT $4",
    )
    .bind(org.to_string())
    .bind(team.map(|id| id.to_string()))
    .bind(after.map(|id| id.to_string()).unwrap_or_default())
    .bind(i64::from(limit))
    .fetch_all(conn)
    .await?;
    Ok(readable(&rows, |row| {
        let columns = Columns::of(row, "memberships", "user_id");
        Ok(Member {
            membership: parse(row)?,
            email: columns.text("email")?,
            name: columns.text("name")?,
            active: columns.maybe_time("deactivated_at")?.is_none(),
        })
    }))
}

/// Whether somebody who may act holds `role` in the place.
pub async fn is_held(
    conn: &mut Conn,
    org: OrgId,
    team: Option<TeamId>,
    role: &str,
) -> Result<bool, StoreError> {
    let row = sqlx::query::<Db>(
        "SELECT m.user_id FROM memberships m JOIN users u ON u.id = m.user_id
         WHERE m.org_id = $1 AND ((m.team_id IS NULL AND $2 IS NULL) OR m.team_id = $2) AND m.role = $3
         AND u.deactivated_at IS NULL AND u.removed_at IS NULL LIMIT 1",
    )
    .bind(org.to_string())
    .bind(team.map(|id| id.to_string()))
    .bind(role)
    .fetch_optional(conn)
    .await?;
    Ok(row.is_some())
}

/// Whether a group of the organization carries `role` for a member of it who may act.
pub async fn is_carried(conn: &mut Conn, org: OrgId, role: &str) -> Result<bool, StoreError> {
    let row = sqlx::query::<Db>(
        "SELECT u.id FROM group_roles r JOIN groups g ON g.id = r.group_id
             JOIN group_members i ON i.group_id = g.id JOIN users u ON u.id = i.user_id
         WHERE g.org_id = $1 AND u.org_id = g.org_id AND r.role = $2
         AND u.deactivated_at IS NULL AND u.removed_at IS NULL
         AND EXISTS (SELECT 1 FROM memberships m WHERE m.user_id = u.id AND m.org_id = g.org_id) LIMIT 1",
    )
    .bind(org.to_string())
    .bind(role)
    .fetch_optional(conn)
    .await?;
    Ok(row.is_some())
}

fn parse(row: &Row) -> Result<Membership, StoreError> {
    let columns = Columns::of(row, "memberships", "user_id");
    Ok(Membership {
        user_id: columns.parse("user_id")?,
        org_id: columns.parse("org_id")?,
        team_id: columns.maybe_parse("team_id")?,
        role: columns.maybe_text("role")?,
        created_at: columns.time("created_at")?,
    })
}
