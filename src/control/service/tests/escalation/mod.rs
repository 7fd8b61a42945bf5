//! Nobody gains what their giver does not hold, whatever is done in whatever order.

mod world;

use proptest::{prelude::*, test_runner::Config};

use self::world::{Held, OPERATOR, Try, World};
use super::{refused, user_id};
use crate::{
    control::service::Caller,
    domain::{access::Networks, boundary::Boundary, key::grant::Grant},
    store::keys as stored,
};

fn tries() -> impl Strategy<Value = Vec<Try>> {
    let one = (0..16_usize, 0..18_u8, 0..12_usize, 0..12_usize, any::<u8>(), 0..8_u8);
    let one = one.prop_map(|(by, what, one, other, bits, limit)| Try { by, what, one, other, bits, limit });
    prop::collection::vec(one, 10..50)
}

/// What `by` holds at `place`, as something to give on.
fn giver(world: &World, before: &Held, by: &Caller, place: &Boundary) -> Option<Grant> {
    match by {
        Caller::Key { id, .. } => before.keys[id].clone(),
        Caller::User { id, team, .. } => {
            let at = world.people.iter().position(|person| user_id(person) == *id).unwrap();
            let place_at = world.places().iter().position(|one| one == place).unwrap();
            // Who acts in one team has in another what they hold on the organization: its roles and groups count there.
            let elsewhere = team.is_some() && place.team().is_some() && place.team() != *team;
            let permissions = before.people[at][if elsewhere { 0 } else { place_at }];
            Some(Grant {
                boundary: Boundary::Org(world.org),
                permissions,
                expires_at: None,
                networks: Networks::default(),
                rate: None,
            })
        }
        Caller::Operator | Caller::Anonymous { .. } => None,
    }
}

async fn run(tries: Vec<Try>) -> Result<usize, TestCaseError> {
    let mut world = World::new().await;
    let mut done = 0;
    for it in tries {
        world.meanwhile(&it).await;
        let (by, before) = (world.caller(it.by), world.held().await);
        let outcome = world.attempt(&by, &it).await;
        let (new, by) = match outcome {
            Ok(done) => {
                let named = world.named(&it);
                let acts_in = if let Caller::User { team, .. } = by { team } else { None };
                let beside = acts_in.is_some() && named.is_some() && named != acts_in;
                prop_assert!(!beside, "{:?} by {:?} reached another team", it, by);
                (done.key, done.giver.unwrap_or(by))
            }
            Err(error) => {
                prop_assert!(error.code() != "store_unavailable", "{:?}: {}", it, error);
                (None, by)
            }
        };
        done += usize::from(new.is_some());
        world.keys.extend(new);
        let after = world.held().await;
        let places = world.places();
        let may_give = |place: &Boundary| {
            giver(&world, &before, &by, place).map(|giver| giver.permissions).unwrap_or_default()
        };
        for (was, is) in before.people.iter().zip(&after.people) {
            for ((was, is), may_give) in was.iter().zip(is).zip(places.iter().map(may_give)) {
                prop_assert!(
                    is.difference(was).is_subset_of(&may_give),
                    "{:?} by {:?} gave a person more",
                    it,
                    by
                );
            }
        }
        let mut conn = world.platform.control.store().read().await.unwrap();
        for id in &world.keys {
            let Some(is) = &after.keys[id] else { continue };
            let giver = giver(&world, &before, &by, &is.boundary);
            let may_give = giver.as_ref().map(|giver| giver.permissions).unwrap_or_default();
            match before.keys.get(id) {
                Some(Some(was)) => {
                    let gained = is.permissions.difference(&was.permissions);
                    prop_assert!(gained.is_subset_of(&may_give), "{:?} by {:?} gave a key more", it, by);
                    prop_assert_eq!(is.boundary, was.boundary);
                    if let Caller::Key { .. } = by {
                        let wider = Grant { permissions: was.permissions, ..is.clone() }.within(was).is_err();
                        // Networks and rate are all that can be changed, and a key changes them within its own.
                        let own = giver.as_ref().is_some_and(|giver| {
                            let limits =
                                Grant { networks: is.networks.clone(), rate: is.rate, ..giver.clone() };
                            is.expires_at == was.expires_at && limits.within(giver).is_ok()
                        });
                        prop_assert!(!wider || own, "{:?} by {:?} widened a key", it, by);
                    }
                }
                // It has at most what its issuer holds, and that may be held by somebody who is away: whoever calls them
                // back gives nothing by it.
                Some(None) => {
                    let issuer = stored::find(&mut conn, *id).await.unwrap().unwrap().key.created_by;
                    let at = |person: &Caller| issuer == Some(user_id(person));
                    let place = places.iter().position(|place| *place == is.boundary).unwrap();
                    let held = world.people.iter().position(at).map(|at| before.people[at][place]);
                    prop_assert!(
                        is.permissions.difference(&held.unwrap_or_default()).is_subset_of(&may_give),
                        "{:?} by {:?} brought a key back",
                        it,
                        by
                    );
                }
                // Whoever makes a key, or rotates one, sees its text and so holds all of it.
                None => {
                    let mut giver = giver;
                    let made = stored::find(&mut conn, *id).await.unwrap().unwrap().key;
                    // A key in its grace may ask again for the successor that it has: its end is the key's, not the
                    // grace's.
                    if let (Caller::Key { id, .. }, Some(giver)) = (&by, &mut giver)
                        && made.rotated_from == Some(*id)
                    {
                        let own = stored::find(&mut conn, *id).await.unwrap().unwrap();
                        giver.expires_at = own.standing(world.platform.control.profile()).life.expires_at;
                    }
                    prop_assert!(
                        giver.is_some_and(|giver| is.within(&giver).is_ok()),
                        "{:?} by {:?}: {:?}",
                        it,
                        by,
                        is
                    );
                }
            }
            // Whatever was done, a minted key is at most what minted it, and dead with it.
            let key = stored::find(&mut conn, *id).await.unwrap().unwrap().key;
            if let Some(parent) = key.parent {
                let parent = after.keys.get(&parent).cloned().flatten();
                prop_assert!(parent.is_some_and(|parent| is.within(&parent).is_ok()), "{:?} by {:?}", it, by);
            }
        }
    }
    Ok(done)
}

proptest! {
    #![proptest_config(Config { cases: 24, max_shrink_iters: 200, ..Config::default() })]

    /// Roles made, changed, renamed and deleted; groups filled and emptied; keys made, minted, rotated, changed,
    /// imported and revoked, by themselves too; people invited, accepting when their inviter is no longer who they were,
    /// moved between teams, acting in one of them, deactivated; time passing: no step gives anybody - person or key - a permission,
    /// boundary, expiry, network or rate that whoever took the step did not hold (R001_02, R001_06).
    #[test]
    fn no_step_gives_more_than_its_giver_holds(tries in tries()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(tries))?;
    }
}

/// The world above is one in which things happen: what the property says is said of more than refusals.
#[tokio::test]
async fn there_is_something_to_gain() {
    let mut world = World::new().await;
    let make = Try { by: 1, what: 9, one: 0, other: 0, bits: 0b1000, limit: 3 };
    let id = world.attempt(&world.caller(1), &make).await.unwrap().key.unwrap();
    world.keys.push(id);
    let primary = Caller::Key { id, ip: None };
    let narrower = Try { limit: 1, ..make.clone() };
    refused(world.attempt(&primary, &Try { limit: 7, ..make.clone() }).await, "forbidden");
    let refusal = world.attempt(&primary, &narrower).await;
    assert_eq!(refusal.unwrap_err().code(), "forbidden", "10.0.0.0/8 is not within 192.0.2.1");
    let minted = world.attempt(&primary, &Try { limit: 3, ..make }).await.unwrap().key.unwrap();
    assert!(world.held().await.keys.contains_key(&id));
    world.keys.push(minted);
    assert!(world.held().await.keys[&minted].is_some());

    // ada invites cyn to what ana is, and is stopped: the link gives nothing until she is back.
    let invite = Try { by: 0, what: 15, one: 0, other: 3, bits: 2, limit: 1 };
    world.platform.control.remove_member(OPERATOR, "cyn@acme.example", Some("core")).await.unwrap();
    world.attempt(&world.caller(0), &Try { bits: 1, ..invite.clone() }).await.unwrap();
    let accept = Try { what: 16, ..invite };
    world.platform.control.set_user_active(OPERATOR, "ada@acme.example", false).await.unwrap();
    refused(world.attempt(&world.caller(3), &accept).await, "forbidden");
    world.platform.control.set_user_active(OPERATOR, "ada@acme.example", true).await.unwrap();
    let before = world.held().await.people[3];
    assert!(world.attempt(&world.caller(3), &accept).await.unwrap().giver.is_some());
    assert_ne!(world.held().await.people[3], before);
}
