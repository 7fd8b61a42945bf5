//! Groups of people: they carry roles for their members (R001_07).

use super::{
    Tx,
    db::{Columns, Conn, Db, Row, readable},
    error::StoreError,
};
use crate::domain::{
    id::{GroupId, OrgId, UserId},
    time::Timestamp,
};

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its id.
    pub id: GroupId,
    /// Whose it is.
    pub org_id: OrgId,
    /// Its name, unique in the organization in any case.
    pub name: String,
    /// The names of the roles that it carries, sorted.
    pub roles: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A person in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMember {
    /// Who.
    pub user_id: UserId,
    /// Their e-mail address.
    pub email: String,
    /// Their name.
    pub name: String,
}

/// Adds one with its roles.
pub async fn insert(tx: &mut Tx, group: &Group) -> Result<(), StoreError> {
    sqlx::query::<Db>(
        "INSERT INTO groups (id, org_id, name, name_folded, created_at) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(group.id.to_string())
    .bind(group.org_id.to_string())
    .bind(&group.name)
    .bind(group.name.to_lowercase())
    .bind(group.created_at.micros())
    .execute(&mut **tx)
    .await?;
    put_roles(tx, group).await
}

/// Replaces its name and its roles.
pub async fn update(tx: &mut Tx, group: &Group) -> Result<(), StoreError> {
    sqlx::query::<Db>("UPDATE groups SET name = $2, name_folded = $3 WHERE id = $1")
        .bind(group.id.to_string())
        .bind(&group.name)
        .bind(group.name.to_lowercase())
        .execute(&mut **tx)
        .await?;
    sqlx::query::<Db>("DELETE FROM group_roles WHERE group_id = $1")
        .bind(group.id.to_string())
        .execute(&mut **tx)
        .await?;
    put_roles(tx, group).await
}

async fn put_roles(tx: &mut Tx, group: &Group) -> Result<(), StoreError> {
    for role in &group.roles {
        sqlx::query::<Db>("INSERT INTO group_roles (group_id, role) VALUES ($1, $2)")
            .bind(group.id.to_string())
            .bind(role)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

/// The columns of a group `g`. No role's name holds a line break.
macro_rules! columns {
    () => {
        "SELECT g.id, g.org_id, g.name, g.created_at,
                (SELECT string_agg(r.role, '\n') FROM group_roles r WHERE r.group_id = g.id) AS roles
         FROM groups g "
    };
}

/// The one with this id.
pub async fn find(conn: &mut Conn, id: GroupId) -> Result<Option<Group>, StoreError> {
    let row = sqlx::query::<Db>(concat!(columns!(), "WHERE g.id = $1"))
        .bind(id.to_string())
        .fetch_optional(conn)
        .await?;
    row.as_ref().map(parse).transpose()
}

/// Those of this name in any case, in one organization or in all; more than two are never needed.
pub async fn find_by_name(conn: &mut Conn, org: Option<OrgId>, name: &str) -> Result<Vec<Group>, StoreError> {
    let rows = sqlx::query::<Db>(concat!(
        columns!(),
        "WHERE g.name_folded = $1 AND ($2 IS NULL OR g.org_id = $2) ORDER BY g.id LIMIT 2"
    ))
    .bind(name.to_lowercase())
    .bind(org.map(|id| id.to_string()))
    .fetch_all(conn)
    .await?;
    rows.iter().map(parse).collect()
}

/// Those of one organization or of all, after `after`, in the order they were made.
pub async fn list(
    conn: &mut Conn,
    org: Option<OrgId>,
    after: Option<GroupId>,
    limit: u32,
) -> Result<Vec<Group>, StoreError> {
    let rows = sqlx::query::<Db>(concat!(
        columns!(),
        "WHERE ($1 IS NULL OR g.org_id = $1) AND g.id > $2 ORDER BY g.id LIMIT $3"
    ))
    .bind(org.map(|id| id.to_string()))
    .bind(after.map(|id| id.to_string()).unwrap_or_default())
    .bind(i64::from(limit))
    .fetch_all(conn)
    .await?;
    Ok(readable(&rows, parse))
}

/// Those that a person is in, by name.
///
/// # Errors
/// A damaged one is an error here: leaving it out could hide what somebody holds.
pub async fn of_user(conn: &mut Conn, user: UserId) -> Result<Vec<Group>, StoreError> {
    let rows = sqlx::query::<Db>(concat!(
        columns!(),
        "JOIN group_members m ON m.group_id = g.id WHERE m.user_id = $1 ORDER BY g.name_folded"
    ))
    .bind(user.to_string())
    .fetch_all(conn)
    .await?;
    rows.iter().map(parse).collect()
}

/// Everybody in it, by e-mail address.
pub async fn members(conn: &mut Conn, id: GroupId) -> Result<Vec<GroupMember>, StoreError> {
    let rows = sqlx::query::<Db>(
        "SELECT m.user_id, u.email, u.name FROM group_members m JOIN users u ON u.id = m.user_id
         WHERE m.group_id = $1 ORDER BY u.email_folded",
    )
    .bind(id.to_string())
    .fetch_all(conn)
    .await?;
    Ok(readable(&rows, |row| {
        let columns = Columns::of(row, "group_members", "user_id");
        Ok(GroupMember {
            user_id: columns.parse("user_id")?,
            email: columns.text("email")?,
            name: columns.text("name")?,
        })
    }))
}

/// Puts a person into it; false when they were in it already.
pub async fn add(tx: &mut Tx, id: GroupId, user: UserId, at: Timestamp) -> Result<bool, StoreError> {
    let done = sqlx::query::<Db>(
        "INSERT INTO group_members (group_id, user_id, created_at) VALUES ($1, $2, $3)
         ON CONFLICT (group_id, user_id) DO NOTHING",
    )
    .bind(id.to_string())
    .bind(user.to_string())
    .bind(at.micros())
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Takes a person out of it; false when they were not in it.
pub async fn remove(tx: &mut Tx, id: GroupId, user: UserId) -> Result<bool, StoreError> {
    let done = sqlx::query::<Db>("DELETE FROM group_members WHERE group_id = $1 AND user_id = $2")
        .bind(id.to_string())
        .bind(user.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Takes a person out of all groups.
pub async fn remove_from_all(tx: &mut Tx, user: UserId) -> Result<(), StoreError> {
    sqlx::query::<Db>("DELETE FROM group_members WHERE user_id = $1")
        .bind(user.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Removes it; its members keep what they hold otherwise.
pub async fn delete(tx: &mut Tx, id: GroupId) -> Result<(), StoreError> {
    sqlx::query::<Db>("DELETE FROM groups WHERE id = $1").bind(id.to_string()).execute(&mut **tx).await?;
    Ok(())
}

fn parse(row: &Row) -> Result<Group, StoreError> {
    let columns = Columns::of(row, "groups", "id");
    let roles = columns.maybe_text("roles")?.unwrap_or_default();
    let mut roles: Vec<String> = roles.lines().map(str::to_owned).collect();
    roles.sort_unstable();
    Ok(Group {
        id: columns.parse("id")?,
        org_id: columns.parse("org_id")?,
        name: columns.text("name")?,
        roles,
        created_at: columns.time("created_at")?,
    })
}
