//! Whether what a configuration names is there.

use std::{
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

use serde::Serialize;

use crate::{
    cli::{error::Failure, open},
    config::{Config, Target, TargetHost},
    domain::time::Clock,
    store::{Options, Store},
};

/// One thing that was tried.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Reached {
    what: String,
    address: String,
    /// `ok` or `failed`.
    status: &'static str,
    pub(super) problem: Option<String>,
}

/// Tries the store and every target.
pub(super) fn reach(config: &Config) -> Result<Vec<Reached>, Failure> {
    let path = config.store.url.path();
    let store = open::block_on(async {
        let store = Store::open(&Options::sqlite(path), Clock::system().now()).await;
        let Ok(store) = store else { return Ok(store.map(drop)) };
        store.close().await;
        Ok(Ok(()))
    })?;
    let store = store.map_err(|error| open::chain(&error));
    let store = Reached::new("store".to_owned(), path.display().to_string(), store);
    let targets = config.upstreams.iter().flat_map(|upstream| {
        upstream.targets.iter().map(|target| {
            let outcome = connect(target, upstream.timeouts.connect);
            Reached::new(format!("upstream {}", upstream.name), target.to_string(), outcome)
        })
    });
    Ok(std::iter::once(store).chain(targets).collect())
}

impl Reached {
    fn new(what: String, address: String, outcome: Result<(), String>) -> Self {
        let status = if outcome.is_ok() { "ok" } else { "failed" };
        Self { what, address, status, problem: outcome.err() }
    }
}

/// Tries each address that the name has, as the gateway would.
fn connect(target: &Target, patience: Duration) -> Result<(), String> {
    let addresses = match &target.host {
        TargetHost::Name(name) => (name.as_str(), target.port).to_socket_addrs(),
        TargetHost::Address(address) => Ok(vec![(*address, target.port).into()].into_iter()),
    };
    let mut problem = "the name has no address".to_owned();
    for address in addresses.map_err(|error| error.to_string())? {
        match TcpStream::connect_timeout(&address, patience) {
            Ok(_) => return Ok(()),
            Err(error) => problem = error.to_string(),
        }
    }
    Err(problem)
}
