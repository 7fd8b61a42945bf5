//! The store's own promises, against a real database. Nothing here is SQLite's alone but [`Scratch`] and what opens
//! or damages a file.

mod audit;
mod feed;
mod keys;
mod opening;
mod requests;

use std::time::Duration;

use super::{Options, Store, changes::Subject, keys::Key};
use crate::domain::{
    access::Networks,
    boundary::Boundary,
    id::{KeyId, OrgId, TeamId, UserId},
    key::{secret::KeyHash, state::Life},
    time::Timestamp,
};

const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);
const MINUTE: Duration = Duration::from_secs(60);

/// A store of its own in a directory that goes away.
struct Scratch {
    store: Store,
    directory: tempfile::TempDir,
}

impl Scratch {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let options = Options::sqlite(directory.path().join("latchgate.db")).create(true).migrate(true);
        Self { store: Store::open(&options, NOW).await.unwrap(), directory }
    }

    /// The same file, opened like another process would.
    async fn again(&self) -> Store {
        let options = Options::sqlite(self.directory.path().join("latchgate.db")).migrate(true);
        Store::open(&options, NOW).await.unwrap()
    }

    async fn raw(&self, sql: &'static str) -> Result<u64, sqlx::Error> {
        self.store.raw(sql).await
    }
}

/// An organization with a team and a person in it.
#[derive(Clone, Copy)]
struct Acme {
    org: OrgId,
    team: TeamId,
    ana: UserId,
}

async fn acme(store: &Store) -> Acme {
    let acme = Acme { org: OrgId::new(NOW), team: TeamId::new(NOW), ana: UserId::new(NOW) };
    let mut tx = store.write().await.unwrap();
    let org = super::orgs::Org { id: acme.org, slug: "acme".into(), name: "Acme".into(), created_at: NOW };
    super::orgs::insert(&mut tx, &org).await.unwrap();
    let team = super::teams::Team {
        id: acme.team,
        org_id: acme.org,
        slug: "core".into(),
        name: "Core".into(),
        created_at: NOW,
    };
    super::teams::insert(&mut tx, &team).await.unwrap();
    let user = super::users::User {
        id: acme.ana,
        org_id: acme.org,
        email: "Ana@acme.example".into(),
        name: "Ana".into(),
        created_at: NOW,
        deactivated_at: None,
        removed_at: None,
    };
    super::users::insert(&mut tx, &user, None).await.unwrap();
    let membership = super::memberships::Membership {
        user_id: acme.ana,
        org_id: acme.org,
        team_id: Some(acme.team),
        role: Some("viewer".into()),
        created_at: NOW,
    };
    super::memberships::put(&mut tx, &membership).await.unwrap();
    tx.commit().await.unwrap();
    acme
}

fn key(acme: Acme, prefix: &str) -> Key {
    let id = KeyId::new(NOW);
    Key {
        id,
        boundary: Boundary::Team(acme.org, acme.team),
        owner: Some(acme.ana),
        created_by: Some(acme.ana),
        parent: None,
        family: id,
        name: "ci".into(),
        description: None,
        prefix: prefix.into(),
        lookup: super::keys::Lookup::Public,
        hash: KeyHash::parse(&format!("sha256:{}", "ab".repeat(32))).unwrap(),
        mac: None,
        imported_at: None,
        scopes: Some(vec!["scan:read".into()]),
        roles: None,
        effective_role: None,
        security_level: super::keys::SecurityLevel::Standard,
        environment: Some("production".into()),
        rate: None,
        networks: Networks::parse(&["10.0.0.0/8", "2001:db8::/32"]).unwrap(),
        life: Life::begin(NOW, Some(NOW.after(MINUTE * 60))),
        last_used_at: None,
        last_used_ip: None,
        usage_count: 0,
        rotated_from: None,
        rotated_to: None,
    }
}

async fn add(store: &Store, key: &Key) {
    let mut tx = store.write().await.unwrap();
    super::keys::insert(&mut tx, key).await.unwrap();
    super::changes::append(&mut tx, NOW, &key.changed()).await.unwrap();
    tx.commit().await.unwrap();
}

fn about(acme: Acme) -> Subject {
    Subject::Org(acme.org)
}
