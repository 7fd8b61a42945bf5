//! Nobody gains what their giver does not hold, whatever is done in whatever order.

use std::collections::HashMap;

use proptest::{prelude::*, test_runner::Config};

use super::{DAY, HOUR, Platform, refused};
use crate::{
    control::service::{
        Acceptance, Caller, GroupChanges, Imported, InviteTo, KeyChanges, NewGroup, NewInvitation, NewKey,
        NewRole, RoleChanges, ServiceError, caller::Person,
    },
    domain::{
        access::Holder,
        boundary::Boundary,
        id::{KeyId, OrgId, TeamId},
        key::grant::Grant,
        permission::PermissionSet,
        profile::Profile,
    },
    store::{keys as stored, users},
};

const OPERATOR: &Caller = &Caller::Operator;
const PEOPLE: [&str; 4] = ["ada", "ana", "bob", "cyn"];
const ROLES: [&str; 4] = ["Alpha", "Beta", "Gamma", "Delta"];
const TEAMS: [Option<&str>; 3] = [None, Some("core"), Some("side")];
const GROUPS: [&str; 3] = ["One", "Two", "Three"];
const RIGHTS: [&str; 8] = [
    "cli_tools:view",
    "cli_tools:edit",
    "public_api:view",
    "public_api:edit",
    "role:manage",
    "group:manage",
    "member:update",
    "member:invite",
];

/// One thing that somebody tries. Numbers choose among what there is; most tries are refused, as they should be.
#[derive(Debug, Clone)]
struct Try {
    by: usize,
    what: u8,
    one: usize,
    other: usize,
    bits: u8,
    limit: u8,
}

fn tries() -> impl Strategy<Value = Vec<Try>> {
    let one = (0..16_usize, 0..18_u8, 0..12_usize, 0..12_usize, any::<u8>(), 0..8_u8);
    let one = one.prop_map(|(by, what, one, other, bits, limit)| Try { by, what, one, other, bits, limit });
    prop::collection::vec(one, 10..50)
}

/// What everybody holds at one moment.
struct Held {
    /// By person, in the organization and in its teams.
    people: Vec<[PermissionSet; 3]>,
    /// By key; none for one that does not work.
    keys: HashMap<KeyId, Option<Grant>>,
}

struct World {
    platform: Platform,
    people: Vec<Caller>,
    keys: Vec<KeyId>,
    org: OrgId,
    teams: [TeamId; 2],
    imports: usize,
    /// Links that were sent: by whom, to whom.
    links: Vec<(Caller, usize, String)>,
}

/// What came of something that somebody tried.
#[derive(Debug, Default)]
struct Done {
    key: Option<KeyId>,
    /// On whose authority it happened, where that is another's than the caller's.
    giver: Option<Caller>,
}

impl World {
    /// `cortex` with teams besides, so that boundaries matter too.
    async fn new() -> Self {
        let text = Profile::shipped("cortex").unwrap();
        let text = text.replace("[keys.issue]\n", "[keys.issue]\nteam = [\"*\"]\n");
        let platform = Platform::of(Profile::parse(&text, "cortex with teams").unwrap()).await;
        let org = platform.control.find_org(OPERATOR, "acme").await.unwrap().id;
        let teams = [platform.team.unwrap(), platform.team("Side").await];
        let mut people = Vec::new();
        for (name, role) in PEOPLE.iter().zip(["account_admin", "none", "none", "none"]) {
            people.push(platform.person(name, role).await);
        }
        platform.role(OPERATOR, "Alpha", "role:manage group:manage member:update cli_tools:view").await;
        platform.role(OPERATOR, "Beta", "public_api:edit cli_tools:view").await;
        platform.group(OPERATOR, "One", &["Beta"], &["ana", "bob"]).await;
        platform.role(OPERATOR, "Gamma", "cli_tools:edit public_api:edit member:invite").await;
        platform.group(OPERATOR, "Two", &["Gamma"], &["bob"]).await;
        for (who, team) in [("ana", None), ("cyn", Some("core")), ("bob", Some("side"))] {
            let who = format!("{who}@acme.example");
            platform.control.set_role(OPERATOR, &who, team, Some("Alpha")).await.unwrap();
        }
        Self { platform, people, keys: Vec::new(), org, teams, imports: 0, links: Vec::new() }
    }

    fn places(&self) -> [Boundary; 3] {
        let [core, side] = self.teams.map(|team| Boundary::Team(self.org, team));
        [Boundary::Org(self.org), core, side]
    }

    async fn held(&self) -> Held {
        let control = &self.platform.control;
        let mut conn = control.store().read().await.unwrap();
        let now = control.clock().now();
        let places = self.places();
        let mut held = Held { people: Vec::new(), keys: HashMap::new() };
        for person in &self.people {
            let user = users::find(&mut conn, super::user_id(person)).await.unwrap().unwrap();
            let active = user.active();
            let person = Person::read(&mut conn, control.profile(), user).await.unwrap();
            let all =
                |place: &Boundary| if active { person.permissions(place) } else { PermissionSet::EMPTY };
            held.people.push([all(&places[0]), all(&places[1]), all(&places[2])]);
        }
        for id in &self.keys {
            let key = stored::find(&mut conn, *id).await.unwrap().unwrap();
            let standing = key.standing(control.profile());
            let works = standing.life.status(now).works() && standing.holder == Holder::Present;
            let grant = Grant {
                boundary: key.key.boundary,
                permissions: standing.permissions,
                expires_at: standing.life.ends_at(),
                networks: standing.networks,
                rate: standing.rate,
            };
            held.keys.insert(*id, works.then_some(grant));
        }
        held
    }

    /// The team that a try names.
    fn named(&self, it: &Try) -> Option<TeamId> {
        match (it.what, usize::from(it.bits) % 3) {
            // A role of the profile's is held in the organization, whichever team is named.
            (8, _) if it.limit % 4 > 1 => None,
            (8 | 9 | 10 | 14 | 15, team @ 1..) => Some(self.teams[team - 1]),
            _ => None,
        }
    }

    /// Somebody, perhaps in a session that acts in one team; or a key.
    fn caller(&self, number: usize) -> Caller {
        let person = self.people[number % PEOPLE.len()].clone();
        match (number, person) {
            (4..6, Caller::User { id, ip, .. }) => Caller::User { id, ip, team: Some(self.teams[0]) },
            (6..8, Caller::User { id, ip, .. }) => Caller::User { id, ip, team: Some(self.teams[1]) },
            (8.., _) if !self.keys.is_empty() => {
                Caller::Key { id: self.keys[number % self.keys.len()], ip: None }
            }
            (_, person) => person,
        }
    }

    async fn attempt(&mut self, by: &Caller, it: &Try) -> Result<Done, ServiceError> {
        let made = |key| Done { key: Some(key), giver: None };
        let control = self.platform.control.clone();
        let rights: Vec<String> =
            (0..8).filter(|bit| it.bits & (1 << bit) != 0).map(|bit| RIGHTS[bit].into()).collect();
        let (role, group) = (ROLES[it.one % 4], GROUPS[it.one % 3]);
        let roles = vec![ROLES[it.other % 4].to_owned(), ROLES[it.limit as usize % 4].to_owned()];
        let person = format!("{}@acme.example", PEOPLE[it.other % 4]);
        let rate = Some(i64::from(it.limit)).filter(|rate| *rate > 0);
        let ips =
            [vec![], vec!["10.0.0.0/8".to_owned()], vec!["10.1.0.0/16".into()], vec!["192.0.2.1".into()]];
        let ips = ips[it.limit as usize % 4].clone();
        let key = (!self.keys.is_empty()).then(|| self.keys[it.one % self.keys.len()].to_string());
        let key = key.unwrap_or_else(|| "none".into());
        let team = TEAMS[usize::from(it.bits) % 3];
        match it.what {
            0 => drop(
                control
                    .create_role(by, &NewRole { org: None, name: role.into(), permissions: rights })
                    .await?,
            ),
            1 => {
                let changes = RoleChanges { permissions: Some(rights), ..RoleChanges::default() };
                control.update_role(by, role, &changes).await?;
            }
            2 => {
                let name = Some(ROLES[it.other % 4].into());
                control.update_role(by, role, &RoleChanges { name, ..RoleChanges::default() }).await?;
            }
            3 => control.delete_role(by, role).await?,
            4 => drop(control.create_group(by, &NewGroup { org: None, name: group.into(), roles }).await?),
            5 => {
                let changes = GroupChanges { roles: Some(roles), ..GroupChanges::default() };
                control.update_group(by, group, &changes).await?;
            }
            6 => drop(control.add_to_group(by, group, &person).await?),
            7 => drop(control.remove_from_group(by, group, &person).await?),
            8 => {
                let role = [None, Some(role), Some("account_admin"), Some("cli")][it.limit as usize % 4];
                control.set_role(by, &person, team, role).await?;
            }
            9 | 10 => {
                let by_role = it.limit.is_multiple_of(2);
                let new = NewKey {
                    name: "k".into(),
                    scopes: (!by_role).then_some(rights),
                    roles: by_role.then(|| vec![["Alpha", "Beta", "Gamma", "cli"][it.other % 4].into()]),
                    scope: Some(if team.is_some() { "team" } else { "org" }.into()),
                    team_id: team.map(Into::into),
                    expires_in_days: rate,
                    rate_limit_per_minute: rate,
                    allowed_ips: ips,
                    ..NewKey::default()
                };
                return Ok(made(control.create_key(by, &new).await?.key.id));
            }
            11 => {
                // Half of those that keys try are of themselves.
                let key = match by {
                    Caller::Key { id, .. } if it.limit.is_multiple_of(2) => id.to_string(),
                    _ => key,
                };
                return Ok(made(control.rotate_key(by, &key, Some(HOUR)).await?.key.id));
            }
            12 => {
                let changes = KeyChanges {
                    name: Some("renamed".into()),
                    rate_limit_per_minute: Some(rate),
                    allowed_ips: Some(ips),
                    ..KeyChanges::default()
                };
                control.update_key(by, &key, &changes).await?;
            }
            13 => drop(control.revoke_key(by, &key).await?),
            14 => control.remove_member(by, &person, team).await?,
            15 => {
                let to = team.map_or(InviteTo::Org(None), |team| InviteTo::Team(team.into()));
                let role = [None, Some(role), Some("account_admin"), Some("cli")][it.limit as usize % 4];
                let new = NewInvitation { to, email: person, role: role.map(Into::into), message: None };
                control.invite(by, &new).await?;
                let token = self.platform.token().await;
                self.links.push((by.clone(), it.other % 4, token));
            }
            // Twice as often: most links are dead by the time that they are followed.
            _ if self.links.is_empty() => {}
            _ => {
                let at = it.one % self.links.len();
                let (inviter, whom, token) = self.links[at].clone();
                let signed_in = Some(super::user_id(&self.people[whom]));
                control.accept_invitation(&Acceptance { token, signed_in, ..Acceptance::default() }).await?;
                self.links.remove(at);
                return Ok(Done { key: None, giver: Some(inviter) });
            }
        }
        Ok(Done::default())
    }

    /// What the operator and time do meanwhile.
    async fn meanwhile(&mut self, it: &Try) {
        let control = &self.platform.control;
        let person = format!("{}@acme.example", PEOPLE[it.other % 4]);
        match it.what {
            0 => self.platform.clock.advance(DAY),
            1 => drop(control.set_user_active(OPERATOR, &person, it.bits & 1 == 0).await.unwrap()),
            2 => {
                self.imports += 1;
                let record = Imported {
                    name: "brought".into(),
                    user: Some(person),
                    prefix: Some(format!("{}", 10_000_000 + self.imports)),
                    hash: format!("sha256:{:064x}", self.imports),
                    scopes: RIGHTS.iter().map(|&right| right.into()).collect(),
                    ..Imported::default()
                };
                if let [Ok(id)] = control.import_keys(OPERATOR, &[record]).await.unwrap().as_slice() {
                    self.keys.push(*id);
                }
            }
            _ => {}
        }
    }
}

/// What `by` holds at `place`, as something to give on.
fn giver(world: &World, before: &Held, by: &Caller, place: &Boundary) -> Option<Grant> {
    match by {
        Caller::Key { id, .. } => before.keys[id].clone(),
        Caller::User { id, team, .. } => {
            let at = world.people.iter().position(|person| super::user_id(person) == *id).unwrap();
            let place_at = world.places().iter().position(|one| one == place).unwrap();
            // Who acts in one team has in another what they hold on the organization: its roles and groups count there.
            let elsewhere = team.is_some() && place.team().is_some() && place.team() != *team;
            let permissions = before.people[at][if elsewhere { 0 } else { place_at }];
            Some(Grant {
                boundary: Boundary::Org(world.org),
                permissions,
                expires_at: None,
                networks: crate::domain::access::Networks::default(),
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
                Some(None) => {
                    prop_assert!(
                        is.permissions.is_subset_of(&may_give),
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
