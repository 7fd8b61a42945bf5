//! Invitations. A row is never deleted by accepting or revoking it, so that the hour's limit and the list can see it.

use std::time::Duration;

use super::{
    Tx,
    db::{Columns, Conn, Db, Row, hex, readable},
    error::StoreError,
    users::folded,
};
use crate::domain::{
    id::{InvitationId, OrgId, TeamId, UserId},
    invitation::Life,
    key::token::Digest,
    time::Timestamp,
};

/// An invitation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Its id.
    pub id: InvitationId,
    /// Into which organization.
    pub org_id: OrgId,
    /// Into which team of it; none: into the organization itself.
    pub team_id: Option<TeamId>,
    /// Whom.
    pub email: String,
    /// With which role; none: with what groups give.
    pub role: Option<String>,
    /// By whom; none: by the operator.
    pub invited_by: Option<UserId>,
    /// When.
    pub created_at: Timestamp,
    /// Until when, and what became of it.
    pub life: Life,
}

/// Where somebody is invited to: an organization, or a team of it.
pub type Place = (OrgId, Option<TeamId>);

/// Adds one, known by the digest of its token alone.
pub async fn insert(tx: &mut Tx, invitation: &Invitation, token: &Digest) -> Result<(), StoreError> {
    sqlx::query::<Db>(
        "INSERT INTO invitations
             (id, org_id, team_id, email, email_folded, role, token, invited_by, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(invitation.id.to_string())
    .bind(invitation.org_id.to_string())
    .bind(invitation.team_id.map(|id| id.to_string()))
    .bind(&invitation.email)
    .bind(folded(&invitation.email))
    .bind(&invitation.role)
    .bind(hex(token.bytes()))
    .bind(invitation.invited_by.map(|id| id.to_string()))
    .bind(invitation.created_at.micros())
    .bind(invitation.life.expires_at.micros())
    .execute(&mut **tx)
    .await?;
    let Some(inviter) = invitation.invited_by else { return Ok(()) };
    sqlx::query::<Db>("INSERT INTO invited (id, invited_by, at) VALUES ($1, $2, $3)")
        .bind(invitation.id.to_string())
        .bind(inviter.to_string())
        .bind(invitation.created_at.micros())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The one with this id.
pub async fn find(conn: &mut Conn, id: InvitationId) -> Result<Option<Invitation>, StoreError> {
    let row = sqlx::query::<Db>(
        "SELECT id, org_id, team_id, email, role, invited_by, created_at, expires_at, accepted_at, revoked_at
         FROM invitations WHERE id = $1",
    )
    .bind(id.to_string())
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(parse).transpose()
}

/// The one with this token.
pub async fn find_by_token(conn: &mut Conn, token: &Digest) -> Result<Option<Invitation>, StoreError> {
    let row = sqlx::query::<Db>(
        "SELECT id, org_id, team_id, email, role, invited_by, created_at, expires_at, accepted_at, revoked_at
         FROM invitations WHERE token = $1",
    )
    .bind(hex(token.bytes()))
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(parse).transpose()
}

/// Those into this place after `after`, in the order they were made.
pub async fn list(
    conn: &mut Conn,
    place: Place,
    after: Option<InvitationId>,
    limit: u32,
) -> Result<Vec<Invitation>, StoreError> {
    let rows = sqlx::query::<Db>(
        "SELECT id, org_id, team_id, email, role, invited_by, created_at, expires_at, accepted_at, revoked_at
         FROM invitations
         WHERE org_id = $1 AND ((team_id IS NULL AND $2 IS NULL) OR team_id = $2) AND id > $3
         ORDER BY id LIMIT $4",
    )
    .bind(place.0.to_string())
    .bind(place.1.map(|id| id.to_string()))
    .bind(after.map(|id| id.to_string()).unwrap_or_default())
    .bind(i64::from(limit))
    .fetch_all(conn)
    .await?;
    Ok(readable(&rows, parse))
}

/// Those of this address in the organization that nobody has accepted or taken back, too old ones among them.
///
/// # Errors
/// A damaged one is an error here: leaving it out could leave its link alive.
pub async fn open_for(conn: &mut Conn, org: OrgId, email: &str) -> Result<Vec<Invitation>, StoreError> {
    let rows = sqlx::query::<Db>(
        "SELECT id, org_id, team_id, email, role, invited_by, created_at, expires_at, accepted_at, revoked_at
         FROM invitations
         WHERE org_id = $1 AND email_folded = $2 AND accepted_at IS NULL AND revoked_at IS NULL ORDER BY id",
    )
    .bind(org.to_string())
    .bind(folded(email))
    .fetch_all(conn)
    .await?;
    rows.iter().map(parse).collect()
}

/// Writes down that it has ended; false when it had ended before.
pub async fn end(tx: &mut Tx, id: InvitationId, life: &Life) -> Result<bool, StoreError> {
    let done = sqlx::query::<Db>(
        "UPDATE invitations SET accepted_at = $2, revoked_at = $3
         WHERE id = $1 AND accepted_at IS NULL AND revoked_at IS NULL",
    )
    .bind(id.to_string())
    .bind(life.accepted_at().map(Timestamp::micros))
    .bind(life.revoked_at().map(Timestamp::micros))
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// How long this person has to wait until they may invite again, if they have made `most` in the `span` before `now`.
/// Those that were taken back, and those of a team that was deleted, count: each was a mail. Forgets what counts no more.
pub async fn wait(
    tx: &mut Tx,
    inviter: UserId,
    most: u32,
    span: Duration,
    now: Timestamp,
) -> Result<Option<Duration>, StoreError> {
    let since = now.before(span).micros();
    sqlx::query::<Db>("DELETE FROM invited WHERE invited_by = $1 AND at <= $2")
        .bind(inviter.to_string())
        .bind(since)
        .execute(&mut **tx)
        .await?;
    let rows =
        sqlx::query::<Db>("SELECT id, at FROM invited WHERE invited_by = $1 ORDER BY at DESC LIMIT $2")
            .bind(inviter.to_string())
            .bind(i64::from(most))
            .fetch_all(&mut **tx)
            .await?;
    let full = u32::try_from(rows.len()).is_ok_and(|made| made >= most);
    let Some(oldest) = rows.last().filter(|_| full) else { return Ok(None) };
    let oldest = Columns::of(oldest, "invited", "id").time("at")?;
    Ok(Some(oldest.after(span).since(now)))
}

fn parse(row: &Row) -> Result<Invitation, StoreError> {
    let columns = Columns::of(row, "invitations", "id");
    let (accepted, revoked) = (columns.maybe_time("accepted_at")?, columns.maybe_time("revoked_at")?);
    let life = Life::restore(columns.time("expires_at")?, accepted, revoked);
    Ok(Invitation {
        id: columns.parse("id")?,
        org_id: columns.parse("org_id")?,
        team_id: columns.maybe_parse("team_id")?,
        email: columns.text("email")?,
        role: columns.maybe_text("role")?,
        invited_by: columns.maybe_parse("invited_by")?,
        created_at: columns.time("created_at")?,
        life: life.ok_or_else(|| columns.bad("accepted_at", "accepted and revoked"))?,
    })
}
