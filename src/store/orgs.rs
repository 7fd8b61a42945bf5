//! Organizations: the tenants.

use super::{
    Tx,
    db::{Columns, Conn, Db, Row, readable},
    error::StoreError,
};
use crate::domain::{id::OrgId, time::Timestamp};

/// An organization.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Org {
    /// Its id.
    pub id: OrgId,
    /// Its name in commands and addresses, unique.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Adds one.
pub async fn insert(tx: &mut Tx, org: &Org) -> Result<(), StoreError> {
    sqlx::query::<Db>("INSERT INTO orgs (id, slug, name, created_at) VALUES ($1, $2, $3, $4)")
        .bind(org.id.to_string())
        .bind(&org.slug)
        .bind(&org.name)
        .bind(org.created_at.micros())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The one with this id.
pub async fn find(conn: &mut Conn, id: OrgId) -> Result<Option<Org>, StoreError> {
    let row = sqlx::query::<Db>("SELECT id, slug, name, created_at FROM orgs WHERE id = $1")
        .bind(id.to_string())
        .fetch_optional(conn)
        .await?;
    row.as_ref().map(parse).transpose()
}

/// The one with this slug.
pub async fn find_by_slug(conn: &mut Conn, slug: &str) -> Result<Option<Org>, StoreError> {
    let row = sqlx::query::<Db>("SELECT id, slug, name, created_at FROM orgs WHERE slug = $1")
        .bind(slug)
        .fetch_optional(conn)
        .await?;
    row.as_ref().map(parse).transpose()
}

/// All after `after`, in the order they were made.
pub async fn list(conn: &mut Conn, after: Option<OrgId>, limit: u32) -> Result<Vec<Org>, StoreError> {
    let rows =
        sqlx::query::<Db>("SELECT id, slug, name, created_at FROM orgs WHERE id > $1 ORDER BY id LIMIT $2")
            .bind(after.map(|id| id.to_string()).unwrap_or_default())
            .bind(i64::from(limit))
            .fetch_all(conn)
            .await?;
    Ok(readable(&rows, parse))
}

/// Gives it another name and slug; false when there is none.
pub async fn rename(tx: &mut Tx, id: OrgId, name: &str, slug: &str) -> Result<bool, StoreError> {
    let done = sqlx::query::<Db>("UPDATE orgs SET name = $2, slug = $3 WHERE id = $1")
        .bind(id.to_string())
        .bind(name)
        .bind(slug)
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Removes it with everything in it, the audit trail excepted; false when there is none.
pub async fn delete(tx: &mut Tx, id: OrgId) -> Result<bool, StoreError> {
    sqlx::query::<Db>("DELETE FROM request_log WHERE org_id = $1")
        .bind(id.to_string())
        .execute(&mut **tx)
        .await?;
    let done =
        sqlx::query::<Db>("DELETE FROM orgs WHERE id = $1").bind(id.to_string()).execute(&mut **tx).await?;
    Ok(done.rows_affected() > 0)
}

fn parse(row: &Row) -> Result<Org, StoreError> {
    let columns = Columns::of(row, "orgs", "id");
    Ok(Org {
        id: columns.parse("id")?,
        slug: columns.text("slug")?,
        name: columns.text("name")?,
        created_at: columns.time("created_at")?,
    })
}
