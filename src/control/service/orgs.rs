//! Organizations.

use serde_json::json;

use super::{
    Caller, Control, FieldError, Page, PageOf, ServiceError,
    caller::Who,
    fields,
    invitations::Wanted,
    keys::revoke_within,
    teams,
    work::{Deed, Work},
};
use crate::{
    domain::{
        boundary::Boundary,
        email::{Email, NotAnEmail},
        id::OrgId,
        profile::control,
        role::Level,
    },
    store::{Conn, changes::Subject, orgs, orgs::Org},
};

/// A new organization.
#[derive(Debug, Clone, Default)]
pub struct NewOrg {
    /// Its name for people.
    pub name: String,
    /// Its name in commands; made from the name when left out.
    pub slug: Option<String>,
}

const LONGEST_NAME: usize = 100;

impl Control {
    /// Makes an organization.
    pub async fn create_org(&self, caller: &Caller, new: &NewOrg) -> Result<Org, ServiceError> {
        self.found_org(caller, new, None).await
    }

    /// Makes an organization and invites its first administrator, who gets the highest role. Where that is held in a
    /// team, there is a first team too.
    pub async fn found_org(
        &self,
        caller: &Caller,
        new: &NewOrg,
        admin: Option<&str>,
    ) -> Result<Org, ServiceError> {
        let admin = admin
            .map(fields::email)
            .transpose()
            .map_err(|_| ServiceError::field("admin_email", NotAnEmail.to_string()))?;
        let mut work = self.begin(caller).await?;
        if let Some(own) = work.who.org() {
            work.who.require(self.profile(), control::ORG_CREATE, &Boundary::Org(own))?;
        }
        if matches!(work.who, Who::Key(..)) {
            return Err(ServiceError::Forbidden("an API key may not create organizations".into()));
        }
        let name = fields::name("name", &new.name, LONGEST_NAME)?;
        let slug = match &new.slug {
            Some(slug) => fields::slug(slug)?,
            None => free_slug(&mut work.tx, &name).await?,
        };
        let org = Org { id: OrgId::new(work.now), slug, name, created_at: work.now };
        if orgs::find_by_slug(&mut work.tx, &org.slug).await?.is_some() {
            return Err(ServiceError::Conflict(format!("the slug `{}` is taken", org.slug)));
        }
        orgs::insert(&mut work.tx, &org).await?;
        let detail = json!({ "slug": org.slug, "name": org.name });
        work.record(deed(&org, "create", "org.created", detail)).await?;
        if let Some(email) = &admin {
            self.invite_first(&mut work, &org, email).await?;
        }
        work.finish(&org).await?;
        Ok(org)
    }

    async fn invite_first(&self, work: &mut Work<'_>, org: &Org, email: &Email) -> Result<(), ServiceError> {
        self.may_mail(email).map_err(|error| match error {
            ServiceError::InvalidField(wrong) => ServiceError::InvalidField(
                wrong.into_iter().map(|wrong| FieldError { field: "admin_email", ..wrong }).collect(),
            ),
            other => other,
        })?;
        self.keep_pace(work).await?;
        let highest = self.profile().roles.highest();
        let (role, level) = (highest.name.clone(), highest.level);
        let team = if level == Level::Team { Some(teams::first(work, org.id).await?) } else { None };
        let wanted = Wanted { org, team, email, role: Some(&*role), message: None };
        self.write_invitation(work, &wanted).await.map(drop)
    }

    /// The organizations that the caller can see.
    pub async fn list_orgs(&self, caller: &Caller, page: &Page) -> Result<PageOf<Org>, ServiceError> {
        let (limit, after) = (page.limit()?, page.after()?);
        let mut conn = self.store().read().await?;
        let who = Who::read(&mut conn, self.profile(), caller, self.clock().now()).await?;
        let all = who.org().is_none_or(|own| who.may(control::ORG_CREATE, &Boundary::Org(own)));
        let items = match who.org() {
            Some(own) if !all => orgs::find(&mut conn, own).await?.into_iter().collect(),
            _ => orgs::list(&mut conn, after, limit + 1).await?,
        };
        Ok(PageOf::cut(items, limit, |org| org.id.to_string()))
    }

    /// The organization with this id or slug.
    pub async fn find_org(&self, caller: &Caller, named: &str) -> Result<Org, ServiceError> {
        let mut conn = self.store().read().await?;
        let who = Who::read(&mut conn, self.profile(), caller, self.clock().now()).await?;
        find(&mut conn, &who, named).await
    }

    /// Gives an organization another name, another slug, or both.
    pub async fn rename_org(
        &self,
        caller: &Caller,
        named: &str,
        name: Option<&str>,
        slug: Option<&str>,
    ) -> Result<Org, ServiceError> {
        let mut work = self.begin(caller).await?;
        let mut org = find(&mut work.tx, &work.who, named).await?;
        work.who.require(self.profile(), control::ORG_UPDATE, &Boundary::Org(org.id))?;
        org.name = name.map(|name| fields::name("name", name, LONGEST_NAME)).transpose()?.unwrap_or(org.name);
        org.slug = slug.map(fields::slug).transpose()?.unwrap_or(org.slug);
        let taken = orgs::find_by_slug(&mut work.tx, &org.slug).await?;
        if taken.is_some_and(|other| other.id != org.id) {
            return Err(ServiceError::Conflict(format!("the slug `{}` is taken", org.slug)));
        }
        orgs::rename(&mut work.tx, org.id, &org.name, &org.slug).await?;
        let detail = json!({ "slug": org.slug, "name": org.name });
        work.record(deed(&org, "update", "org.updated", detail)).await?;
        work.changed(&Subject::Org(org.id)).await?;
        work.finish(&org).await?;
        Ok(org)
    }

    /// Deletes an organization with its teams, people and keys; none of its keys works afterwards (R003_05).
    pub async fn delete_org(&self, caller: &Caller, named: &str) -> Result<(), ServiceError> {
        let mut work = self.begin(caller).await?;
        let org = find(&mut work.tx, &work.who, named).await?;
        work.who.require(self.profile(), control::ORG_DELETE, &Boundary::Org(org.id))?;
        let revoked = revoke_within(&mut work, &Boundary::Org(org.id)).await?;
        orgs::delete(&mut work.tx, org.id).await?;
        let detail = json!({ "slug": org.slug, "name": org.name, "keys_revoked": revoked });
        work.record(deed(&org, "delete", "org.deleted", detail)).await?;
        work.changed(&Subject::Org(org.id)).await?;
        work.finish(&()).await
    }
}

/// The organization with this id or slug, unless it is not the caller's to know of.
pub(super) async fn find(conn: &mut Conn, who: &Who, named: &str) -> Result<Org, ServiceError> {
    let found = match named.parse() {
        Ok(id) => orgs::find(conn, id).await?,
        Err(_) => orgs::find_by_slug(conn, named).await?,
    };
    found.filter(|org| who.sees(org.id)).ok_or_else(|| ServiceError::not_found("organization", named))
}

/// The organization that is meant when none is named: the caller's own, or the only one there is.
pub(super) async fn find_or_only(
    conn: &mut Conn,
    who: &Who,
    field: &'static str,
    named: Option<&str>,
) -> Result<Org, ServiceError> {
    if let Some(named) = named {
        return find(conn, who, named).await;
    }
    if let Some(own) = who.org() {
        return find(conn, who, &own.to_string()).await;
    }
    let mut some = orgs::list(conn, None, 2).await?;
    match (some.pop(), some.pop()) {
        (Some(only), None) => Ok(only),
        _ => Err(ServiceError::field(field, "name the organization, by its slug or id")),
    }
}

async fn free_slug(conn: &mut Conn, name: &str) -> Result<String, ServiceError> {
    let base = fields::slug_of(name, "org");
    for number in 1..100 {
        let slug = if number == 1 { base.clone() } else { format!("{base}-{number}") };
        if orgs::find_by_slug(conn, &slug).await?.is_none() {
            return Ok(slug);
        }
    }
    Err(ServiceError::field("slug", "choose one: those made from the name are taken"))
}

fn deed(org: &Org, action: &'static str, event: &'static str, detail: serde_json::Value) -> Deed {
    Deed { org: org.id, team: None, table: "orgs", target: org.id.to_string(), action, event, detail }
}
