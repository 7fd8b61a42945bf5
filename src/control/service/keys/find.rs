//! Finding keys: one by id or prefix, many by what they are.

use super::{
    super::{caller::Who, orgs, projects, teams, users},
    KeyView, visible,
};
use crate::{
    control::service::{Caller, Control, Page, PageOf, ServiceError},
    domain::{id::KeyId, key::state::Status},
    store::{
        Conn,
        keys::{self, Filter, Held},
        projects::Filter as Projects,
    },
};

/// Which keys a list shows. Objects are named by id or slug, people by id or e-mail address.
#[derive(Debug, Clone, Default)]
pub struct KeyFilter {
    /// Of this organization.
    pub org: Option<String>,
    /// Bound to this team, or to a project of it.
    pub team_id: Option<String>,
    /// Bound to this project.
    pub project_id: Option<String>,
    /// Of this person.
    pub user: Option<String>,
    /// With these public characters, with or without what stands before them.
    pub prefix: Option<String>,
    /// In this state.
    pub status: Option<Status>,
    /// With this text in name, prefix, description or environment.
    pub q: Option<String>,
}

impl Control {
    /// The keys that the caller can see, newest first; revoked and expired ones too.
    pub async fn list_keys(
        &self,
        caller: &Caller,
        filter: &KeyFilter,
        page: &Page,
    ) -> Result<PageOf<KeyView>, ServiceError> {
        let (limit, mut before) = (page.limit()?, page.after()?);
        let now = self.clock().now();
        let mut conn = self.store().read().await?;
        let who = Who::read(&mut conn, self.profile(), caller, now).await?;
        let prefix = filter.prefix.as_deref().map(|prefix| self.bare(prefix).to_owned());
        let filter = Filter { prefix, ..resolve(&mut conn, &who, filter).await? };
        // Read on until the part is full: what is hidden from the caller shows in no empty part and no cursor.
        let mut items = Vec::new();
        while items.len() <= usize::try_from(limit).unwrap_or(usize::MAX) {
            let found = keys::list(&mut conn, &filter, now, before, limit + 1).await?;
            let shown = found.items.into_iter().filter(|listed| visible(self.profile(), &who, &listed.key));
            items.extend(shown.map(|listed| KeyView::new(listed.key, listed.created_by, now)));
            before = found.next;
            if before.is_none() {
                break;
            }
        }
        Ok(PageOf::cut(items, limit, |key| key.id.to_string()))
    }

    /// The key with this id or prefix.
    pub async fn find_key(&self, caller: &Caller, named: &str) -> Result<KeyView, ServiceError> {
        let now = self.clock().now();
        let mut conn = self.store().read().await?;
        let who = Who::read(&mut conn, self.profile(), caller, now).await?;
        let held = self.key(&mut conn, &who, named).await?;
        Ok(KeyView::new(held.key, held.issuer.map(|person| person.email), now))
    }

    /// The key with this id or prefix, unless it is not the caller's to know of.
    pub(super) async fn key(&self, conn: &mut Conn, who: &Who, named: &str) -> Result<Held, ServiceError> {
        let id = match named.parse() {
            Ok(id) => id,
            Err(_) => self.key_id(conn, named).await?,
        };
        let held = keys::find(conn, id).await?;
        held.filter(|held| visible(self.profile(), who, &held.key))
            .ok_or_else(|| ServiceError::not_found("key", named))
    }

    /// People copy what they see: the public characters, with or without what stands before them.
    fn bare<'a>(&self, prefix: &'a str) -> &'a str {
        prefix.strip_prefix(self.profile().keys.shape.literal()).unwrap_or(prefix)
    }

    /// The id of the key with this prefix.
    async fn key_id(&self, conn: &mut Conn, named: &str) -> Result<KeyId, ServiceError> {
        let bare = self.bare(named);
        let mut ids = keys::find_any(conn, bare).await?;
        match (ids.pop(), ids.pop()) {
            (Some(id), None) => Ok(id),
            (Some(_), Some(_)) => {
                Err(ServiceError::Conflict(format!("several keys have the prefix `{bare}`: use the id")))
            }
            _ => Err(ServiceError::not_found("key", bare)),
        }
    }
}

async fn resolve(conn: &mut Conn, who: &Who, filter: &KeyFilter) -> Result<Filter, ServiceError> {
    let org = match &filter.org {
        Some(named) => Some(orgs::find(conn, who, named).await?.id),
        None => who.org(),
    };
    let team = match &filter.team_id {
        Some(named) => Some(teams::find(conn, who, org, named).await?.id),
        None => None,
    };
    let project = match &filter.project_id {
        Some(named) => Some(projects::find(conn, who, Projects { org, team }, named).await?.id),
        None => None,
    };
    let owner = match &filter.user {
        Some(named) => Some(users::find(conn, who, named).await?.id),
        None => None,
    };
    // What lies outside they cannot see anyway.
    let team = team.or(who.only_team());
    let project = project.or(match who {
        Who::Key(holder, _) => holder.key.boundary.project(),
        Who::Operator | Who::Person(..) => None,
    });
    let text = filter.q.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    Ok(Filter { org, team, project, owner, prefix: None, status: filter.status, text })
}
