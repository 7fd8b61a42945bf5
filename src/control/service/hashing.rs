//! Slow hashes, off the threads that answer requests and never more than a few at once.

use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::error::ServiceError;
use crate::{
    domain::key::{secret::KeyHash, token::Token},
    store::users::PasswordHash,
};

/// Administration must not take the machine from the requests beside it.
const AT_ONCE: usize = 2;
/// As many sign-ins may wait for their turn; more are turned away. What waits is a password, what runs is 46 MiB.
const SIGN_INS_WAITING: usize = 32;
/// OWASP ASVS 5.0 appendix C: Argon2id with one pass over at least 46 MiB.
const MEMORY_KIB: u32 = 47_104;
/// The hash of nothing that anybody knows, made as [`Hashing::password`] makes them: whoever has no password is
/// checked against it, so that they cost the same.
const NOBODY: &str =
    "$argon2id$v=19$m=47104,t=1,p=1$bm9ib2R5IGlzIGhlcmUhIQ$3b5tZ0m1hO0kq0cKc3yq1m8d3qQ7o9m2dWcQb0aXg3E";

#[derive(Debug, Clone)]
pub(super) struct Hashing {
    /// For what administrators do.
    making: Arc<Semaphore>,
    /// For strangers who try to sign in: they cannot delay the others.
    checking: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Hashing {
    pub(super) fn new() -> Self {
        Self {
            making: Arc::new(Semaphore::new(AT_ONCE)),
            checking: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: Arc::new(Semaphore::new(AT_ONCE + SIGN_INS_WAITING)),
        }
    }

    /// The durable proof of a new key; the key comes back with it.
    pub(super) async fn key(&self, token: Token, cost: u32) -> Result<(Token, KeyHash), ServiceError> {
        run(&self.making, move || {
            let hash =
                KeyHash::bcrypt(token.reveal(), cost).map_err(|error| ServiceError::Secret(error.into()))?;
            Ok((token, hash))
        })
        .await
    }

    /// The stored form of a password, with a salt of its own.
    pub(super) async fn password(&self, text: &str) -> Result<PasswordHash, ServiceError> {
        let text = Zeroizing::new(text.to_owned());
        run(&self.making, move || {
            let hash = hasher()?.hash_password(text.as_bytes()).map_err(|error| secret(&error))?;
            Ok(PasswordHash(hash.to_string()))
        })
        .await
    }

    /// Whether this is the password of that hash. Without a hash it never is, and takes as long.
    ///
    /// # Errors
    /// [`ServiceError::Overloaded`] when too many wait already.
    pub(super) async fn is_password(
        &self,
        hash: Option<PasswordHash>,
        text: &str,
    ) -> Result<bool, ServiceError> {
        let Ok(_place) = self.waiting.try_acquire() else { return Err(ServiceError::Overloaded) };
        let text = Zeroizing::new(text.to_owned());
        run(&self.checking, move || {
            let stored = hash.as_ref().map_or(NOBODY, |hash| hash.0.as_str());
            let fits = hasher()?.verify_password(text.as_bytes(), stored).is_ok();
            Ok(fits && hash.is_some())
        })
        .await
    }
}

fn hasher() -> Result<Argon2<'static>, ServiceError> {
    let params = Params::new(MEMORY_KIB, 1, 1, None).map_err(|error| secret(&error))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn secret(error: &dyn std::fmt::Display) -> ServiceError {
    ServiceError::Secret(error.to_string().into())
}

async fn run<T: Send + 'static>(
    turns: &Arc<Semaphore>,
    job: impl FnOnce() -> Result<T, ServiceError> + Send + 'static,
) -> Result<T, ServiceError> {
    let turn = Arc::clone(turns).acquire_owned().await;
    let turn = turn.map_err(|error| ServiceError::Secret(error.into()))?;
    let done = tokio::task::spawn_blocking(move || {
        let result = job();
        drop(turn);
        result
    });
    done.await.map_err(|error| ServiceError::Secret(error.into()))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_read_to_its_last_byte() {
        let hashing = Hashing::new();
        let (one, other) = (format!("{}b", "a".repeat(79)), format!("{}c", "a".repeat(79)));
        let hash = hashing.password(&one).await.unwrap();
        assert!(hashing.is_password(Some(hash.clone()), &one).await.unwrap());
        assert!(!hashing.is_password(Some(hash.clone()), &other).await.unwrap());
        assert!(!hashing.is_password(Some(hash), &one[..79]).await.unwrap());
    }

    /// The costs of the one for nobody are those of the others, and it is one that can be checked at all.
    #[tokio::test]
    async fn nobody_costs_the_same_and_has_no_password() {
        let made = Hashing::new().password("fifteen chars ok").await.unwrap();
        let head = |hash: &str| hash.split('$').take(4).collect::<Vec<_>>().join("$");
        assert_eq!(head(&made.0), head(NOBODY));
        assert_eq!(made.0.len(), NOBODY.len());
        let checked = hasher().unwrap().verify_password(b"", NOBODY);
        assert_eq!(checked, Err(argon2::password_hash::Error::PasswordInvalid));
        assert!(!Hashing::new().is_password(None, "").await.unwrap());
    }

    #[tokio::test]
    async fn more_than_can_wait_are_turned_away() {
        let hashing = Hashing::new();
        let _all = hashing.waiting.try_acquire_many(u32::try_from(AT_ONCE + SIGN_INS_WAITING).unwrap());
        let refused = hashing.is_password(None, "x").await;
        assert!(matches!(refused, Err(ServiceError::Overloaded)));
    }
}
