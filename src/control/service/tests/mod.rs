//! The use cases against a real store. What they mean for requests is tested through the running gateway.

mod escalation;
mod groups;
mod invitations;
mod keys;
mod life;
mod notices;
mod people;
mod rights;
mod used;

use std::{sync::Arc, time::Duration};

use super::{
    Applied, Caller, Control, Created, NewKey, NewOrg, NewTeam, NewUser, Parts, ServiceError, Settings,
};
use crate::{
    config::{Mail, MailWay, Sender},
    domain::{
        id::{TeamId, UserId},
        key::secret::{MacKey, RootSecret},
        profile::Profile,
        seal::SealKey,
        time::{Clock, Timestamp},
    },
    store::{Options, Store},
};

const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The cheapest hash: what these tests are about is not its cost.
const COST: u32 = 4;

/// A platform with one organization, `acme`, and one team, `core`.
struct Platform {
    control: Control,
    clock: Clock,
    team: Option<TeamId>,
    directory: tempfile::TempDir,
}

impl Platform {
    async fn new(profile: &str) -> Self {
        Self::with(profile, |_| ()).await
    }

    async fn with(profile: &str, change: impl FnOnce(&mut Settings)) -> Self {
        Self::made(Profile::parse(Profile::shipped(profile).unwrap(), profile).unwrap(), change).await
    }

    async fn of(profile: Profile) -> Self {
        Self::made(profile, |_| ()).await
    }

    async fn made(profile: Profile, change: impl FnOnce(&mut Settings)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let options = Options::sqlite(directory.path().join("latchgate.db")).create(true).migrate(true);
        let store = Store::open(&options, NOW).await.unwrap();
        let profile = Arc::new(profile);
        let clock = Clock::manual(NOW);
        let mut settings = Settings {
            assertion: false,
            rotation_grace: profile.keys.rotation_grace,
            bcrypt_cost: COST,
            accept_foreign: false,
            key_use: crate::config::KeyUseEvents::Off,
            sessions: crate::config::Sessions::default(),
            failures_per_address: std::num::NonZeroU32::MAX,
            mail: Some(Arc::new(Mail {
                way: MailWay::Folder(directory.path().join("outbox")),
                from: Sender { name: None, address: "gate@example.com".parse().unwrap() },
            })),
            ca: None,
            invitations: crate::config::Invitations::default(),
            public_url: "http://127.0.0.1:8080".into(),
        };
        change(&mut settings);
        let control = Control::new(Parts {
            store,
            profile: Arc::clone(&profile),
            clock: clock.clone(),
            mac_key: MacKey::derive(&RootSecret::parse(&[7; 32]).unwrap()),
            seal_key: SealKey::derive(&RootSecret::parse(&[7; 32]).unwrap()).unwrap(),
            settings,
            applied: Applied::elsewhere(),
        });
        let org = NewOrg { name: "Acme".into(), slug: None };
        control.create_org(&Caller::Operator, &org).await.unwrap();
        let mut platform = Self { control, clock, team: None, directory };
        if profile.has_teams() {
            platform.team = Some(platform.team("Core").await);
        }
        platform
    }

    async fn team(&self, name: &str) -> TeamId {
        let team = NewTeam { org: Some("acme".into()), name: name.into(), slug: None };
        self.control.create_team(&Caller::Operator, &team).await.unwrap().id
    }

    /// A person called `name` with `role`, as a caller.
    async fn person(&self, name: &str, role: &str) -> Caller {
        let user = NewUser {
            email: format!("{name}@acme.example"),
            name: name.into(),
            role: Some(role.to_owned()).filter(|role| role != "none"),
            team_id: self.team.map(|id| id.to_string()).filter(|_| role != "none"),
            ..NewUser::default()
        };
        let user = self.control.create_user(&Caller::Operator, &user).await.unwrap();
        Caller::User { id: user.id, ip: None, team: None }
    }

    async fn key(&self, caller: &Caller, new: NewKey) -> Result<Created, ServiceError> {
        self.control.create_key(caller, &new).await
    }

    /// Delivers what waits; the mails of all time, oldest first.
    async fn mails(&self) -> Vec<String> {
        while self.control.deliver_mails().await.unwrap().sent > 0 {}
        let Ok(folder) = std::fs::read_dir(self.directory.path().join("outbox")) else { return Vec::new() };
        let mut files: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
        // Ids made in one moment are in no order.
        files.sort_by_key(|file| std::fs::metadata(file).and_then(|file| file.modified()).unwrap());
        files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
    }

    /// The token of the newest mail.
    async fn token(&self) -> String {
        let mails = self.mails().await;
        let plain = mails.last().expect("a mail").replace("=\r\n", "").replace("=3D", "=");
        let (_, token) = plain.split_once("accept?token=").expect("a link");
        token.chars().take_while(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect()
    }

    async fn audit(&self) -> Vec<String> {
        let page = super::Page { limit: Some(200), cursor: None };
        let list =
            self.control.list_audit(&Caller::Operator, &super::AuditFilter::default(), &page).await.unwrap();
        list.items.into_iter().map(|entry| format!("{} {}", entry.event, entry.target)).collect()
    }
}

/// A key that any role of `offload` may make.
fn reading() -> NewKey {
    NewKey { name: "ci".into(), scopes: Some(vec!["scan:read".into()]), ..NewKey::default() }
}

fn list(words: &str) -> Vec<String> {
    words.split(' ').map(str::to_owned).collect()
}

fn user_id(caller: &Caller) -> UserId {
    match caller {
        Caller::User { id, .. } => *id,
        other => panic!("{other:?} is no person"),
    }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, ServiceError>, code: &str) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    error.to_string()
}
