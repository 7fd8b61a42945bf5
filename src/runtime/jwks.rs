//! The keys of one issuer, kept fresh: read at start, now and then, and when a token names a key that is not there.
//!
//! An issuer that cannot be reached changes nothing: the last good set stays, and it is asked again with growing
//! pauses. Who sends tokens cannot make us ask: names of keys that nobody has lead to one question a minute at most,
//! and everybody who comes meanwhile shares its answer. When a key is gone from the set, what it proved is worth
//! nothing any more; whoever remembers proofs compares [`generation`](IssuerKeys::generation).

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use serde_json::Value;
use tokio::{runtime::Handle, sync::watch};

use super::{outbound::Outbound, single_flight::SingleFlight, tasks::Tasks};
use crate::domain::{
    jwt::{Compact, KeySet},
    time::Clock,
};

/// Where an issuer's keys are published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// At an address.
    At(String),
    /// In a file that somebody else keeps.
    In(PathBuf),
}

/// The keys of one issuer. Cheap to clone; clones share them. Following them ends with the last clone.
#[derive(Clone)]
pub struct IssuerKeys(Arc<Shared>);

struct Shared {
    issuer: String,
    published: Published,
    refresh: Duration,
    keeping: Keeping,
    keys: ArcSwapOption<KeySet>,
    generation: AtomicU64,
    changed: watch::Sender<u64>,
    failing: AtomicBool,
    /// Uptime at which a token last made us ask.
    asked: Mutex<Option<Duration>>,
    turn: tokio::sync::Mutex<()>,
    asks: SingleFlight<(), Result<(), NoKeys>>,
}

/// What a set of keys is kept with.
#[derive(Clone)]
pub struct Keeping {
    /// Calls the issuers.
    pub outbound: Outbound,
    /// What time it is.
    pub clock: Clock,
    /// The tasks that keep keys fresh.
    pub tasks: Tasks,
    /// Where they run.
    pub runtime: Handle,
}

/// The keys cannot be read now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the keys of the issuer cannot be read: {0}")]
pub struct NoKeys(pub String);

impl IssuerKeys {
    /// No keys yet. A set read from an address is read again every `refresh`.
    pub fn new(issuer: &str, published: Published, refresh: Duration, keeping: Keeping) -> Self {
        let (tasks, runtime) = (keeping.tasks.clone(), keeping.runtime.clone());
        Self(Arc::new(Shared {
            issuer: issuer.to_owned(),
            published,
            refresh,
            keeping,
            keys: ArcSwapOption::empty(),
            generation: AtomicU64::new(0),
            changed: watch::Sender::new(0),
            failing: AtomicBool::new(false),
            asked: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            asks: SingleFlight::new("reading of an issuer's keys", tasks, runtime),
        }))
    }

    /// The keys to judge this token by, read anew when they are missing or do not hold the one it names.
    ///
    /// # Errors
    /// [`NoKeys`] is never a statement about the token.
    pub async fn keys_for(&self, token: &Compact<'_>) -> Result<Arc<KeySet>, NoKeys> {
        self.naming(token.key_id().unwrap_or_default()).await
    }

    /// Where they are read.
    pub fn published(&self) -> &Published {
        &self.0.published
    }

    /// Grows when a key is gone.
    pub fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::SeqCst)
    }

    /// The same, to wait for.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    /// Reads the keys now. How many there are.
    pub async fn read(&self) -> Result<usize, NoKeys> {
        self.ask().await?;
        Ok(self.0.keys.load().as_ref().map_or(0, |keys| keys.len()))
    }

    /// Keeps the keys fresh for as long as somebody holds them and the gateway runs.
    pub fn keep_fresh(&self) {
        let Keeping { tasks, runtime, .. } = &self.0.keeping;
        let (following, stopped) = (self.clone().follow(), tasks.stopped());
        tasks.spawn_on(runtime, "issuer's keys", async move {
            tokio::select! {
                () = following => {}
                () = stopped => {}
            }
        });
    }

    async fn follow(self) {
        let (shared, mut pause) = (Arc::downgrade(&self.0), FIRST_PAUSE);
        let mut keys = Some(self);
        while let Some(these) = keys {
            let next = if these.ask().await.is_ok() {
                pause = FIRST_PAUSE;
                these.every()
            } else {
                let next = pause.min(these.every());
                pause = (pause * 2).min(LONGEST_PAUSE);
                next
            };
            drop(these);
            tokio::time::sleep(next).await;
            keys = shared.upgrade().map(Self);
        }
    }

    /// A look into the local file system is cheap, and whoever changes the file expects it to count.
    fn every(&self) -> Duration {
        match self.0.published {
            Published::At(_) => self.0.refresh,
            Published::In(_) => FILE_EVERY.min(self.0.refresh),
        }
    }

    /// The set, read anew when it does not hold the key of this name and may be asked for it.
    async fn naming(&self, id: &str) -> Result<Arc<KeySet>, NoKeys> {
        if let Some(keys) = self.holding(id) {
            return Ok(keys);
        }
        // Whoever comes while the question is under way waits here, and shares its answer.
        let _turn = self.0.turn.lock().await;
        if let Some(keys) = self.holding(id) {
            return Ok(keys);
        }
        if self.may_ask() {
            self.ask().await?;
        }
        self.without_asking(self.0.keys.load_full())
    }

    fn holding(&self, id: &str) -> Option<Arc<KeySet>> {
        self.0.keys.load_full().filter(|keys| keys.names(id))
    }

    /// While the issuer is out of reach a key that is not there may be a new one.
    fn without_asking(&self, known: Option<Arc<KeySet>>) -> Result<Arc<KeySet>, NoKeys> {
        let unknown = || NoKeys("it was asked lately and did not answer".to_owned());
        known.filter(|_| !self.0.failing.load(Ordering::Acquire)).ok_or_else(unknown)
    }

    /// Whether a token may make us ask.
    fn may_ask(&self) -> bool {
        let now = self.0.keeping.clock.uptime();
        let mut asked = self.0.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.is_some_and(|last| now.saturating_sub(last) < ASKED_EVERY) {
            return false;
        }
        *asked = Some(now);
        true
    }

    async fn ask(&self) -> Result<(), NoKeys> {
        let keys = self.clone();
        let asked = self.0.asks.run((), || async move {
            let outcome = keys.fetch().await;
            keys.heard(outcome)
        });
        asked.await.unwrap_or_else(|| Err(NoKeys("the gateway is stopping".to_owned())))
    }

    async fn fetch(&self) -> Result<KeySet, NoKeys> {
        let document: Value = match &self.0.published {
            Published::At(url) => {
                self.0.keeping.outbound.get_json(url).await.map_err(|error| NoKeys(error.to_string()))?
            }
            Published::In(file) => {
                let text = tokio::fs::read(file).await.map_err(|error| NoKeys(error.to_string()))?;
                serde_json::from_slice(&text).map_err(|error| NoKeys(format!("it is not JSON: {error}")))?
            }
        };
        KeySet::parse(&document).map_err(|error| NoKeys(error.to_string()))
    }

    fn heard(&self, outcome: Result<KeySet, NoKeys>) -> Result<(), NoKeys> {
        let shared = &self.0;
        let was_failing = shared.failing.swap(outcome.is_err(), Ordering::AcqRel);
        let issuer = shared.issuer.as_str();
        let new = outcome.inspect_err(|error| {
            if !was_failing {
                tracing::warn!(issuer, %error, "an issuer's keys could not be read; those known go on");
            }
        })?;
        let old = shared.keys.load_full();
        let names = || new.ids().into_iter().collect::<Vec<_>>().join(" ");
        let removed = old.as_ref().is_some_and(|old| !old.lives_on_in(&new));
        if old.as_ref().is_none_or(|old| old.ids() != new.ids()) || was_failing {
            tracing::info!(issuer, keys = names(), "the issuer's keys are known");
        }
        if new.is_empty() {
            tracing::warn!(issuer, "the issuer publishes no key that can prove a token: all are refused");
        }
        // The set first: whoever sees the new generation proves by the new set.
        shared.keys.store(Some(Arc::new(new)));
        if removed {
            let generation = shared.generation.fetch_add(1, Ordering::SeqCst) + 1;
            shared.changed.send_replace(generation);
        }
        Ok(())
    }
}

impl std::fmt::Debug for IssuerKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IssuerKeys({})", self.0.issuer)
    }
}

/// Between questions that tokens cause.
const ASKED_EVERY: Duration = Duration::from_secs(60);
/// Between attempts while the issuer does not answer.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
const FILE_EVERY: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use serde_json::json;

    use super::*;
    use crate::{
        domain::{
            jwt::{
                Bearer, Expected, Wrong,
                tests::signer::{Signer, key_set},
            },
            time::Timestamp,
        },
        telemetry::metrics::Metrics,
    };

    #[derive(Debug, PartialEq)]
    enum Unproved {
        Wrong(Wrong),
        NoKeys,
    }

    const ISSUER: &str = "https://idp.example.com/";

    struct Kept {
        keys: IssuerKeys,
        clock: Clock,
        tasks: Tasks,
    }

    fn kept(file: &Path) -> Kept {
        kept_every(file, Duration::from_secs(300))
    }

    fn kept_every(file: &Path, refresh: Duration) -> Kept {
        let clock = Clock::manual(Timestamp::from_micros(1_800_000_000_000_000));
        let tasks = Tasks::new(&Metrics::new().unwrap());
        let outbound = Outbound::new(None).unwrap();
        let runtime = Handle::current();
        let keeping = Keeping { outbound, clock: clock.clone(), tasks: tasks.clone(), runtime };
        let keys = IssuerKeys::new(ISSUER, Published::In(file.to_owned()), refresh, keeping);
        Kept { keys, clock, tasks }
    }

    impl Kept {
        async fn prove(&self, signer: &Signer) -> Result<(), Unproved> {
            let now = self.clock.now();
            let claims = json!({
                "iss": ISSUER, "aud": "latchgate", "email": "ana@example.com", "exp": now.seconds() + 60,
            });
            let text = signer.token(&claims);
            let token = Compact::parse(&text).unwrap();
            let keys = self.keys.keys_for(&token).await.map_err(|NoKeys(_)| Unproved::NoKeys)?;
            let expected = Expected { issuer: ISSUER, audience: "latchgate" };
            Bearer::prove(&token, &keys, &expected, "email", now).map(|_| ()).map_err(Unproved::Wrong)
        }
    }

    const WRONG: Result<(), Unproved> = Err(Unproved::Wrong(Wrong::Signature));

    fn publish(file: &Path, signers: &[&Signer]) {
        fs::write(file, key_set(signers).to_string()).unwrap();
    }

    /// A new key counts at the first token signed with it, a removed one no longer, both without a restart.
    #[tokio::test]
    async fn keys_come_and_go() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.json");
        let (old, new) = (Signer::ed25519("old"), Signer::ed25519("new"));
        publish(&file, &[&old]);
        let kept = kept(&file);
        assert_eq!(kept.prove(&old).await, Ok(()));
        kept.clock.advance(ASKED_EVERY);
        publish(&file, &[&new, &old]);
        assert_eq!(kept.prove(&new).await, Ok(()));
        assert_eq!(kept.keys.generation(), 0);
        publish(&file, &[&new]);
        assert_eq!(kept.prove(&old).await, Ok(()));
        assert_eq!(kept.keys.read().await, Ok(1));
        assert_eq!(kept.keys.generation(), 1);
        assert_eq!(kept.prove(&old).await, WRONG);
    }

    /// Whoever sends tokens with names of keys that nobody has makes us ask once a minute.
    #[tokio::test]
    async fn guessing_names_asks_once_a_minute() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.json");
        let (known, guess, new) = (Signer::ed25519("k"), Signer::ed25519("guess"), Signer::ed25519("new"));
        publish(&file, &[&known]);
        let kept = kept(&file);
        assert_eq!(kept.prove(&guess).await, WRONG);
        publish(&file, &[&new]);
        for _ in 0..50 {
            assert_eq!(kept.prove(&guess).await, WRONG);
        }
        assert_eq!((kept.prove(&known).await, kept.prove(&new).await), (Ok(()), WRONG));
        kept.clock.advance(ASKED_EVERY);
        assert_eq!((kept.prove(&new).await, kept.prove(&known).await), (Ok(()), WRONG));
    }

    #[tokio::test]
    async fn an_issuer_out_of_reach_changes_nothing_and_is_no_statement() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.json");
        let (known, new) = (Signer::ed25519("k"), Signer::ed25519("new"));
        let kept = kept(&file);
        assert_eq!(kept.prove(&known).await, Err(Unproved::NoKeys));
        publish(&file, &[&known]);
        assert_eq!(kept.prove(&known).await, Err(Unproved::NoKeys), "asked a moment ago");
        kept.clock.advance(ASKED_EVERY);
        assert_eq!(kept.prove(&known).await, Ok(()));
        for broken in ["", "<html>", "{}", "[]", "{\"keys\": 1}"] {
            fs::write(&file, broken).unwrap();
            assert!(kept.keys.read().await.is_err(), "{broken}");
            assert_eq!(kept.prove(&known).await, Ok(()), "{broken}");
            assert_eq!(kept.prove(&new).await, Err(Unproved::NoKeys), "{broken}");
        }
        publish(&file, &[&known]);
        assert_eq!(kept.keys.read().await, Ok(1));
        assert_eq!(kept.prove(&new).await, WRONG);
    }

    /// The first good set comes by itself, and the following ends with whoever needed it.
    #[tokio::test]
    async fn following_goes_on_while_somebody_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.json");
        let kept = kept_every(&file, Duration::from_millis(20));
        let mut changed = kept.keys.changed();
        kept.keys.keep_fresh();
        let (first, second) = (Signer::ed25519("a"), Signer::ed25519("b"));
        publish(&file, &[&first]);
        while kept.keys.0.keys.load().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        publish(&file, &[&second]);
        changed.changed().await.unwrap();
        assert_eq!((kept.prove(&first).await.is_ok(), kept.prove(&second).await.is_ok()), (false, true));
        let Kept { keys, tasks, .. } = kept;
        drop(keys);
        while tasks.running() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
