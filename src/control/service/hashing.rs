//! Slow hashes, off the threads that answer requests and never more than a few at once.

use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use tokio::sync::Semaphore;

use super::error::ServiceError;
use crate::{
    domain::key::{secret::KeyHash, token::Token},
    store::users::PasswordHash,
};

/// Administration must not take the machine from the requests beside it.
const AT_ONCE: usize = 2;
/// OWASP ASVS 5.0 appendix C: Argon2id with one pass over at least 46 MiB.
const MEMORY_KIB: u32 = 47_104;

#[derive(Debug, Clone)]
pub(super) struct Hashing(Arc<Semaphore>);

impl Hashing {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }

    /// The durable proof of a new key; the key comes back with it.
    pub(super) async fn key(&self, token: Token, cost: u32) -> Result<(Token, KeyHash), ServiceError> {
        self.run(move || {
            let hash =
                KeyHash::bcrypt(token.reveal(), cost).map_err(|error| ServiceError::Secret(error.into()))?;
            Ok((token, hash))
        })
        .await
    }

    /// The stored form of a password, with a salt of its own.
    pub(super) async fn password(&self, text: String) -> Result<PasswordHash, ServiceError> {
        self.run(move || {
            let secret = |error: &dyn std::fmt::Display| ServiceError::Secret(error.to_string().into());
            let params = Params::new(MEMORY_KIB, 1, 1, None).map_err(|error| secret(&error))?;
            let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            let hash = hasher.hash_password(text.as_bytes()).map_err(|error| secret(&error))?;
            Ok(PasswordHash(hash.to_string()))
        })
        .await
    }

    /// Whether this is the password. Without a stored hash it is not, at the same cost.
    pub(super) async fn is_password(
        &self,
        text: String,
        hash: Option<PasswordHash>,
    ) -> Result<bool, ServiceError> {
        let Some(hash) = hash else { return self.password(text).await.map(|_| false) };
        self.run(move || {
            let hash = argon2::PasswordHash::new(&hash.0)
                .map_err(|_| ServiceError::Secret("a stored hash is damaged".into()))?;
            Ok(Argon2::default().verify_password(text.as_bytes(), &hash).is_ok())
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T, ServiceError> + Send + 'static,
    ) -> Result<T, ServiceError> {
        let turn = Arc::clone(&self.0).acquire_owned().await;
        let turn = turn.map_err(|error| ServiceError::Secret(error.into()))?;
        let done = tokio::task::spawn_blocking(move || {
            let result = job();
            drop(turn);
            result
        });
        done.await.map_err(|error| ServiceError::Secret(error.into()))?
    }
}
