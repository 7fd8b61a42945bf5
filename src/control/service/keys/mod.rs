//! API keys: made, found, changed, rotated, revoked, brought from elsewhere.

mod change;
mod create;
mod find;
mod giver;
mod import;
mod limits;
mod place;
mod plan;
mod revoke;
mod rotate;
mod signing;
mod usage;
mod used;
mod verify;
mod view;
mod wanted;

pub(super) use self::revoke::{record_ended, revoke_within};
pub use self::{
    change::KeyChanges,
    create::{Created, NewKey},
    find::KeyFilter,
    import::{IMPORT_BATCH, Imported},
    usage::KeyUsage,
    used::{KeyUsed, KnownSources},
    view::KeyView,
};
use super::{
    ServiceError,
    caller::Who,
    work::{Deed, Work},
};
use crate::{
    domain::{
        permission::Permission,
        profile::{Profile, control},
    },
    store::{changes::Subject, keys, keys::Key},
};

/// Refuses those who may not do `permission` to this key: it has to lie inside their boundary, and to be theirs
/// unless the profile lets them manage those of others.
fn authorise(profile: &Profile, who: &Who, key: &Key, permission: Permission) -> Result<(), ServiceError> {
    // A key may always renew and end itself, nothing above and nothing beside it.
    let looks_after_itself = [control::API_KEY_ROTATE, control::API_KEY_REVOKE].contains(&permission);
    if let Who::Key(holder, _) = who
        && holder.key.id == key.id
        && looks_after_itself
    {
        return Ok(());
    }
    if !visible(profile, who, key) {
        return Err(ServiceError::not_found("key", &key.prefix));
    }
    who.require(profile, permission, &key.boundary)?;
    if own(who, key) || minted(who, key) || who.reaches_others(profile, &key.boundary) {
        Ok(())
    } else {
        Err(ServiceError::Forbidden("this key is somebody else's".into()))
    }
}

/// Whether the caller may know of the key at all.
fn visible(profile: &Profile, who: &Who, key: &Key) -> bool {
    // What lies in another team is not there, also what is their own (R000_01).
    if matches!(who, Who::Person(person, _) if !person.acts_at(key.boundary.team())) {
        return false;
    }
    let itself_or_minted = matches!(who, Who::Key(holder, _)
        if holder.key.id == key.id || key.parent == Some(holder.key.id));
    itself_or_minted
        || own(who, key)
        || (who.may(control::API_KEY_READ, &key.boundary)
            && (key.owner.is_none() || minted(who, key) || who.reaches_others(profile, &key.boundary)))
}

/// Whether the key is the caller's own.
fn own(who: &Who, key: &Key) -> bool {
    match who {
        Who::Person(person, _) => key.owner == Some(person.user.id),
        Who::Operator | Who::Key(..) => false,
    }
}

/// Whether the caller is the key that made it.
fn minted(who: &Who, key: &Key) -> bool {
    matches!(who, Who::Key(holder, _) if key.parent == Some(holder.key.id))
}

/// Tells every node that a key is not what it was, and what it minted with it: that stands within its limits.
async fn announce(work: &mut Work<'_>, key: &Key) -> Result<(), ServiceError> {
    work.changed(&key.changed()).await?;
    if keys::has_children(&mut work.tx, key.id).await? {
        work.changed(&Subject::Org(key.boundary.org())).await?;
    }
    Ok(())
}

fn deed(key: &Key, action: &'static str, event: &'static str, detail: serde_json::Value) -> Deed {
    Deed {
        org: key.boundary.org(),
        team: key.boundary.team(),
        table: "api_keys",
        target: key.prefix.clone(),
        action,
        event,
        detail,
    }
}
