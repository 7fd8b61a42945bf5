//! One use case under way: its transaction, who it is for, and what it leaves behind.

use super::{Caller, Control, caller::Who, error::ServiceError};
use crate::{
    domain::{
        audit::Event,
        id::{AuditId, OrgId, TeamId},
        time::Timestamp,
    },
    store::{Tx, audit, changes},
};

/// A transaction in which a caller is known.
pub(super) struct Work<'c> {
    pub(super) tx: Tx,
    pub(super) now: Timestamp,
    pub(super) who: Who,
    control: &'c Control,
    /// The verbs of what was recorded, for the metric.
    recorded: Vec<&'static str>,
}

/// What the audit trail says about a change.
pub(super) struct Deed {
    pub(super) org: OrgId,
    pub(super) team: Option<TeamId>,
    /// The table of the thing.
    pub(super) table: &'static str,
    /// A key's prefix, else an id.
    pub(super) target: String,
    /// A verb.
    pub(super) action: &'static str,
    /// Noun and past participle.
    pub(super) event: &'static str,
    /// What else is worth knowing; never a secret.
    pub(super) detail: serde_json::Value,
}

impl Control {
    /// Takes the write lock and reads what the caller holds now.
    pub(super) async fn begin(&self, caller: &Caller) -> Result<Work<'_>, ServiceError> {
        let mut tx = self.store().write().await?;
        let now = self.clock().now();
        if let Some(once) = &self.0.once {
            // The write lock is held: of two equal requests one gets here first, and the other finds its answer.
            once.refuse_again(&mut tx, now).await?;
        }
        let who = Who::read(&mut tx, self.profile(), caller, now).await?;
        Ok(Work { tx, now, who, control: self, recorded: Vec::new() })
    }
}

impl Control {
    /// A use case in a transaction that has begun already, by somebody who has become known in it.
    pub(super) fn begun(&self, tx: Tx, now: Timestamp, who: Who) -> Work<'_> {
        Work { tx, now, who, control: self, recorded: Vec::new() }
    }

    /// Counts what was added to the audit trail, by verb.
    pub(super) fn count_recorded(&self, verbs: impl IntoIterator<Item = &'static str>) {
        if let Some(metrics) = &self.0.metrics {
            verbs.into_iter().for_each(|verb| metrics.store.audited(verb));
        }
    }
}

impl Work<'_> {
    /// Adds to the audit trail.
    pub(super) async fn record(&mut self, deed: Deed) -> Result<(), ServiceError> {
        self.record_all([deed]).await
    }

    /// Adds several events to the audit trail, in this order.
    pub(super) async fn record_all(
        &mut self,
        deeds: impl IntoIterator<Item = Deed>,
    ) -> Result<(), ServiceError> {
        let mut events = Vec::new();
        for deed in deeds {
            self.recorded.push(deed.action);
            events.push(self.event(deed));
        }
        Ok(audit::append(&mut self.tx, &events).await?)
    }

    fn event(&self, deed: Deed) -> Event {
        Event {
            id: AuditId::new(self.now),
            at: self.now,
            org: Some(deed.org),
            team: deed.team,
            target_table: deed.table.to_owned(),
            target: deed.target,
            action: deed.action.to_owned(),
            event: deed.event.to_owned(),
            actor: self.who.actor(),
            ip: self.who.ip().map(|ip| ip.to_string()),
            detail: deed.detail.to_string(),
        }
    }

    /// Tells every node what no longer holds.
    pub(super) async fn changed(&mut self, subject: &changes::Subject) -> Result<(), ServiceError> {
        changes::append(&mut self.tx, self.now, subject).await?;
        Ok(())
    }

    /// Commits, then waits until this node has applied what changed. `answer` is kept, in the same transaction, for
    /// a request that may come twice.
    pub(super) async fn finish(mut self, answer: &impl serde::Serialize) -> Result<(), ServiceError> {
        if let Some(once) = &self.control.0.once {
            once.keep(&mut self.tx, self.now, answer).await?;
        }
        let change = self.tx.commit().await?;
        self.control.count_recorded(self.recorded.iter().copied());
        if let Some(change) = change {
            self.control.0.parts.applied.wait(change).await;
        }
        Ok(())
    }
}
