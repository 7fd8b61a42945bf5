//! A change that is carried out once, however often it is asked for (`Idempotency-Key`).
//!
//! The answer is kept in the transaction of the change: there is no moment in which one is there without the other,
//! so a client that lost the answer, or sent the request twice at once, gets the one outcome.

use std::time::Duration;

use serde::Serialize;

use super::{Control, error::ServiceError};
use crate::{
    domain::{
        key::secret::{Mac, MacVerdict},
        time::Timestamp,
    },
    store::{Conn, Tx, idempotency},
};

/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// A request by the name that its caller gave it.
#[derive(Debug, Clone)]
pub struct Once {
    /// Who asks: names are each caller's own.
    caller: String,
    name: String,
    /// Over what was asked: keyed, because a body may hold what is easily guessed.
    request: Mac,
    /// Judges an older request by what it asked.
    text: String,
    control: Control,
}

impl Control {
    /// The same use cases for one request that may come twice: `text` is all that it asks.
    #[must_use]
    pub fn once(&self, caller: impl Into<String>, name: impl Into<String>, text: String) -> Self {
        let request = self.seal(&text);
        let once = Once { caller: caller.into(), name: name.into(), request, text, control: self.clone() };
        Self(std::sync::Arc::new(super::Inner { once: Some(once), ..(*self.0).clone() }))
    }

    /// Asked before and after a use case of [`once`](Self::once): before, because what was done need not be possible
    /// a second time; after a refusal, because an equal request may have been carried out meanwhile.
    ///
    /// # Errors
    /// [`ServiceError::Replayed`] with the answer that was given, `conflict` when another request had the name.
    pub async fn refuse_again(&self) -> Result<(), ServiceError> {
        let Some(once) = &self.0.once else { return Ok(()) };
        let mut conn = self.store().read().await?;
        once.refuse_again(&mut conn, self.clock().now()).await
    }

    /// Marks a text as this platform's own; only who has the secret file can.
    pub(in crate::control) fn seal(&self, text: &str) -> Mac {
        // No key holds a line break, so no key's look-up MAC is a seal.
        self.0.parts.mac_key.mac(&format!("latchgate seal v1\n{text}"))
    }

    /// Whether the text was marked so.
    pub(in crate::control) fn is_sealed(&self, seal: &Mac, text: &str) -> bool {
        let verdict = self.0.parts.mac_key.check(seal, &format!("latchgate seal v1\n{text}"));
        verdict == MacVerdict::Match
    }
}

impl Once {
    pub(super) async fn refuse_again(&self, conn: &mut Conn, now: Timestamp) -> Result<(), ServiceError> {
        let kept = idempotency::find(conn, &self.caller, &self.name, now.before(KEPT)).await?;
        let Some(kept) = kept else { return Ok(()) };
        if !self.control.is_sealed(&kept.request, &self.text) {
            return Err(ServiceError::Conflict("this Idempotency-Key was used for another request".into()));
        }
        Err(ServiceError::Replayed(kept.answer))
    }

    pub(super) async fn keep(
        &self,
        tx: &mut Tx,
        now: Timestamp,
        answer: &impl Serialize,
    ) -> Result<(), ServiceError> {
        let answer = serde_json::to_value(answer).map_err(|error| ServiceError::Secret(error.into()))?;
        let kept = idempotency::Kept { request: self.request, answer };
        idempotency::put(tx, &self.caller, &self.name, &kept, now).await?;
        idempotency::prune(tx, now.before(KEPT)).await?;
        Ok(())
    }
}
