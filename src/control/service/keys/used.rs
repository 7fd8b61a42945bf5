//! Uses of keys: counted for their keys, and those that the configuration asks for put into the audit trail (R002_16).
//!
//! Requests are not kept waiting for this: uses come in batches, about a second behind. A batch is one transaction,
//! so a use that is the first from its address is an event exactly once, whenever the program ends.

use std::{collections::HashSet, net::IpAddr};

use serde_json::json;

use crate::{
    config::KeyUseEvents,
    control::service::Control,
    domain::{
        audit::{Actor, ActorKind, Event},
        id::{AuditId, KeyId, OrgId, TeamId},
        time::Timestamp,
    },
    store::{
        StoreError, Tx, audit,
        usage::{self, Used, Whose, waiting},
    },
};

/// One use of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUsed {
    /// When.
    pub at: Timestamp,
    /// From where.
    pub ip: Option<IpAddr>,
    /// The request.
    pub request_id: Option<String>,
    /// The key's public characters.
    pub prefix: String,
    /// Its organization.
    pub org: OrgId,
    /// Its team.
    pub team: Option<TeamId>,
}

/// Keys and addresses that are known to have been seen together, so that the store is not asked again.
#[derive(Debug, Default)]
pub struct KnownSources(HashSet<(KeyId, Option<IpAddr>)>);

/// So many uses are counted as soon as they come.
const FEW: usize = 256;

/// Beyond it they are forgotten, and asked for again.
const KNOWN: usize = 100_000;

impl KnownSources {
    fn insert(&mut self, source: (KeyId, Option<IpAddr>)) {
        if self.0.len() >= KNOWN {
            self.0.clear();
        }
        self.0.insert(source);
    }
}

impl Control {
    /// Writes down a batch of uses, and records `each` as an event, in the order given; all or nothing. Keys that are
    /// gone are passed over. A few uses are counted for their keys at once; where there are more they wait, and what
    /// waits of one `share` is counted. Gives whether some of these wait.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: nothing was written; the caller keeps the batch and tries again.
    pub async fn write_uses(
        &self,
        counts: &[Used],
        each: &[KeyUsed],
        known: &mut KnownSources,
        share: Option<u8>,
    ) -> Result<bool, StoreError> {
        let wants_firsts = self.settings().key_use == KeyUseEvents::FirstPerIp;
        let wait = counts.len() > FEW && !wants_firsts;
        let mut tx = self.store().write_patiently().await?;
        let mut events: Vec<Event> = each.iter().map(used).collect();
        let mut firsts = Vec::new();
        if wants_firsts {
            // What is the first use is told by what is counted.
            waiting::count_all(&mut tx).await?;
            firsts = first_uses(&mut tx, counts, known).await?;
        }
        if wait {
            waiting::put(&mut tx, counts).await?;
        } else {
            usage::add(&mut tx, counts).await?;
        }
        if let Some(share) = share {
            waiting::count(&mut tx, share).await?;
        }
        let keys: Vec<_> = firsts.iter().map(|first| first.key).collect();
        let whose = usage::whose(&mut tx, &keys).await?;
        for first in &firsts {
            let Some(whose) = whose.get(&first.key) else { continue };
            let Whose { prefix, org, team } = whose.clone();
            let key = KeyUsed { at: first.last, ip: first.ip, request_id: None, prefix, org, team };
            events.push(Event {
                detail: json!({ "because": "the first use from this address" }).to_string(),
                ..used(&key)
            });
        }
        events.sort_by_key(|event| event.at);
        audit::append(&mut tx, &events).await?;
        tx.commit().await?;
        for first in &firsts {
            known.insert((first.key, first.ip));
        }
        self.count_recorded(std::iter::repeat_n("use", events.len()));
        Ok(wait)
    }

    /// Records that so many uses of an organization's keys are missing in its trail: a gap that says so is no lie.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: nothing was written.
    pub async fn write_missing_uses(&self, missing: &[(OrgId, u64)]) -> Result<(), StoreError> {
        let now = self.clock().now();
        let event = |(org, count): &(OrgId, u64)| Event {
            id: AuditId::new(now),
            at: now,
            org: Some(*org),
            team: None,
            target_table: "api_keys".into(),
            target: org.to_string(),
            action: "use".into(),
            event: "api_key.uses_dropped".into(),
            actor: Actor { kind: ActorKind::System, name: "system".into() },
            ip: None,
            detail: json!({ "because": "more than could be written down", "uses": count }).to_string(),
        };
        let events: Vec<Event> = missing.iter().map(event).collect();
        let mut tx = self.store().write().await?;
        audit::append(&mut tx, &events).await?;
        tx.commit().await?;
        self.count_recorded(std::iter::repeat_n("use", events.len()));
        Ok(())
    }
}

/// The uses in a batch that are the first of a key from an address.
async fn first_uses<'a>(
    tx: &mut Tx,
    counts: &'a [Used],
    known: &mut KnownSources,
) -> Result<Vec<&'a Used>, StoreError> {
    let mut new: Vec<_> = counts.iter().filter(|used| !known.0.contains(&(used.key, used.ip))).collect();
    let sources: Vec<_> = new.iter().map(|used| (used.key, used.ip)).collect();
    let mut seen = usage::seen_before(tx, &sources).await?;
    for source in &seen {
        known.insert(*source);
    }
    // Several minutes of one address are one first use.
    new.retain(|used| seen.insert((used.key, used.ip)));
    Ok(new)
}

fn used(key: &KeyUsed) -> Event {
    Event {
        id: AuditId::new(key.at),
        at: key.at,
        org: Some(key.org),
        team: key.team,
        target_table: "api_keys".into(),
        target: key.prefix.clone(),
        action: "use".into(),
        event: "api_key.used".into(),
        actor: Actor { kind: ActorKind::ApiKey, name: key.prefix.clone() },
        ip: key.ip.map(|ip| ip.to_string()),
        detail: json!({ "request_id": key.request_id }).to_string(),
    }
}
