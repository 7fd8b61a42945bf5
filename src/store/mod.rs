//! SQL, here only: one file per noun, each a set of functions on a connection.
//!
//! Reading needs a [`Reader`] ([`Store::read`]), writing a [`Tx`] ([`Store::write`]); functions that only read take
//! either. A row becomes a checked type as it is read. One that does not is [`StoreError::Corrupt`], for itself
//! alone: lists leave it out and report it, look-ups refuse it.
//!
//! SQLite in WAL mode: any number of readers beside one writer, which takes the write lock when it begins
//! (`BEGIN IMMEDIATE`), so that what it decides on cannot change before it commits, also by another process.

pub mod assertion_keys;
pub mod audit;
pub mod changes;
mod db;
mod error;
mod file;
pub mod groups;
pub mod idempotency;
pub mod invitations;
pub mod keys;
pub mod mails;
pub mod memberships;
mod migrate;
pub mod nonces;
pub mod notices;
mod open;
pub mod orgs;
mod patience;
pub mod people;
pub mod projects;
pub mod requests;
pub mod roles;
pub mod second_factors;
pub mod sessions;
pub mod teams;
#[cfg(test)]
mod tests;
pub mod usage;
pub mod users;

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

use tokio::sync::watch;

pub use self::{
    db::{Conn, Reader},
    error::{Conflict, OpenError, StoreError},
    open::{Options, READERS},
};
use self::{
    db::{Db, Pool},
    patience::{Hurried, Patience, Patient},
};
use crate::domain::id::ChangeId;

/// The store. Cheap to clone; clones share its connections.
#[derive(Debug, Clone)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: file::File,
    readers: Pool,
    writer: Pool,
    patience: Arc<Patience>,
    changed: watch::Sender<ChangeId>,
}

impl Store {
    /// A connection for reading.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when none is free within two seconds, or another file is in the store's place.
    pub async fn read(&self) -> Result<Reader, StoreError> {
        self.0.file.in_place()?;
        Ok(Reader(self.0.readers.acquire().await?))
    }

    /// Begins a change. Nothing of it is kept unless [`Tx::commit`] is called and succeeds.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when another writer, here or in another process, holds the lock for two seconds, or
    /// another file is in the store's place.
    pub async fn write(&self) -> Result<Tx, StoreError> {
        let _hurried = Hurried::by(&self.0.patience);
        self.begin().await
    }

    async fn begin(&self) -> Result<Tx, StoreError> {
        self.0.file.in_place()?;
        let inner = self.0.writer.begin_with("BEGIN IMMEDIATE").await?;
        Ok(Tx { patient: None, inner, store: self.clone(), change: None })
    }

    /// The same for what nobody waits for: whoever answers requests goes first, until somebody waits for the store.
    ///
    /// # Errors
    /// As of [`write`](Self::write).
    pub async fn write_patiently(&self) -> Result<Tx, StoreError> {
        let tx = self.begin().await?;
        Ok(Tx { patient: Some(Patient::begin(&self.0.patience)), ..tx })
    }

    /// Announces the newest change that this process committed, the moment it did. What other
    /// processes commit is seen by whoever reads the feed now and then.
    pub fn changed(&self) -> watch::Receiver<ChangeId> {
        self.0.changed.subscribe()
    }

    /// Statements that the store itself would never run: how tests damage it.
    #[cfg(test)]
    pub(crate) async fn raw(&self, sql: &'static str) -> Result<u64, sqlx::Error> {
        let mut tx = self.0.writer.begin_with("BEGIN IMMEDIATE").await?;
        let done = sqlx::raw_sql(sql).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(done.rows_affected())
    }

    /// Closes all connections once their work is done.
    pub async fn close(&self) {
        self.0.readers.close().await;
        self.0.writer.close().await;
    }
}

/// A change under way; dropped without [`commit`](Self::commit) it never was.
#[derive(Debug)]
pub struct Tx {
    /// First, so that it ends before the connection goes to somebody else.
    patient: Option<Patient>,
    inner: sqlx::Transaction<'static, Db>,
    store: Store,
    change: Option<ChangeId>,
}

impl Tx {
    /// Lets others go first, if this change is patient.
    pub(in crate::store) fn give_way(&self) {
        self.store.0.patience.give_way();
    }

    /// Makes everything done in this transaction durable, then wakes those who follow the feed.
    /// Gives the last position in the feed that the transaction wrote, if it wrote any.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: whether it was kept is then unknown only if the machine itself failed.
    pub async fn commit(self) -> Result<Option<ChangeId>, StoreError> {
        drop(self.patient);
        self.inner.commit().await?;
        if let Some(change) = self.change {
            self.store.0.changed.send_if_modified(|latest| {
                let newer = change > *latest;
                *latest = change.max(*latest);
                newer
            });
        }
        Ok(self.change)
    }
}

impl Deref for Tx {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.inner
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.inner
    }
}
