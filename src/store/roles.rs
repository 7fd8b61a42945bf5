//! Roles that organizations make for themselves (R001_06). The profile's are in no table.

use super::{
    Tx,
    db::{Columns, Conn, Db, Row, json, readable},
    error::StoreError,
};
use crate::domain::{
    id::{OrgId, RoleId},
    time::Timestamp,
};

/// A custom role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its id.
    pub id: RoleId,
    /// Whose it is.
    pub org_id: OrgId,
    /// Its name, by which it is held; unique in the organization in any case.
    pub name: String,
    /// The names of what it was given.
    pub permissions: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Adds one.
pub async fn insert(tx: &mut Tx, role: &Role) -> Result<(), StoreError> {
    sqlx::query::<Db>(
        "INSERT INTO roles (id, org_id, name, name_folded, permissions, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(role.id.to_string())
    .bind(role.org_id.to_string())
    .bind(&role.name)
    .bind(role.name.to_lowercase())
    .bind(json(&role.permissions))
    .bind(role.created_at.micros())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The one with this id.
pub async fn find(conn: &mut Conn, id: RoleId) -> Result<Option<Role>, StoreError> {
    let row = sqlx::query::<Db>("SELECT id, org_id, name, permissions, created_at FROM roles WHERE id = $1")
        .bind(id.to_string())
        .fetch_optional(conn)
        .await?;
    row.as_ref().map(parse).transpose()
}

/// Those of this name in any case, in one organization or in all; more than two are never needed.
pub async fn find_by_name(conn: &mut Conn, org: Option<OrgId>, name: &str) -> Result<Vec<Role>, StoreError> {
    let rows = sqlx::query::<Db>(
        "SELECT id, org_id, name, permissions, created_at FROM roles
         WHERE name_folded = $1 AND ($2 IS NULL OR org_id = $2) ORDER BY id LIMIT 2",
    )
    .bind(name.to_lowercase())
    .bind(org.map(|id| id.to_string()))
    .fetch_all(conn)
    .await?;
    rows.iter().map(parse).collect()
}

/// Those of one organization or of all, in the order they were made. Damaged ones are left out and reported: they
/// give nothing to anybody.
pub async fn list(conn: &mut Conn, org: Option<OrgId>) -> Result<Vec<Role>, StoreError> {
    let rows = sqlx::query::<Db>(
        "SELECT id, org_id, name, permissions, created_at FROM roles
         WHERE ($1 IS NULL OR org_id = $1) ORDER BY id",
    )
    .bind(org.map(|id| id.to_string()))
    .fetch_all(conn)
    .await?;
    Ok(readable(&rows, parse))
}

/// How many an organization has.
pub async fn count(conn: &mut Conn, org: OrgId) -> Result<i64, StoreError> {
    let row = sqlx::query::<Db>("SELECT 'count' AS name, COUNT(*) AS roles FROM roles WHERE org_id = $1")
        .bind(org.to_string())
        .fetch_one(conn)
        .await?;
    Columns::of(&row, "roles", "name").number("roles")
}

/// Gives it other permissions.
pub async fn set_permissions(tx: &mut Tx, id: RoleId, permissions: &[String]) -> Result<(), StoreError> {
    sqlx::query::<Db>("UPDATE roles SET permissions = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind(json(permissions))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Gives it another name, wherever it is held.
pub async fn rename(tx: &mut Tx, role: &Role, name: &str) -> Result<(), StoreError> {
    let org = role.org_id.to_string();
    sqlx::query::<Db>("UPDATE roles SET name = $2, name_folded = $3 WHERE id = $1")
        .bind(role.id.to_string())
        .bind(name)
        .bind(name.to_lowercase())
        .execute(&mut **tx)
        .await?;
    sqlx::query::<Db>("UPDATE memberships SET role = $3 WHERE org_id = $1 AND role = $2")
        .bind(&org)
        .bind(&role.name)
        .bind(name)
        .execute(&mut **tx)
        .await?;
    sqlx::query::<Db>(
        "UPDATE group_roles SET role = $3
         WHERE role = $2 AND group_id IN (SELECT id FROM groups WHERE org_id = $1)",
    )
    .bind(&org)
    .bind(&role.name)
    .bind(name)
    .execute(&mut **tx)
    .await?;
    sqlx::query::<Db>("UPDATE invitations SET role = $3 WHERE org_id = $1 AND role = $2")
        .bind(&org)
        .bind(&role.name)
        .bind(name)
        .execute(&mut **tx)
        .await?;
    for (key, mut roles, _) in on_keys(tx, role.org_id, &role.name, Timestamp::default()).await? {
        roles.iter_mut().filter(|held| **held == role.name).for_each(|held| name.clone_into(held));
        sqlx::query::<Db>("UPDATE api_keys SET roles = $2 WHERE id = $1")
            .bind(key)
            .bind(json(&roles))
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

/// By how many people, groups, working keys and open invitations a role is held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Uses {
    /// People who hold it directly.
    pub members: i64,
    /// Groups that carry it.
    pub groups: i64,
    /// Keys that carry it and still work. One that has ended never works again.
    pub keys: i64,
    /// Invitations that carry it and can still be accepted.
    pub invitations: i64,
}

/// Who holds the role at `now`.
pub async fn uses(conn: &mut Conn, org: OrgId, name: &str, now: Timestamp) -> Result<Uses, StoreError> {
    let row = sqlx::query::<Db>(
        "SELECT 'uses' AS name,
                (SELECT COUNT(*) FROM memberships WHERE org_id = $1 AND role = $2) AS members,
                (SELECT COUNT(*) FROM group_roles r JOIN groups g ON g.id = r.group_id
                   WHERE g.org_id = $1 AND r.role = $2) AS carriers,
                (SELECT COUNT(*) FROM invitations WHERE org_id = $1 AND role = $2 AND accepted_at IS NULL
                   AND revoked_at IS NULL AND expires_at > $3) AS invitations",
    )
    .bind(org.to_string())
    .bind(name)
    .bind(now.micros())
    .fetch_one(&mut *conn)
    .await?;
    let columns = Columns::of(&row, "roles", "name");
    let (members, groups) = (columns.number("members")?, columns.number("carriers")?);
    let keys = on_keys(conn, org, name, now).await?.iter().filter(|(_, _, works)| *works).count();
    let invitations = columns.number("invitations")?;
    Ok(Uses { members, groups, keys: i64::try_from(keys).unwrap_or(i64::MAX), invitations })
}

/// Removes it; whoever held it holds nothing by it.
pub async fn delete(tx: &mut Tx, id: RoleId) -> Result<(), StoreError> {
    sqlx::query::<Db>("DELETE FROM roles WHERE id = $1").bind(id.to_string()).execute(&mut **tx).await?;
    Ok(())
}

/// The organization's keys that carry the role, each with all its roles and whether it works at `now`. A key with
/// an unreadable list is refused whenever it is used, so none that works is missed.
async fn on_keys(
    conn: &mut Conn,
    org: OrgId,
    name: &str,
    now: Timestamp,
) -> Result<Vec<(String, Vec<String>, bool)>, StoreError> {
    let rows = sqlx::query::<Db>(
        "SELECT id, roles, (CASE WHEN revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
                                  AND (grace_until IS NULL OR grace_until > $2) THEN 1 ELSE 0 END) AS works
         FROM api_keys WHERE org_id = $1 AND roles IS NOT NULL",
    )
    .bind(org.to_string())
    .bind(now.micros())
    .fetch_all(conn)
    .await?;
    let read = |row: &Row| {
        let columns = Columns::of(row, "api_keys", "id");
        Ok((columns.text("id")?, columns.list("roles")?, columns.number("works")? == 1))
    };
    let mut keys = readable(&rows, read);
    keys.retain(|(_, roles, _)| roles.iter().any(|held| held == name));
    Ok(keys)
}

fn parse(row: &Row) -> Result<Role, StoreError> {
    let columns = Columns::of(row, "roles", "id");
    Ok(Role {
        id: columns.parse("id")?,
        org_id: columns.parse("org_id")?,
        name: columns.text("name")?,
        permissions: columns.list("permissions")?,
        created_at: columns.time("created_at")?,
    })
}
