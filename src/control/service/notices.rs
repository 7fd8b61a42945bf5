//! Words of keys that end soon: to whoever a key belongs to, one week and one day before, each once.
//!
//! What was told is written down with the mails that tell it, so a gateway that was down catches up, and one that is
//! killed in the middle tells nobody twice. Of a key that is found to end within a day the week is not mentioned any
//! more.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Control, ServiceError, caller::Person, members};
use crate::{
    control::mail::{EndingKey, NoticeLetter},
    domain::{
        boundary::Boundary,
        id::{KeyId, OrgId, TeamId, UserId},
        profile::{Reach, control},
        time::Timestamp,
    },
    store::{Conn, mails, notices, notices::Ending, orgs, users, users::User},
};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How near the end is, in the store and in the letter; what is nearer comes first.
const WORDS: [(&str, Duration, &str); 2] =
    [("1d", DAY, "one day"), ("7d", Duration::from_secs(7 * 24 * 3600), "one week")];
/// Keys that are looked at in one transaction.
const AT_ONCE: u32 = 200;
/// People who are told of a key that belongs to nobody.
const MOST_MANAGERS: usize = 20;

/// What one person is told.
struct Told {
    org: OrgId,
    keys: Vec<(KeyId, EndingKey)>,
    /// When the first of them ends.
    until: Timestamp,
}

impl Control {
    /// Writes the mails about keys that end soon; how many. Called again and again in the background.
    pub async fn announce_endings(&self) -> Result<u32, ServiceError> {
        let mut written = 0;
        if self.settings().mail.is_none() {
            return Ok(written);
        }
        for (within, span, words) in WORDS {
            loop {
                let mut conn = self.store().read().await?;
                let now = self.clock().now();
                let ending = notices::ending(&mut conn, within, span, now, AT_ONCE).await?;
                if ending.is_empty() {
                    break;
                }
                let told = self.recipients(&mut conn, &ending).await?;
                drop(conn);
                written += self.announce(within, words, &ending, told).await?;
            }
        }
        Ok(written)
    }

    async fn announce(
        &self,
        within: &str,
        words: &str,
        ending: &[Ending],
        told: BTreeMap<String, Told>,
    ) -> Result<u32, ServiceError> {
        let mut tx = self.store().write().await?;
        let now = self.clock().now();
        let mut news = BTreeSet::new();
        for key in ending {
            if notices::give(&mut tx, key.id, within, now).await? {
                news.insert(key.id);
            }
            // Whoever hears of the day need not hear of the week.
            for (name, ..) in WORDS.iter().skip_while(|(name, ..)| *name != within).skip(1) {
                notices::give(&mut tx, key.id, name, now).await?;
            }
        }
        let mut written = 0;
        for (to, told) in told {
            // Another gateway may have told of some in between.
            let keys: Vec<_> =
                told.keys.into_iter().filter(|(id, _)| news.contains(id)).map(|(_, key)| key).collect();
            let Some(org) = orgs::find(&mut tx, told.org).await?.filter(|_| !keys.is_empty()) else {
                continue;
            };
            let (to, public_url) = (to.as_str(), self.settings().public_url.as_str());
            let letter = NoticeLetter { to, org: &org.name, within: words, keys: &keys, public_url };
            let letter = letter.write().map_err(|error| ServiceError::Secret(error.into()))?;
            mails::insert(&mut tx, &self.sealed(now, &letter, org.id, told.until)?).await?;
            written += 1;
        }
        tx.commit().await?;
        Ok(written)
    }

    /// Whom to tell of which of these keys, by address.
    async fn recipients(
        &self,
        conn: &mut Conn,
        ending: &[Ending],
    ) -> Result<BTreeMap<String, Told>, ServiceError> {
        let mut told = BTreeMap::new();
        let mut managers: BTreeMap<(OrgId, Option<TeamId>), Vec<String>> = BTreeMap::new();
        for key in ending {
            let place = (key.org_id, key.team_id);
            let to = if let Some(owner) = key.owner {
                self.owner(conn, owner).await?.into_iter().collect()
            } else if let Some(known) = managers.get(&place) {
                Vec::clone(known)
            } else {
                let found = self.managers(conn, &members::boundary(place.0, place.1)).await?;
                managers.entry(place).or_insert(found).clone()
            };
            for address in to {
                let (name, prefix) = (key.name.clone(), key.prefix.clone());
                let one = EndingKey { name, prefix, until: key.expires_at.for_people() };
                let told = told.entry(address).or_insert_with(|| Told {
                    org: key.org_id,
                    keys: Vec::new(),
                    until: key.expires_at,
                });
                told.until = told.until.min(key.expires_at);
                told.keys.push((key.id, one));
            }
        }
        Ok(told)
    }

    async fn owner(&self, conn: &mut Conn, id: UserId) -> Result<Option<String>, ServiceError> {
        Ok(users::find(conn, id).await?.filter(User::active).map(|user| user.email))
    }

    /// Those who may rotate anybody's key there.
    async fn managers(&self, conn: &mut Conn, place: &Boundary) -> Result<Vec<String>, ServiceError> {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let people = users::list(conn, Some(place.org()), after, AT_ONCE).await?;
            let Some(last) = people.last().map(|user| user.id) else { return Ok(found) };
            after = Some(last);
            for user in people.into_iter().filter(User::active) {
                let person = Person::read(conn, self.profile(), user).await?;
                let held = person.permissions(place);
                if held.contains(control::API_KEY_ROTATE) && self.profile().keys.reach(&held) == Reach::All {
                    found.push(person.user.email);
                }
                if found.len() >= MOST_MANAGERS {
                    return Ok(found);
                }
            }
        }
    }
}
