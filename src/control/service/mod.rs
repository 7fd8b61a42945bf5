//! The use cases, and the only writer of state. Each one is: authorise, change, audit row, change row, commit - in
//! one transaction, so that nothing half-done can be seen - then wait until this node has applied the change.
//!
//! The command line, the admin API and the console call these same functions, so none of them can forget a rule.
//! Whoever calls is a [`Caller`]; what they hold is read inside the transaction, so that a role taken away a moment
//! ago no longer counts.

mod applied;
mod assertion_keys;
mod attempts;
mod audit;
mod caller;
mod error;
mod fields;
mod groups;
mod hashing;
mod invitations;
mod keys;
mod last_admin;
mod mails;
mod members;
mod notices;
mod once;
mod orgs;
mod page;
mod projects;
mod requests;
mod rights;
mod roles;
mod sessions;
mod teams;
#[cfg(test)]
mod tests;
mod users;
mod work;

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf, sync::Arc, time::Duration};

pub use self::{
    applied::Applied,
    assertion_keys::{AssertionKeyView, AssertionKeys, Signing},
    audit::{AuditEntry, AuditFilter, ChainVerdict},
    caller::Caller,
    error::{FieldError, ServiceError},
    groups::{GroupChanges, GroupMemberView, GroupView, NewGroup},
    invitations::{Acceptance, Accepted, InvitationView, InviteTo, NewInvitation, OpenInvitation},
    keys::{
        Created, IMPORT_BATCH, Imported, KeyChanges, KeyFilter, KeyUsage, KeyUsed, KeyView, KnownSources,
        NewKey,
    },
    mails::Delivered,
    members::MemberView,
    once::Once,
    orgs::NewOrg,
    page::{Page, PageOf},
    projects::NewProject,
    requests::{RequestFilter, RequestView},
    roles::{NewRole, RoleChanges, RoleDetail},
    sessions::{
        Enrolment, Halfway, Named, Place, SecondFactorView, SessionView, SignIn, SignedIn, Step, VouchedFor,
    },
    teams::NewTeam,
    users::{NewUser, UserView},
};
use crate::{
    config::{self, Config, Invitations, KeyUseEvents, Mail},
    domain::{key::secret::MacKey, profile::Profile, seal::SealKey, time::Clock},
    store::Store,
    telemetry::metrics::Metrics,
};

/// What the use cases need to know of the configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long a rotated key goes on working unless the caller says otherwise.
    pub rotation_grace: Duration,
    /// The work factor of new hashes, as a power of two.
    pub bcrypt_cost: u32,
    /// Whether imported keys may have another shape than the profile's.
    pub accept_foreign: bool,
    /// Which uses of keys are events.
    pub key_use: KeyUseEvents,
    /// How mails leave; none: none does.
    pub mail: Option<Arc<Mail>>,
    /// Certificates that are trusted beside the machine's, for a mail server.
    pub ca: Option<PathBuf>,
    /// Rules for invitations.
    pub invitations: Invitations,
    /// How people reach the gateway: a scheme and an authority, for links.
    pub public_url: String,
    /// How long whoever signs in stays signed in, and in which cookie.
    pub sessions: config::Sessions,
    /// Whether upstreams get assertions.
    pub assertion: bool,
    /// How often an address may be wrong in a minute.
    pub failures_per_address: NonZeroU32,
}

impl Settings {
    /// From a configuration; `gateway` is where the gateway listens.
    pub fn of(config: &Config, gateway: SocketAddr) -> Self {
        Self {
            rotation_grace: config.keys.rotation_grace,
            bcrypt_cost: config.keys.bcrypt_cost,
            accept_foreign: config.keys.accept_foreign,
            key_use: config.audit.api_key_use,
            mail: config.mail.clone(),
            ca: config.outbound.ca.clone(),
            invitations: config.invitations.clone(),
            public_url: config.reached_at(gateway),
            sessions: config.sessions,
            assertion: config.identity.assertion,
            failures_per_address: config.auth.failures_per_minute.ip,
        }
    }
}

/// Everything that a [`Control`] is made of.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Where state is kept.
    pub store: Store,
    /// The rules of the platform.
    pub profile: Arc<Profile>,
    /// What time it is.
    pub clock: Clock,
    /// Makes the fast proof that is stored beside a new key's hash.
    pub mac_key: MacKey,
    /// Seals what has to be read again.
    pub seal_key: SealKey,
    /// From the configuration.
    pub settings: Settings,
    /// How far the node that this runs in has applied the feed.
    pub applied: Applied,
}

/// The use cases. Cheap to clone. Another profile or other settings make another one.
#[derive(Debug, Clone)]
pub struct Control(Arc<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    parts: Parts,
    hashing: hashing::Hashing,
    attempts: attempts::Attempts,
    metrics: Option<Arc<Metrics>>,
    once: Option<Once>,
}

impl Control {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        let attempts = attempts::Attempts::new(parts.clock.clone());
        let hashing = hashing::Hashing::new();
        Self(Arc::new(Inner { parts, hashing, attempts, metrics: None, once: None }))
    }

    /// The same on a node whose metrics count what is recorded.
    #[must_use]
    pub fn counting(self, metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Inner { metrics: Some(metrics), ..(*self.0).clone() }))
    }

    /// The same under another configuration.
    #[must_use]
    pub fn under(&self, profile: Arc<Profile>, settings: Settings) -> Self {
        let inner = (*self.0).clone();
        Self(Arc::new(Inner { parts: Parts { profile, settings, ..inner.parts }, ..inner }))
    }

    /// Where state is kept.
    pub fn store(&self) -> &Store {
        &self.0.parts.store
    }

    /// The rules of the platform.
    pub fn profile(&self) -> &Profile {
        &self.0.parts.profile
    }

    /// The clock that life and grace are judged by.
    pub fn clock(&self) -> &Clock {
        &self.0.parts.clock
    }

    /// How long sessions last, and in which cookie they come.
    pub fn sessions(&self) -> config::Sessions {
        self.0.parts.settings.sessions
    }

    fn settings(&self) -> &Settings {
        &self.0.parts.settings
    }
}
