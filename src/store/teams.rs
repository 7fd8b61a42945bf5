//! Teams of an organization.

use super::{
    Tx,
    db::{Columns, Conn, Db, Row, readable},
    error::StoreError,
};
use crate::domain::{
    id::{OrgId, TeamId},
    time::Timestamp,
};

/// A team.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Team {
    /// Its id.
    pub id: TeamId,
    /// The organization it is part of.
    pub org_id: OrgId,
    /// Its name in commands and addresses, unique in its organization.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Adds one.
pub async fn insert(tx: &mut Tx, team: &Team) -> Result<(), StoreError> {
    sqlx::query::<Db>("INSERT INTO teams (id, org_id, slug, name, created_at) VALUES ($1, $2, $3, $4, $5)")
        .bind(team.id.to_string())
        .bind(team.org_id.to_string())
        .bind(&team.slug)
        .bind(&team.name)
        .bind(team.created_at.micros())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The one with this id.
pub async fn find(conn: &mut Conn, id: TeamId) -> Result<Option<Team>, StoreError> {
    let row = sqlx::query::<Db>("SELECT id, org_id, slug, name, created_at FROM teams WHERE id = $1")
        .bind(id.to_string())
        .fetch_optional(conn)
        .await?;
    row.as_ref().map(parse).transpose()
}

/// Those with this slug, in one organization or in all; more than two are never needed.
pub async fn find_by_slug(conn: &mut Conn, org: Option<OrgId>, slug: &str) -> Result<Vec<Team>, StoreError> {
    let rows = sqlx::query::<Db>(
        "SELECT id, org_id, slug, name, created_at FROM teams
         WHERE slug = $1 AND ($2 IS NULL OR org_id = $2) ORDER BY id LIMIT 2",
    )
    .bind(slug)
    .bind(org.map(|id| id.to_string()))
    .fetch_all(conn)
    .await?;
    rows.iter().map(parse).collect()
}

/// Those of one organization or of all, after `after`, in the order they were made.
pub async fn list(
    conn: &mut Conn,
    org: Option<OrgId>,
    after: Option<TeamId>,
    limit: u32,
) -> Result<Vec<Team>, StoreError> {
    let rows = sqlx::query::<Db>(
        "SELECT id, org_id, slug, name, created_at FROM teams
         WHERE ($1 IS NULL OR org_id = $1) AND id > $2 ORDER BY id LIMIT $3",
    )
    .bind(org.map(|id| id.to_string()))
    .bind(after.map(|id| id.to_string()).unwrap_or_default())
    .bind(i64::from(limit))
    .fetch_all(conn)
    .await?;
    Ok(readable(&rows, parse))
}

/// Gives it another name and slug; false when there is none.
pub async fn rename(tx: &mut Tx, id: TeamId, name: &str, slug: &str) -> Result<bool, StoreError> {
    let done = sqlx::query::<Db>("UPDATE teams SET name = $2, slug = $3 WHERE id = $1")
        .bind(id.to_string())
        .bind(name)
        .bind(slug)
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Removes it with its projects, memberships and keys; false when there is none.
pub async fn delete(tx: &mut Tx, id: TeamId) -> Result<bool, StoreError> {
    let done =
        sqlx::query::<Db>("DELETE FROM teams WHERE id = $1").bind(id.to_string()).execute(&mut **tx).await?;
    Ok(done.rows_affected() > 0)
}

fn parse(row: &Row) -> Result<Team, StoreError> {
    let columns = Columns::of(row, "teams", "id");
    Ok(Team {
        id: columns.parse("id")?,
        org_id: columns.parse("org_id")?,
        slug: columns.text("slug")?,
        name: columns.text("name")?,
        created_at: columns.time("created_at")?,
    })
}
