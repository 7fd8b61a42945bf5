//! A platform in which anybody may try anything, and what everybody holds in it.

use std::collections::HashMap;

use super::super::{DAY, HOUR, Platform, user_id};
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

pub(super) const OPERATOR: &Caller = &Caller::Operator;
pub(super) const PEOPLE: [&str; 4] = ["ada", "ana", "bob", "cyn"];
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
pub(super) struct Try {
    pub(super) by: usize,
    pub(super) what: u8,
    pub(super) one: usize,
    pub(super) other: usize,
    pub(super) bits: u8,
    pub(super) limit: u8,
}

/// What everybody holds at one moment.
pub(super) struct Held {
    /// By person, in the organization and in its teams.
    pub(super) people: Vec<[PermissionSet; 3]>,
    /// By key; none for one that does not work.
    pub(super) keys: HashMap<KeyId, Option<Grant>>,
}

pub(super) struct World {
    pub(super) platform: Platform,
    pub(super) people: Vec<Caller>,
    pub(super) keys: Vec<KeyId>,
    pub(super) org: OrgId,
    pub(super) teams: [TeamId; 2],
    pub(super) imports: usize,
    /// Links that were sent: by whom, to whom.
    pub(super) links: Vec<(Caller, usize, String)>,
}

/// What came of something that somebody tried.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) key: Option<KeyId>,
    /// On whose authority it happened, where that is another's than the caller's.
    pub(super) giver: Option<Caller>,
}

impl World {
    /// `cortex` with teams besides, so that boundaries matter too.
    pub(super) async fn new() -> Self {
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

    pub(super) fn places(&self) -> [Boundary; 3] {
        let [core, side] = self.teams.map(|team| Boundary::Team(self.org, team));
        [Boundary::Org(self.org), core, side]
    }

    pub(super) async fn held(&self) -> Held {
        let control = &self.platform.control;
        let mut conn = control.store().read().await.unwrap();
        let now = control.clock().now();
        let places = self.places();
        let mut held = Held { people: Vec::new(), keys: HashMap::new() };
        for person in &self.people {
            let user = users::find(&mut conn, user_id(person)).await.unwrap().unwrap();
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
    pub(super) fn named(&self, it: &Try) -> Option<TeamId> {
        match (it.what, usize::from(it.bits) % 3) {
            // A role of the profile's is held in the organization, whichever team is named.
            (8, _) if it.limit % 4 > 1 => None,
            (8 | 9 | 10 | 14 | 15, team @ 1..) => Some(self.teams[team - 1]),
            _ => None,
        }
    }

    /// Somebody, perhaps in a session that acts in one team; or a key.
    pub(super) fn caller(&self, number: usize) -> Caller {
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

    pub(super) async fn attempt(&mut self, by: &Caller, it: &Try) -> Result<Done, ServiceError> {
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
                let signed_in = Some(user_id(&self.people[whom]));
                control.accept_invitation(&Acceptance { token, signed_in, ..Acceptance::default() }).await?;
                self.links.remove(at);
                return Ok(Done { key: None, giver: Some(inviter) });
            }
        }
        Ok(Done::default())
    }

    /// What the operator and time do meanwhile.
    pub(super) async fn meanwhile(&mut self, it: &Try) {
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
