//! Opening a store: the file, its settings, its schema.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use sqlx::{
    ConnectOptions as _, Connection as _, Row as _, SqlitePool,
    pool::PoolOptions,
    sqlite::{SqliteConnectOptions, SqliteSynchronous},
};
use tokio::sync::watch;

use super::{
    Inner, Store, changes,
    db::{Conn, Db},
    error::OpenError,
    file::File,
    migrate::{self, Failed},
    patience::Patience,
};
use crate::domain::{id::ChangeId, time::Timestamp};

/// How long a caller waits for a connection, and a writer for the lock, before the store counts as out of reach.
const PATIENCE: Duration = Duration::from_secs(2);
/// Another program may be migrating; that is worth a longer wait, once, at start.
const PATIENCE_AT_START: Duration = Duration::from_secs(30);
const STATEMENTS_CACHED: usize = 200;
/// Connections for reading.
pub const READERS: u32 = 4;
/// In KiB, as SQLite wants it said: room for the tops of the indexes. The system keeps the rest of the file in memory once,
/// not once for each connection.
const CACHE: &str = "-256";
/// Steps of SQLite's virtual machine from one giving way to the next: some fifty microseconds. Not fewer, because a kernel may
/// take away what a thread that gives way had left.
const STEPS_AT_ONCE: i32 = 1000;
/// Older ones can lose committed data when a WAL is reset (fixed in 3.51.3).
const SQLITE_REQUIRED: (u32, u32, u32) = (3, 51, 3);

/// How to open a store.
#[derive(Debug, Clone)]
pub struct Options {
    path: PathBuf,
    create: bool,
    migrate: bool,
}

impl Options {
    /// The SQLite file at `path`, which must exist with the present schema.
    pub fn sqlite(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), create: false, migrate: false }
    }

    /// Creates the file (readable by its owner only) when it is missing.
    #[must_use]
    pub fn create(self, create: bool) -> Self {
        Self { create, ..self }
    }

    /// Brings the schema up to date.
    #[must_use]
    pub fn migrate(self, migrate: bool) -> Self {
        Self { migrate, ..self }
    }
}

impl Store {
    /// Opens the store. `now` is written beside the migrations that run.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(options: &Options, now: Timestamp) -> Result<Self, OpenError> {
        let path = options.path.display().to_string();
        let unavailable = |cause| OpenError::Unavailable { path: path.clone(), cause };
        if !options.path.exists() {
            if !options.create {
                return Err(OpenError::Missing(path));
            }
            create(&options.path).map_err(|error| unavailable(error.into()))?;
        }
        // Before the first connection: what is put in its place from now on is noticed.
        let file = File::at(options.path.clone()).map_err(|error| unavailable(error.into()))?;
        let connect = SqliteConnectOptions::new()
            .filename(&options.path)
            .foreign_keys(true)
            .synchronous(SqliteSynchronous::Full)
            .pragma("trusted_schema", "OFF")
            .pragma("cache_size", CACHE)
            .busy_timeout(PATIENCE)
            .statement_cache_capacity(STATEMENTS_CACHED)
            .disable_statement_logging();

        let latest = match prepare(&connect, options.migrate, now).await {
            Ok(latest) => latest,
            Err(Failed::Refused(refusal)) => return Err(refusal),
            Err(Failed::Database(error)) => return Err(unavailable(error.into())),
        };
        let pool = |size| {
            PoolOptions::<Db>::new()
                .max_connections(size)
                .acquire_timeout(PATIENCE)
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(false)
        };
        // A slip in a reading function is an error, not a change outside any transaction.
        let reader = connect.clone().pragma("query_only", "ON");
        let readers: SqlitePool = pool(READERS).connect_lazy_with(reader);
        // When the disk is full SQLite itself ends a transaction that the driver then still believes in, and every
        // later one would fail. Such a connection is not used again.
        let patience = Arc::new(Patience::new());
        let of_writer = Arc::clone(&patience);
        let writer = pool(1)
            .after_connect(move |conn, _| Box::pin(give_way(conn, Arc::clone(&of_writer))))
            .after_release(|conn, _| {
                Box::pin(async move {
                    conn.ping().await?;
                    Ok(!conn.is_in_transaction())
                })
            })
            .connect_lazy_with(connect.clone());
        let (changed, _) = watch::channel(latest);
        Ok(Self(Arc::new(Inner { file, readers, writer, patience, changed })))
    }
}

/// What is written patiently gives way in the middle of a statement too.
async fn give_way(conn: &mut Conn, patience: Arc<Patience>) -> Result<(), sqlx::Error> {
    let go_on = move || {
        patience.give_way();
        true
    };
    conn.lock_handle().await?.set_progress_handler(STEPS_AT_ONCE, go_on);
    Ok(())
}

/// Checks the library, sets what is kept in the file, brings the schema up to date; the feed's position.
async fn prepare(connect: &SqliteConnectOptions, migrate: bool, now: Timestamp) -> Result<ChangeId, Failed> {
    let mut conn = connect.clone().busy_timeout(PATIENCE_AT_START).connect().await?;
    assert_version(&mut conn).await?;
    if migrate {
        write_ahead(&mut conn).await?;
        migrate::run(&mut conn, now).await?;
    }
    let found = migrate::version(&mut conn).await?;
    if found < migrate::KNOWN {
        return Err(Failed::Refused(OpenError::SchemaTooOld { found, known: migrate::KNOWN }));
    }
    let latest = changes::latest(&mut conn).await.map_err(|error| sqlx::Error::Decode(error.into()))?;
    conn.close().await?;
    Ok(latest)
}

async fn assert_version(conn: &mut Conn) -> Result<(), Failed> {
    let row = sqlx::query::<Db>("SELECT sqlite_version() AS version").fetch_one(conn).await?;
    let found: String = row.try_get("version")?;
    let mut numbers = found.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    let version = (next(), next(), next());
    if version < SQLITE_REQUIRED {
        return Err(Failed::Refused(OpenError::SqliteTooOld { found }));
    }
    Ok(())
}

/// WAL is a property of the file. Changing to it needs the file alone and does not wait for others by itself.
async fn write_ahead(conn: &mut Conn) -> Result<(), Failed> {
    let mut left = 100;
    loop {
        match sqlx::query::<Db>("PRAGMA journal_mode = WAL").fetch_one(&mut *conn).await {
            Ok(_) => return Ok(()),
            Err(error) if left == 0 => return Err(error.into()),
            Err(_) => left -= 1,
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Makes the file before SQLite does, so that only its owner can read it; SQLite gives its side files the same mode.
fn create(path: &Path) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new();
    file.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
    file.open(path).map(drop)
}
