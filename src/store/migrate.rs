//! Brings a database to the schema this program knows. Forward only; see `migrations/README.md`.

use sha2::{Digest as _, Sha256};
use sqlx::{Connection as _, Row as _};

use super::{
    db::{Conn, Db, hex},
    error::OpenError,
};
use crate::domain::time::Timestamp;

struct Migration {
    version: i64,
    name: &'static str,
    sql: &'static str,
}

const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "first", sql: include_str!("migrations/0001_first.sql") },
    Migration {
        version: 2,
        name: "audit_is_append_only",
        sql: include_str!("migrations/0002_audit_is_append_only.sql"),
    },
    Migration { version: 3, name: "idempotency", sql: include_str!("migrations/0003_idempotency.sql") },
    Migration {
        version: 4,
        name: "roles_and_groups",
        sql: include_str!("migrations/0004_roles_and_groups.sql"),
    },
    Migration { version: 5, name: "sessions", sql: include_str!("migrations/0005_sessions.sql") },
    Migration { version: 7, name: "invitations", sql: include_str!("migrations/0007_invitations.sql") },
    Migration { version: 8, name: "signing", sql: include_str!("migrations/0008_signing.sql") },
    Migration { version: 9, name: "request_log", sql: include_str!("migrations/0009_request_log.sql") },
    Migration { version: 10, name: "notices", sql: include_str!("migrations/0010_notices.sql") },
    Migration {
        version: 11,
        name: "lines_and_pace",
        sql: include_str!("migrations/0011_lines_and_pace.sql"),
    },
    Migration {
        version: 12,
        name: "assertion_keys",
        sql: include_str!("migrations/0012_assertion_keys.sql"),
    },
    Migration {
        version: 13,
        name: "second_factors",
        sql: include_str!("migrations/0013_second_factors.sql"),
    },
    Migration { version: 14, name: "census", sql: include_str!("migrations/0014_census.sql") },
    Migration { version: 15, name: "uses_waiting", sql: include_str!("migrations/0015_uses_waiting.sql") },
];

/// The schema version this program was built for.
pub(super) const KNOWN: i64 = MIGRATIONS[MIGRATIONS.len() - 1].version;

/// What went wrong, before the place is added to it.
pub(super) enum Failed {
    Database(sqlx::Error),
    Refused(OpenError),
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

/// The version of the schema in the database; zero for an empty one.
pub(super) async fn version(conn: &mut Conn) -> Result<i64, Failed> {
    let table = sqlx::query::<Db>(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'schema_migrations'",
    );
    if table.fetch_optional(&mut *conn).await?.is_none() {
        return Ok(0);
    }
    let rows = sqlx::query::<Db>("SELECT version, checksum FROM schema_migrations ORDER BY version")
        .fetch_all(conn)
        .await?;
    let mut last = 0;
    for row in rows {
        let version: i64 = row.try_get("version")?;
        let checksum: String = row.try_get("checksum")?;
        let known = MIGRATIONS.iter().find(|migration| migration.version == version);
        if known.is_some_and(|migration| migration.checksum() != checksum) {
            return Err(Failed::Refused(OpenError::SchemaDiffers { version }));
        }
        last = last.max(version);
    }
    if last > KNOWN {
        return Err(Failed::Refused(OpenError::SchemaTooNew { found: last, known: KNOWN }));
    }
    Ok(last)
}

/// Runs what has not run yet. The write lock is taken before looking, so of several programs that start at once one
/// does the work and the others find it done.
pub(super) async fn run(conn: &mut Conn, now: Timestamp) -> Result<(), Failed> {
    if version(conn).await? == KNOWN {
        return Ok(());
    }
    for migration in MIGRATIONS {
        let mut tx = conn.begin_with("BEGIN IMMEDIATE").await?;
        if version(&mut tx).await? >= migration.version {
            tx.rollback().await?;
            continue;
        }
        sqlx::raw_sql(
            "CREATE TABLE IF NOT EXISTS schema_migrations (
                version    BIGINT NOT NULL PRIMARY KEY,
                name       TEXT   NOT NULL,
                checksum   TEXT   NOT NULL,
                applied_at BIGINT NOT NULL
            )",
        )
        .execute(&mut *tx)
        .await?;
        sqlx::raw_sql(migration.sql).execute(&mut *tx).await?;
        sqlx::query::<Db>(
            "INSERT INTO schema_migrations (version, name, checksum, applied_at) VALUES ($1, $2, $3, $4)",
        )
        .bind(migration.version)
        .bind(migration.name)
        .bind(migration.checksum())
        .bind(now.micros())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        tracing::info!(version = migration.version, name = migration.name, "store.migrated");
    }
    Ok(())
}

impl Migration {
    fn checksum(&self) -> String {
        hex(&Sha256::digest(self.sql))
    }
}
