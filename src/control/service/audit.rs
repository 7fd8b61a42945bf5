//! Reading the audit trail, and proving that it is whole.

use super::{Caller, Control, Page, PageOf, ServiceError, caller::Who, orgs};
use crate::{
    domain::{
        audit::{ActorKind, ChainHash},
        boundary::Boundary,
        id::{AuditId, OrgId, TeamId},
        permission::Permission,
        profile::{Profile, control},
        time::Timestamp,
    },
    store::audit::{self, Entry, Filter, Progress, Verdict},
};

/// Which events a list shows.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Of this organization, by id or slug.
    pub org: Option<String>,
    /// About this kind of thing, such as `api_keys`.
    pub target_table: Option<String>,
    /// About this thing: a key's prefix, or an id.
    pub target: Option<String>,
    /// With this verb, such as `revoke`.
    pub action: Option<String>,
    /// By this actor: an e-mail address, a key's prefix, or `operator`.
    pub actor: Option<String>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
}

/// An event as shown.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct AuditEntry {
    /// Its id.
    pub id: AuditId,
    /// When.
    pub at: Timestamp,
    /// The kind of thing.
    pub target_table: String,
    /// The thing.
    pub target: String,
    /// A verb.
    pub action: String,
    /// Noun and past participle.
    pub event: String,
    /// Who.
    pub actor: String,
    /// What the actor is.
    pub actor_kind: ActorKind,
    /// From where.
    pub ip: Option<String>,
    /// What else is worth knowing.
    pub detail: serde_json::Value,
    /// The hash over it and the event before it.
    pub hash: ChainHash,
}

/// Whether the trail is as it was written.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum ChainVerdict {
    /// It is.
    Whole {
        /// How many events it has.
        events: i64,
        /// The newest hash, worth writing down somewhere else.
        head: ChainHash,
    },
    /// It is not, from this row on.
    Broken {
        /// The row's place in the chain, from 1.
        row: i64,
        /// The row's id, as far as it can be read.
        id: Option<String>,
        /// What does not hold.
        why: &'static str,
    },
}

/// Rows read at a time by a verification.
const VERIFIED_AT_ONCE: u32 = 1000;

impl Control {
    /// The events that the caller can see, newest first.
    pub async fn list_audit(
        &self,
        caller: &Caller,
        filter: &AuditFilter,
        page: &Page,
    ) -> Result<PageOf<AuditEntry>, ServiceError> {
        let (limit, before) = (page.limit()?, page.after()?);
        let mut conn = self.store().read().await?;
        let who = Who::read(&mut conn, self.profile(), caller, self.clock().now()).await?;
        let org = match &filter.org {
            Some(named) => Some(orgs::find(&mut conn, &who, named).await?.id),
            None => who.org(),
        };
        let team = whole_or_team(self.profile(), &who, org, control::AUDIT_READ)?;
        let filter = Filter {
            org,
            team,
            target_table: filter.target_table.clone(),
            target: filter.target.clone(),
            action: filter.action.clone(),
            actor: filter.actor.clone(),
            since: filter.since,
            until: filter.until,
        };
        let found = audit::list(&mut conn, &filter, before, limit).await?;
        let items = found.items.into_iter().map(shown).collect();
        Ok(PageOf { items, next_cursor: found.next.map(|seq| seq.to_string()) })
    }

    /// Walks the whole chain; `seen` is told how far it has come. Reads beside whatever else goes on.
    pub async fn verify_audit(&self, mut seen: impl FnMut(i64) + Send) -> Result<ChainVerdict, ServiceError> {
        let mut conn = self.store().read().await?;
        let mut progress = Progress::START;
        loop {
            let verdict = audit::verify(&mut conn, &mut progress, VERIFIED_AT_ONCE).await?;
            seen(progress.events());
            match verdict {
                None => {}
                Some(Verdict::Whole { events, head }) => return Ok(ChainVerdict::Whole { events, head }),
                Some(Verdict::Broken { seq, id, why }) => {
                    return Ok(ChainVerdict::Broken { row: seq, id, why });
                }
            }
        }
    }
}

/// What somebody may read of the organization with this permission: all of it (none), or what is of the only team in
/// which they hold it.
pub(super) fn whole_or_team(
    profile: &Profile,
    who: &Who,
    org: Option<OrgId>,
    permission: Permission,
) -> Result<Option<TeamId>, ServiceError> {
    // Who acts in one team reads of that team, whatever else they could (R000_01).
    let in_one = matches!(who, Who::Person(person, _) if person.acts_in.is_some());
    if !in_one && org.is_none_or(|org| who.may(permission, &Boundary::Org(org))) {
        return Ok(None);
    }
    let mut teams = match who {
        Who::Operator => Vec::new(),
        Who::Person(person, _) => {
            let org = person.user.org_id;
            let reads = |team: &TeamId| who.may(permission, &Boundary::Team(org, *team));
            match person.acts_in {
                Some(team) => vec![team],
                None => person.in_teams.keys().copied().filter(reads).collect(),
            }
        }
        Who::Key(holder, _) => holder.key.boundary.team().into_iter().collect(),
    };
    match (teams.pop(), teams.pop()) {
        (Some(team), None)
            if who.org().is_some_and(|org| who.may(permission, &Boundary::Team(org, team))) =>
        {
            Ok(Some(team))
        }
        _ => Err(ServiceError::Lacks(profile.permissions.name(permission).to_owned())),
    }
}

fn shown(entry: Entry) -> AuditEntry {
    let event = entry.event;
    AuditEntry {
        id: event.id,
        at: event.at,
        target_table: event.target_table,
        target: event.target,
        action: event.action,
        event: event.event,
        actor: event.actor.name,
        actor_kind: event.actor.kind,
        ip: event.ip,
        // What is no JSON is shown as the text it is: the trail is evidence.
        detail: serde_json::from_str(&event.detail).unwrap_or(serde_json::Value::String(event.detail)),
        hash: entry.hash,
    }
}
