//! The newest requests of an organization (R003_08).

use super::{Caller, Control, Page, PageOf, ServiceError, audit::whole_or_team, caller::Who, orgs};
use crate::{
    domain::{
        id::{OrgId, TeamId},
        profile::control,
        time::Timestamp,
    },
    store::requests::{self, Filter, Request},
};

/// Which requests a list shows.
#[derive(Debug, Clone, Default)]
pub struct RequestFilter {
    /// Of this organization, by id or slug.
    pub org: Option<String>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// With this credential: a key's prefix, or what else names one in public.
    pub credential: Option<String>,
    /// With this status, or with this outcome: `ok` or an error code.
    pub code: Option<String>,
}

/// A request as shown: the fields of its line in the access log.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct RequestView {
    /// When its head was read.
    pub ts: Timestamp,
    /// As answered in `X-Request-Id`.
    pub request_id: String,
    /// The method.
    pub method: String,
    /// The authority that was asked for.
    pub host: Option<String>,
    /// The path, without a query.
    pub path: Option<String>,
    /// As answered.
    pub status: u64,
    /// To the end of its answer.
    pub duration_ms: f64,
    /// The upstream's name; none when nothing was forwarded.
    pub upstream: Option<String>,
    /// The route's name.
    pub route: Option<String>,
    /// Who asked.
    pub client_ip: Option<String>,
    /// The kind of credential.
    pub auth_method: Option<String>,
    /// What names the credential in public.
    pub credential: Option<String>,
    /// The organization.
    pub tenant: OrgId,
    /// The team.
    pub team: Option<TeamId>,
    /// `ok` or the code of the error that was answered.
    pub outcome: String,
    /// Body bytes received from the client.
    pub bytes_in: u64,
    /// Body bytes sent to the client.
    pub bytes_out: u64,
}

impl Control {
    /// The requests that the caller can see, newest first.
    pub async fn list_requests(
        &self,
        caller: &Caller,
        filter: &RequestFilter,
        page: &Page,
    ) -> Result<PageOf<RequestView>, ServiceError> {
        let (limit, before) = (page.limit()?, page.after()?);
        let (status, outcome) = code(filter.code.as_deref())?;
        let mut conn = self.store().read().await?;
        let who = Who::read(&mut conn, self.profile(), caller, self.clock().now()).await?;
        let org = match &filter.org {
            Some(named) => Some(orgs::find(&mut conn, &who, named).await?.id),
            None => who.org(),
        };
        let team = whole_or_team(self.profile(), &who, org, control::USAGE_READ)?;
        let (since, credential) = (filter.since, filter.credential.clone());
        let filter = Filter { org, team, since, credential, status, outcome };
        let found = requests::list(&mut conn, &filter, before, limit).await?;
        let items = found.items.into_iter().map(shown).collect();
        Ok(PageOf { items, next_cursor: found.next.map(|seq| seq.to_string()) })
    }
}

/// Three digits are a status, a word is an outcome.
fn code(text: Option<&str>) -> Result<(Option<u16>, Option<String>), ServiceError> {
    let Some(text) = text else { return Ok((None, None)) };
    if text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') && !text.is_empty() {
        return Ok((None, Some(text.to_owned())));
    }
    match text.parse() {
        Ok(status @ 100..=999) if text.len() == 3 => Ok((Some(status), None)),
        _ => Err(ServiceError::field(
            "code",
            "expected a status such as 403, or an outcome such as scope_insufficient",
        )),
    }
}

fn shown(request: Request) -> RequestView {
    RequestView {
        ts: request.at,
        request_id: request.request_id,
        method: request.method,
        host: request.host,
        path: request.path,
        status: request.status,
        duration_ms: request.duration.as_micros() as f64 / 1000.0,
        upstream: request.upstream,
        route: request.route,
        client_ip: request.client_ip,
        auth_method: request.auth_method,
        credential: request.credential,
        tenant: request.org,
        team: request.team,
        outcome: request.outcome,
        bytes_in: request.bytes_in,
        bytes_out: request.bytes_out,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_a_status_or_an_outcome() {
        assert_eq!(code(None).unwrap(), (None, None));
        assert_eq!(code(Some("403")).unwrap(), (Some(403), None));
        assert_eq!(code(Some("rate_limited")).unwrap(), (None, Some("rate_limited".into())));
        for wrong in ["", "40", "+403", "0403", "4xx", "OK", "403 ", "٤٠٣"] {
            assert_eq!(code(Some(wrong)).unwrap_err().code(), "invalid_field", "{wrong}");
        }
    }
}
