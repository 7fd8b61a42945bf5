//! Keys looked at by services that do not sit behind the gateway.

use super::{super::caller::Who, KeyView, visible};
use crate::{
    control::service::{Caller, Control, ServiceError},
    domain::{id::KeyId, profile::control},
    store::keys,
};

impl Control {
    /// Refuses callers who may not ask about keys at all.
    pub async fn may_verify(&self, caller: &Caller) -> Result<(), ServiceError> {
        let mut conn = self.store().read().await?;
        let who = Who::read(&mut conn, self.profile(), caller, self.clock().now()).await?;
        match &who {
            Who::Key(holder, _) => who.require(self.profile(), control::API_KEY_READ, &holder.key.boundary),
            Who::Operator | Who::Person(..) => Ok(()),
        }
    }

    /// A proved key as the caller may see it; none when it is not theirs to know of.
    pub async fn verified_key(&self, caller: &Caller, id: KeyId) -> Result<Option<KeyView>, ServiceError> {
        let now = self.clock().now();
        let mut conn = self.store().read().await?;
        let who = Who::read(&mut conn, self.profile(), caller, now).await?;
        let held = keys::find(&mut conn, id).await?;
        let held = held.filter(|held| visible(self.profile(), &who, &held.key));
        Ok(held.map(|held| KeyView::new(held.key, held.issuer.map(|person| person.email), now)))
    }
}
