//! Projects of a team.

use super::{
    Tx,
    db::{Columns, Conn, Db, Row, readable},
    error::StoreError,
};
use crate::domain::{
    id::{OrgId, ProjectId, TeamId},
    time::Timestamp,
};

/// A project.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// The organization of its team.
    pub org_id: OrgId,
    /// The team it is part of.
    pub team_id: TeamId,
    /// Its name in commands and addresses, unique in its team.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Which projects a list shows.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter {
    /// Of this organization only.
    pub org: Option<OrgId>,
    /// Of this team only.
    pub team: Option<TeamId>,
}

/// Adds one.
pub async fn insert(tx: &mut Tx, project: &Project) -> Result<(), StoreError> {
    sqlx::query::<Db>(
        "INSERT INTO projects (id, org_id, team_id, slug, name, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(project.id.to_string())
    .bind(project.org_id.to_string())
    .bind(project.team_id.to_string())
    .bind(&project.slug)
    .bind(&project.name)
    .bind(project.created_at.micros())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The one with this id.
pub async fn find(conn: &mut Conn, id: ProjectId) -> Result<Option<Project>, StoreError> {
    let row =
        sqlx::query::<Db>("SELECT id, org_id, team_id, slug, name, created_at FROM projects WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(conn)
            .await?;
    row.as_ref().map(parse).transpose()
}

/// Those with this slug among the projects that `filter` allows; more than two are never needed.
pub async fn find_by_slug(conn: &mut Conn, filter: Filter, slug: &str) -> Result<Vec<Project>, StoreError> {
    let rows = sqlx::query::<Db>(
        "SELECT id, org_id, team_id, slug, name, created_at FROM projects
         WHERE slug = $1 AND ($2 IS NULL OR org_id = $2) AND ($3 IS NULL OR team_id = $3) ORDER BY id LIMIT 2",
    )
    .bind(slug)
    .bind(filter.org.map(|id| id.to_string()))
    .bind(filter.team.map(|id| id.to_string()))
    .fetch_all(conn)
    .await?;
    rows.iter().map(parse).collect()
}

/// Those that `filter` allows, after `after`, in the order they were made.
pub async fn list(
    conn: &mut Conn,
    filter: Filter,
    after: Option<ProjectId>,
    limit: u32,
) -> Result<Vec<Project>, StoreError> {
    let rows = sqlx::query::<Db>(
        "SELECT id, org_id, team_id, slug, name, created_at FROM projects
         WHERE ($1 IS NULL OR org_id = $1) AND ($2 IS NULL OR team_id = $2) AND id > $3 ORDER BY id LIMIT $4",
    )
    .bind(filter.org.map(|id| id.to_string()))
    .bind(filter.team.map(|id| id.to_string()))
    .bind(after.map(|id| id.to_string()).unwrap_or_default())
    .bind(i64::from(limit))
    .fetch_all(conn)
    .await?;
    Ok(readable(&rows, parse))
}

/// Gives it another name and slug; false when there is none.
pub async fn rename(tx: &mut Tx, id: ProjectId, name: &str, slug: &str) -> Result<bool, StoreError> {
    let done = sqlx::query::<Db>("UPDATE projects SET name = $2, slug = $3 WHERE id = $1")
        .bind(id.to_string())
        .bind(name)
        .bind(slug)
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Removes it with its keys; false when there is none.
pub async fn delete(tx: &mut Tx, id: ProjectId) -> Result<bool, StoreError> {
    let done = sqlx::query::<Db>("DELETE FROM projects WHERE id = $1")
        .bind(id.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() > 0)
}

fn parse(row: &Row) -> Result<Project, StoreError> {
    let columns = Columns::of(row, "projects", "id");
    Ok(Project {
        id: columns.parse("id")?,
        org_id: columns.parse("org_id")?,
        team_id: columns.parse("team_id")?,
        slug: columns.text("slug")?,
        name: columns.text("name")?,
        created_at: columns.time("created_at")?,
    })
}
