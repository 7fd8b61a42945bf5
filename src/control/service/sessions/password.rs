//! Passwords that are changed. Whoever was signed in with the old one is signed out.

use serde_json::json;

use super::{deed, end_all, end_all_but, own};
use crate::{
    control::service::{Caller, Control, ServiceError, caller::Who, fields, users::find, work::Work},
    domain::{
        id::SessionId,
        password::{self, Weak},
    },
    store::users::{self, PasswordHash, User},
};

impl Control {
    /// Gives the caller another password, if they know the one they have, and have the second factor where there is
    /// one (ASVS 5.0 7.5.1). Their other sessions end.
    ///
    /// # Errors
    /// As signing in does.
    pub async fn change_password(
        &self,
        caller: &Caller,
        id: SessionId,
        old: &str,
        new: &str,
        code: Option<&str>,
    ) -> Result<(), ServiceError> {
        let Caller::User { id: user, ip, .. } = *caller else {
            return Err(ServiceError::Forbidden("only a person has a password".into()));
        };
        let mut conn = self.store().read().await?;
        let user = users::find(&mut conn, user).await?.ok_or(ServiceError::WrongPassword)?;
        drop(conn);
        let weak = |weak: Weak| ServiceError::field("new_password", weak.to_string());
        password::accept(new, &user.email).map_err(weak)?;
        let proved = self.prove_password(&user.email, old, ip).await?;
        let hash = self.0.hashing.password(new).await?;
        let (mut work, user) = self.begin_as(caller).await?;
        own(&mut work.tx, id, user.id).await?;
        let now = work.now;
        self.complete(&mut work.tx, now, proved, code).await?.record(&mut work, &user).await?;
        replace(&mut work, &user, &hash).await?;
        end_all_but(&mut work, &user, Some(id)).await?;
        work.finish(&()).await
    }

    /// Gives a person a password, or another one, and signs them out wherever they are signed in.
    pub async fn set_password(
        &self,
        caller: &Caller,
        named: &str,
        password: &str,
    ) -> Result<(), ServiceError> {
        let Caller::Operator = caller else {
            // Whoever sets somebody's password can be them.
            return Err(ServiceError::Forbidden("the operator alone sets passwords".into()));
        };
        let mut conn = self.store().read().await?;
        let user = find(&mut conn, &Who::Operator, named).await?;
        drop(conn);
        fields::password(password, &user.email)?;
        let hash = self.0.hashing.password(password).await?;
        let mut work = self.begin(caller).await?;
        let user = find(&mut work.tx, &work.who, &user.id.to_string()).await?;
        replace(&mut work, &user, &hash).await?;
        end_all(&mut work, &user).await?;
        work.finish(&()).await
    }
}

async fn replace(work: &mut Work<'_>, user: &User, hash: &PasswordHash) -> Result<(), ServiceError> {
    users::set_password(&mut work.tx, user.id, hash).await?;
    let detail = json!({ "email": user.email });
    work.record(deed(user, None, "update", "user.password_set", detail)).await
}
