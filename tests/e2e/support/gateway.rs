//! The gateway in this process: the real one, with real listeners and a real store, on a clock that the test turns.

use std::{io, thread};

use latchgate::{
    app::{App, AppOptions},
    config::{Config, Environment},
    control::service::{Caller as By, Control},
    domain::time::Clock,
};
use tokio::runtime::Runtime;

use super::{
    program::{Key, Site},
    request::{Caller, Door},
};

/// What a store that answers no query looks like, and back.
const HIDDEN: [(&str, &str); 6] = [
    ("nonces", "hidden_nonces"),
    ("api_keys", "hidden_keys"),
    ("sessions", "hidden_sessions"),
    ("changes", "hidden_changes"),
    ("counters", "hidden_counters"),
    ("orgs", "hidden_orgs"),
];

/// A running gateway; stopped when dropped, when it also asserts that nothing failed in the background.
pub struct Gateway {
    pub site: Site,
    pub clock: Clock,
    door: Door,
    app: Option<App>,
    runtime: Runtime,
}

impl Gateway {
    /// Starts on this site's configuration and store. The clock stands still at the present.
    pub fn start(site: Site) -> Self {
        let clock = Clock::manual(Clock::system().now());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let config = Config::load(&site.config(), &Environment::empty()).expect("a configuration").config;
        let options = AppOptions {
            clock: clock.clone(),
            access_log: Some(Box::new(io::sink())),
            ..AppOptions::default()
        };
        let app = runtime.block_on(App::start(config, options)).expect("the gateway starts");
        let door = Door(app.gateway_addr());
        Self { site, clock, door, app: Some(app), runtime }
    }

    pub fn door(&self) -> Door {
        self.door
    }

    /// The admin port.
    pub fn admin(&self) -> Door {
        Door(self.app.as_ref().expect("it runs").admin_addr())
    }

    /// Where proxies ask over gRPC.
    pub fn ext_authz(&self) -> std::net::SocketAddr {
        self.app.as_ref().expect("it runs").ext_authz_addr().expect("the port is configured")
    }

    pub fn anonymous(&self) -> Caller {
        self.door.anonymous()
    }

    pub fn key(&self, key: &str) -> Caller {
        self.door.key(key)
    }

    /// Somebody who has just signed in, with their session as `Authorization: Bearer`.
    pub fn session(&self, email: &str) -> Caller {
        self.door.bearer(&self.admin().token(email))
    }

    /// The same, of `name@example.com`.
    pub fn user(&self, name: &str) -> Caller {
        self.session(&format!("{name}@example.com"))
    }

    /// Does something through the library's own change path.
    pub fn control<T>(&self, work: impl AsyncFnOnce(Control) -> T) -> T {
        let control = self.app.as_ref().expect("it runs").control();
        self.runtime.block_on(work(control))
    }

    /// Rotates a key; the new full key.
    pub fn rotate(&self, key: &Key) -> String {
        let created = self.control(async |control| control.rotate_key(&By::Operator, &key.id, None).await);
        created.expect("a successor").full().expect("a key").to_owned()
    }

    /// Revokes a key.
    pub fn revoke(&self, key: &Key) {
        self.control(async |control| control.revoke_key(&By::Operator, &key.id).await.map(drop))
            .expect("revoked");
    }

    /// Ends it properly, and gives the folder back.
    pub fn stop(mut self) -> Site {
        let app = self.app.take().expect("it runs");
        self.runtime.block_on(app.shutdown());
        let lent = Site::lent(self.site.path(""));
        std::mem::replace(&mut self.site, lent)
    }

    /// Makes the store fail every query, as a failing disk would.
    pub fn break_store(&self) {
        for (name, hidden) in HIDDEN {
            self.site.sql(&format!("PRAGMA legacy_alter_table = ON; ALTER TABLE {name} RENAME TO {hidden}"));
        }
    }

    /// Undoes [`break_store`](Self::break_store).
    pub fn mend_store(&self) {
        for (name, hidden) in HIDDEN {
            self.site.sql(&format!("PRAGMA legacy_alter_table = ON; ALTER TABLE {hidden} RENAME TO {name}"));
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let Some(app) = self.app.take() else { return };
        let failures = app.failures();
        self.runtime.block_on(app.shutdown());
        if !thread::panicking() {
            assert_eq!(failures, 0, "background work failed");
        }
    }
}
