//! Mails: written down with what they tell of, delivered afterwards, as often as it takes.
//!
//! A mail is a row of the transaction that it belongs to, so a mail server that is down, slow or wrong delays nobody
//! and loses nothing, and a program that is killed goes on where it was. It can be sent twice, when the program dies
//! between the server's yes and the row's end; then it is the same message, by its Message-ID.

use std::time::Duration;

use zeroize::Zeroizing;

use super::{Control, ServiceError, work::Work};
use crate::{
    config::Mail,
    control::mail::{self, Letter, NotSent},
    domain::{
        id::{MailId, OrgId},
        time::Timestamp,
    },
    store::{invitations::Invitation, mails, mails::Due, mails::NewMail},
};

/// How many are taken at once.
const AT_ONCE: u32 = 20;
/// For so long nobody else takes them. Longer than all of them can take: each has half a minute at most.
const LEASE: Duration = Duration::from_secs(60);
/// Between attempts: this, then twice as long each time, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);
/// A server's final no is asked again, because servers are configured by people, but not for ever.
const FINAL_ATTEMPTS: u32 = 10;

/// What one round of delivery did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Taken by the mail server.
    pub sent: u32,
    /// To be tried again.
    pub postponed: u32,
    /// Never to be.
    pub given_up: u32,
    /// How many wait now.
    pub waiting: u64,
}

impl Control {
    /// Writes the mail of an invitation down.
    pub(super) async fn post(
        &self,
        work: &mut Work<'_>,
        letter: &Letter,
        invitation: &Invitation,
    ) -> Result<(), ServiceError> {
        let mail = self.sealed(work.now, letter, invitation.org_id, invitation.life.expires_at)?;
        let mail = NewMail { kind: "invitation", invitation: Some(invitation.id), ..mail };
        mails::insert(&mut work.tx, &mail).await?;
        Ok(())
    }

    /// A letter as it is kept: only who has the secret file can read it.
    pub(super) fn sealed(
        &self,
        now: Timestamp,
        letter: &Letter,
        org_id: OrgId,
        give_up_at: Timestamp,
    ) -> Result<NewMail, ServiceError> {
        let id = MailId::new(now);
        let text = serde_json::to_vec(letter).map_err(|error| ServiceError::Secret(error.into()))?;
        let sealed = self.0.parts.seal_key.seal(&place(id), &Zeroizing::new(text));
        let sealed = sealed.map_err(|error| ServiceError::Secret(error.into()))?;
        Ok(NewMail { id, org_id, kind: "notice", invitation: None, sealed, created_at: now, give_up_at })
    }

    /// Delivers what is due. Called again and again in the background.
    pub async fn deliver_mails(&self) -> Result<Delivered, ServiceError> {
        let (waiting, due) = mails::waiting(&mut *self.store().read().await?, self.clock().now()).await?;
        let mut done = Delivered { waiting: waiting.unsigned_abs(), ..Delivered::default() };
        let Some(mail) = self.settings().mail.clone().filter(|_| due > 0) else { return Ok(done) };
        let mut tx = self.store().write().await?;
        let batch = mails::claim(&mut tx, self.clock().now(), LEASE, AT_ONCE).await?;
        tx.commit().await?;
        let taken = self.clock().uptime();
        for due in batch {
            // What a slow server leaves no time for is still on lease, and due again after it.
            if self.clock().uptime().saturating_sub(taken) > LEASE / 2 {
                break;
            }
            let outcome = self.deliver(&mail, &due).await;
            self.conclude(&due, outcome, &mut done).await?;
        }
        Ok(done)
    }

    async fn deliver(&self, mail: &Mail, due: &Due) -> Result<(), NotSent> {
        let lost = |what: &dyn std::fmt::Display| NotSent::Message(what.to_string());
        let text = self.0.parts.seal_key.open(&place(due.id), &due.sealed).map_err(|error| lost(&error))?;
        let letter: Letter = serde_json::from_slice(&text).map_err(|_| lost(&"its text is damaged"))?;
        mail::send(mail, self.settings().ca.as_deref(), due.id, due.created_at, &letter).await
    }

    async fn conclude(
        &self,
        due: &Due,
        outcome: Result<(), NotSent>,
        done: &mut Delivered,
    ) -> Result<(), ServiceError> {
        let now = self.clock().now();
        let mut tx = self.store().write().await?;
        match outcome {
            Ok(()) => {
                mails::remove(&mut tx, due.id).await?;
                tracing::info!(mail = %due.id, kind = due.kind, "mail.sent");
                done.sent += 1;
                done.waiting = done.waiting.saturating_sub(1);
            }
            Err(error) => {
                let next = now.after(pause(due.attempts));
                let hopeless = error.is_final() && due.attempts >= FINAL_ATTEMPTS;
                if hopeless || next >= due.give_up_at {
                    mails::remove(&mut tx, due.id).await?;
                    tracing::error!(mail = %due.id, kind = due.kind, attempts = due.attempts, %error, "mail.given_up");
                    done.given_up += 1;
                    done.waiting = done.waiting.saturating_sub(1);
                } else {
                    mails::postpone(&mut tx, due.id, next).await?;
                    tracing::warn!(mail = %due.id, kind = due.kind, attempts = due.attempts, %error, "mail.postponed");
                    done.postponed += 1;
                }
            }
        }
        tx.commit().await?;
        Ok(())
    }
}

/// What a sealed mail is bound to.
fn place(id: MailId) -> String {
    format!("mails {id}")
}

fn pause(attempts: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1_u32 << attempts.saturating_sub(1).min(16));
    doubled.min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stop_growing() {
        let seconds: Vec<u64> = (1..13).map(|attempts| pause(attempts).as_secs()).collect();
        assert_eq!(seconds, [2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]);
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
    }
}
