//! The newest requests of each organization. Written in batches behind the answers; what is old goes.

use std::time::Duration;

use super::{
    Store,
    changes::reserve,
    db::{Columns, Conn, Db, Row, only, portions, readable},
    error::StoreError,
};
use crate::{
    domain::{
        access::Method,
        id::{OrgId, TeamId},
        time::Timestamp,
    },
    telemetry::access_log::KeptRequest,
};

/// Adds requests, all or none.
///
/// # Errors
/// [`StoreError::Unavailable`]: none was added; the caller keeps them and tries again, or lets them go.
pub async fn append(store: &Store, requests: &[KeptRequest]) -> Result<(), StoreError> {
    let Ok(count @ 1..) = i64::try_from(requests.len()) else { return Ok(()) };
    let mut tx = store.write_patiently().await?;
    let mut seq = reserve(&mut tx, "request_log", count).await? - count;
    for some in portions(requests) {
        let mut insert = sqlx::QueryBuilder::<Db>::new(
            "INSERT INTO request_log (seq, at, org_id, team_id, request_id, method, host, path, status, duration,
                 upstream, route, client_ip, auth_method, credential, outcome, bytes_in, bytes_out) ",
        );
        insert.push_values(some, |mut row, request| {
            seq += 1;
            row.push_bind(seq)
                .push_bind(request.at.micros())
                .push_bind(request.org.to_string())
                .push_bind(request.team.map(|id| id.to_string()))
                .push_bind(&request.request_id)
                .push_bind(&request.method)
                .push_bind(&request.host)
                .push_bind(&request.path)
                .push_bind(i64::from(request.status))
                .push_bind(i64::try_from(request.duration.as_micros()).unwrap_or(i64::MAX))
                .push_bind(request.upstream.as_deref())
                .push_bind(request.route.as_deref())
                .push_bind(request.client_ip.map(|ip| ip.to_string()))
                .push_bind(request.auth_method.map(Method::as_str))
                .push_bind(&request.credential)
                .push_bind(request.outcome)
                .push_bind(i64::try_from(request.bytes_in).unwrap_or(i64::MAX))
                .push_bind(i64::try_from(request.bytes_out).unwrap_or(i64::MAX));
        });
        insert.build().execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// A request as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// When its head was read.
    pub at: Timestamp,
    /// The caller's organization.
    pub org: OrgId,
    /// The caller's team.
    pub team: Option<TeamId>,
    /// As answered in `X-Request-Id`.
    pub request_id: String,
    /// The method.
    pub method: String,
    /// The authority that was asked for.
    pub host: Option<String>,
    /// The path.
    pub path: Option<String>,
    /// As answered.
    pub status: u64,
    /// To the end of its answer.
    pub duration: Duration,
    /// The upstream's name.
    pub upstream: Option<String>,
    /// The route's name.
    pub route: Option<String>,
    /// Who asked.
    pub client_ip: Option<String>,
    /// The kind of credential.
    pub auth_method: Option<String>,
    /// What names the credential in public.
    pub credential: Option<String>,
    /// `ok` or an error code.
    pub outcome: String,
    /// Body bytes received.
    pub bytes_in: u64,
    /// Body bytes sent.
    pub bytes_out: u64,
}

/// Which requests a list shows.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this organization only.
    pub org: Option<OrgId>,
    /// Of this team only.
    pub team: Option<TeamId>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// With this credential.
    pub credential: Option<String>,
    /// With this status.
    pub status: Option<u16>,
    /// With this outcome.
    pub outcome: Option<String>,
}

/// A part of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Newest first.
    pub items: Vec<Request>,
    /// The place to go on before; none at the end.
    pub next: Option<i64>,
}

/// Requests that fit, newest first, up to `limit`, from before the place `before` on.
pub async fn list(
    conn: &mut Conn,
    filter: &Filter,
    before: Option<i64>,
    limit: u32,
) -> Result<Page, StoreError> {
    let mut select = sqlx::QueryBuilder::<Db>::new(
        "SELECT seq, at, org_id, team_id, request_id, method, host, path, status, duration, upstream, route,
                client_ip, auth_method, credential, outcome, bytes_in, bytes_out
         FROM request_log WHERE seq < ",
    );
    select.push_bind(before.unwrap_or(i64::MAX));
    // Only what is asked for: a condition that may be none keeps the database from its indexes.
    only(&mut select, "org_id = ", filter.org.map(|id| id.to_string()));
    only(&mut select, "team_id = ", filter.team.map(|id| id.to_string()));
    only(&mut select, "at >= ", filter.since.map(Timestamp::micros));
    only(&mut select, "credential = ", filter.credential.as_deref());
    only(&mut select, "status = ", filter.status.map(i64::from));
    only(&mut select, "outcome = ", filter.outcome.as_deref());
    select.push(" ORDER BY seq DESC LIMIT ").push_bind(i64::from(limit));
    let rows = select.build().fetch_all(conn).await?;
    let full = rows.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let next = rows.last().filter(|_| full).and_then(|row| sqlx::Row::try_get(row, "seq").ok());
    Ok(Page { items: readable(&rows, parse), next })
}

/// The organizations that have any.
pub async fn orgs(conn: &mut Conn) -> Result<Vec<OrgId>, StoreError> {
    let rows = sqlx::query::<Db>("SELECT DISTINCT org_id FROM request_log").fetch_all(conn).await?;
    Ok(readable(&rows, |row| Columns::of(row, "request_log", "org_id").parse("org_id")))
}

/// Removes the requests of an organization beyond the newest `most`.
pub async fn trim(store: &Store, org: OrgId, most: u32) -> Result<u64, StoreError> {
    let mut tx = store.write_patiently().await?;
    let done = sqlx::query::<Db>(
        "DELETE FROM request_log WHERE org_id = $1 AND seq <=
             (SELECT seq FROM request_log WHERE org_id = $1 ORDER BY seq DESC LIMIT 1 OFFSET $2)",
    )
    .bind(org.to_string())
    .bind(i64::from(most))
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(done.rows_affected())
}

/// Removes those among the oldest `limit` rows that are from before `before`; how many went. Rows are in the order of
/// time but for a second or so, so whoever goes on until none goes has removed all.
pub async fn prune(store: &Store, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
    let mut tx = store.write_patiently().await?;
    let done = sqlx::query::<Db>(
        "DELETE FROM request_log WHERE at < $1 AND seq IN (SELECT seq FROM request_log ORDER BY seq LIMIT $2)",
    )
    .bind(before.micros())
    .bind(i64::from(limit))
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(done.rows_affected())
}

fn parse(row: &Row) -> Result<Request, StoreError> {
    let columns = Columns::of(row, "request_log", "seq");
    Ok(Request {
        at: columns.time("at")?,
        org: columns.parse("org_id")?,
        team: columns.maybe_parse("team_id")?,
        request_id: columns.text("request_id")?,
        method: columns.text("method")?,
        host: columns.maybe_text("host")?,
        path: columns.maybe_text("path")?,
        status: columns.count("status")?,
        duration: Duration::from_micros(columns.count("duration")?),
        upstream: columns.maybe_text("upstream")?,
        route: columns.maybe_text("route")?,
        client_ip: columns.maybe_text("client_ip")?,
        auth_method: columns.maybe_text("auth_method")?,
        credential: columns.maybe_text("credential")?,
        outcome: columns.text("outcome")?,
        bytes_in: columns.count("bytes_in")?,
        bytes_out: columns.count("bytes_out")?,
    })
}
