//! Words of keys that end soon.

use super::{DAY, HOUR, Platform, reading};
use crate::control::service::{Caller, NewKey};

const OPERATOR: &Caller = &Caller::Operator;

fn for_days(days: i64) -> NewKey {
    NewKey { expires_in_days: Some(days), ..reading() }
}

/// One week and one day before, each once, however often it is looked.
#[tokio::test]
async fn an_owner_hears_twice_of_a_key_that_ends() {
    let platform = Platform::new("offload").await;
    let ana = platform.person("ana", "admin").await;
    let key = platform.key(&ana, for_days(30)).await.unwrap().key;
    let announce = async || platform.control.announce_endings().await.unwrap();
    assert_eq!(announce().await, 0);
    platform.clock.advance(DAY * 22 + HOUR * 23);
    assert_eq!(announce().await, 0, "an hour early");
    platform.clock.advance(HOUR);
    assert_eq!((announce().await, announce().await), (1, 0));
    platform.clock.advance(DAY * 6);
    assert_eq!((announce().await, announce().await), (1, 0));
    platform.clock.advance(DAY);
    assert_eq!(announce().await, 0, "it has ended");
    let mails = platform.mails().await;
    assert_eq!(mails.len(), 2);
    assert!(mails[0].contains("To: ana@acme.example") && mails[0].contains("one week"), "{}", mails[0]);
    assert!(mails[1].contains("one day") && mails[1].contains(&key.prefix), "{}", mails[1]);
}

/// Who was down over the week before tells of the day alone; who was down over both tells nothing of what has ended.
#[tokio::test]
async fn after_a_long_rest_only_what_is_still_true_is_told() {
    let platform = Platform::new("offload").await;
    let ana = platform.person("ana", "admin").await;
    platform.key(&ana, for_days(30)).await.unwrap();
    platform.key(&ana, NewKey { name: "later".into(), ..for_days(36) }).await.unwrap();
    platform.clock.advance(DAY * 29 + HOUR);
    assert_eq!(platform.control.announce_endings().await.unwrap(), 2, "a day for one, a week for the other");
    assert_eq!(platform.control.announce_endings().await.unwrap(), 0);
    platform.clock.advance(DAY * 8);
    assert_eq!(platform.control.announce_endings().await.unwrap(), 0);
}

#[tokio::test]
async fn nobody_is_told_of_keys_that_were_to_end() {
    let platform = Platform::new("offload").await;
    let ana = platform.person("ana", "admin").await;
    let revoked = platform.key(&ana, for_days(30)).await.unwrap().key;
    let rotated = platform.key(&ana, for_days(30)).await.unwrap().key;
    // A key that was made for a few days is not news when it has a few days left.
    platform.key(&ana, for_days(7)).await.unwrap();
    platform.control.revoke_key(OPERATOR, &revoked.id.to_string()).await.unwrap();
    assert_eq!(platform.control.announce_endings().await.unwrap(), 0);
    platform.clock.advance(DAY * 24);
    let successor = platform.control.rotate_key(&ana, &rotated.id.to_string(), None).await.unwrap().key;
    let told = platform.control.announce_endings().await.unwrap();
    let mails = platform.mails().await.concat();
    assert!(!mails.contains(&revoked.prefix) && !mails.contains(&rotated.prefix), "{mails}");
    assert_eq!(told > 0, mails.contains(&successor.prefix));
}

/// A key that belongs to the organization is the business of those who may rotate it; all their keys are in one mail.
#[tokio::test]
async fn those_who_manage_hear_of_keys_that_belong_to_nobody() {
    let platform = Platform::new("reducto").await;
    let olga = platform.person("olga", "owner").await;
    platform.person("adam", "admin").await;
    platform.person("mia", "member").await;
    for name in ["one", "two"] {
        let new = NewKey { name: name.into(), expires_in_days: Some(30), ..NewKey::default() };
        platform.key(&olga, new).await.unwrap();
    }
    platform.clock.advance(DAY * 25);
    assert_eq!(platform.control.announce_endings().await.unwrap(), 2);
    let mails = platform.mails().await;
    let to = |name: &str| mails.iter().filter(|mail| mail.contains(&format!("To: {name}@"))).count();
    assert_eq!((to("olga"), to("adam"), to("mia")), (1, 1, 0));
    assert!(mails.iter().all(|mail| mail.contains("2 API keys end within one week")), "{mails:?}");
}
