//! Whether what a configuration names is there.

use serde::Serialize;

use crate::{
    app::reach,
    cli::{error::Failure, open, serve},
    config::Config,
    domain::{
        key::secret::RootSecret,
        seal::SealKey,
        time::{Clock, Timestamp},
    },
    store::{Options, Store, keys, orgs},
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

/// Tries the store, every target and every identity provider.
pub(super) fn reach(config: &Config) -> Result<Vec<Reached>, Failure> {
    let path = config.store.url.path();
    let secret = open::root_secret(config)?.root;
    let (store, sealed, orgs) = open::block_on(async {
        let now = Clock::system().now();
        let store = match Store::open(&Options::sqlite(path), now).await {
            Ok(store) => store,
            Err(error) => return Ok((Err(open::chain(&error)), Ok(()), Vec::new())),
        };
        let sealed = opened(&store, &secret, now).await;
        let orgs = organizations(config, &store).await;
        store.close().await;
        Ok((Ok(()), sealed, orgs))
    })?;
    let file = config.store.secret_file.display().to_string();
    let store = Reached::new("store".to_owned(), path.display().to_string(), store);
    let sealed = Reached::new("signing secrets".to_owned(), file, sealed);
    let asked = open::block_on(async {
        let unstarted = |error| serve::unstarted(&error, false);
        let mut asked = reach::connect(config).await.map_err(unstarted)?;
        asked.extend(reach::ask(config).await.map_err(unstarted)?);
        Ok(asked)
    })?;
    let asked = asked
        .into_iter()
        .map(|asked| Reached::new(asked.what, asked.address, asked.problem.map_or(Ok(()), Err)));
    Ok([store, sealed].into_iter().chain(orgs).chain(asked).collect())
}

/// Whether the organizations exist for which webhooks call: those calls would be refused.
async fn organizations(config: &Config, store: &Store) -> Vec<Reached> {
    let mut reached = Vec::new();
    for webhook in &config.webhooks {
        let found = async {
            let mut conn = store.read().await?;
            match webhook.org.parse() {
                Ok(id) => orgs::find(&mut conn, id).await,
                Err(_) => orgs::find_by_slug(&mut conn, &webhook.org).await,
            }
        };
        let outcome = match found.await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err("there is no such organization".to_owned()),
            Err(error) => Err(open::chain(&error)),
        };
        reached.push(Reached::new(format!("webhook {}", webhook.name), webhook.org.to_string(), outcome));
    }
    reached
}

/// Whether the secret file opens what was sealed under it: the secrets of keys that sign.
async fn opened(store: &Store, root: &RootSecret, now: Timestamp) -> Result<(), String> {
    let seal_key = SealKey::derive(root).map_err(|error| error.to_string())?;
    let mut conn = store.read().await.map_err(|error| open::chain(&error))?;
    let sealed = keys::sealed(&mut conn, now).await.map_err(|error| open::chain(&error))?;
    let shut: Vec<_> = sealed
        .iter()
        .filter(|key| seal_key.open(&keys::signing_place(key.id), &key.secret).is_err())
        .map(|key| key.prefix.as_str())
        .collect();
    if shut.is_empty() {
        return Ok(());
    }
    let named = shut.iter().take(SHOWN).copied().collect::<Vec<_>>().join(" ");
    Err(format!(
        "{} of {} were sealed under another file: {named}{}. Put that file back, or rotate these keys",
        shut.len(),
        sealed.len(),
        if shut.len() > SHOWN { " ..." } else { "" },
    ))
}

/// Keys that are named; the others are counted.
const SHOWN: usize = 10;

impl Reached {
    fn new(what: String, address: String, outcome: Result<(), String>) -> Self {
        let status = if outcome.is_ok() { "ok" } else { "failed" };
        Self { what, address, status, problem: outcome.err() }
    }
}
