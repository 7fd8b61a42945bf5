//! A gateway with everybody on it who asks, and fresh things to ask about.

use std::cell::Cell;

use latchgate::control::service::{
    AuditFilter, Caller as By, InviteTo, NewGroup, NewInvitation, NewKey, NewOrg, NewProject, NewRole,
    NewTeam, NewUser, Page,
};
use serde_json::{Value, json};

use super::platform::{Level, NONE, Platform};
use crate::support::{
    gateway::Gateway,
    program::{ADMIN, PASSWORD, Site},
    rawup::Upstream,
    request::Caller,
    setup::Setup,
};

/// What names nothing.
pub const NOTHING: &str = "01900000-0000-7000-8000-000000000000";
const OTHER_PASSWORD: &str = "another correct horse battery";

/// An organization, and a team in it where the platform has teams.
#[derive(Debug, Clone)]
pub struct Place {
    pub org: String,
    pub team: Option<String>,
}

/// What somebody is to the first organization and its team.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Nobody,
    /// A key that holds one permission which opens nothing.
    Reader,
    /// A key of the highest role, with all that keys may hold.
    Root,
    /// Somebody with this role.
    Member(&'static str),
    /// The highest role of the team beside it.
    OtherTeam,
    /// The highest role of another organization.
    OtherOrg,
}

impl Part {
    pub fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Reader => "key without it",
            Self::Root => "key with all",
            Self::Member(role) => role,
            Self::OtherTeam => "other team",
            Self::OtherOrg => "other org",
        }
    }

    pub const fn is_foreign(self) -> bool {
        matches!(self, Self::OtherTeam | Self::OtherOrg)
    }
}

/// Who asks.
#[derive(Debug, Clone)]
pub struct Actor {
    pub part: Part,
    pub caller: Caller,
    /// Where their session comes from.
    email: Option<String>,
}

pub struct Stage {
    pub gateway: Gateway,
    pub platform: &'static Platform,
    /// The first organization and its team.
    pub here: Place,
    pub cast: Vec<Actor>,
    made: Cell<u32>,
}

impl Stage {
    pub fn new(platform: &'static Platform) -> Self {
        let upstream = Upstream::echo();
        let site = Site::new(Setup::bare(platform.profile).upstream("app", &upstream.url()).mail());
        let here = Place { org: site.org(), team: platform.has_teams().then(|| site.team()) };
        let gateway = Gateway::start(site);
        let mut stage = Self { gateway, platform, here, cast: Vec::new(), made: Cell::new(0) };
        let mut parts = vec![Part::Nobody, Part::Reader, Part::Root];
        parts.extend(platform.roles.iter().map(|(role, _)| Part::Member(role)));
        parts.extend(platform.has_teams().then_some(Part::OtherTeam));
        parts.push(Part::OtherOrg);
        stage.cast = parts.into_iter().map(|part| stage.actor(part, &stage.here)).collect();
        stage
    }

    /// Somebody new who is that to `home`.
    fn actor(&self, part: Part, home: &Place) -> Actor {
        let door = self.gateway.admin();
        let person = |place: &Place, role| {
            let email = self.person(place, role, Some(PASSWORD)).0;
            Actor { part, caller: door.bearer(&door.token(&email)), email: Some(email) }
        };
        let key = |scope| Actor { part, caller: door.key(&self.key(home, Level::Org, scope).1), email: None };
        match part {
            Part::Nobody => Actor { part, caller: door.anonymous(), email: None },
            Part::Reader => key(self.platform.scope),
            Part::Root => key("*"),
            Part::Member(role) => person(home, role),
            Part::OtherTeam => {
                let beside = Place { org: home.org.clone(), team: self.team(&home.org) };
                person(&beside, self.platform.highest(Level::Team).expect("a role in teams"))
            }
            Part::OtherOrg => person(&self.place(), self.platform.master()),
        }
    }

    /// The id of somebody who is that to the first team.
    pub fn stranger(&self, part: Part) -> String {
        let place = match part {
            Part::OtherTeam => Place { org: self.here.org.clone(), team: self.team(&self.here.org) },
            _ => self.place(),
        };
        self.person(&place, self.platform.given, None).1
    }

    /// Who asks this, and where they are at home: for what would end their home, or them, it is somebody like them.
    pub fn asks(&self, actor: &Actor, operation: &str) -> (Caller, Place) {
        let at_home = || (actor.caller.clone(), self.here.clone());
        match (operation, actor.part, &actor.email) {
            ("delete_org" | "delete_team", Part::Root | Part::Member(_), _) => {
                let home = self.place();
                (self.actor(actor.part, &home).caller, home)
            }
            ("delete_org", Part::OtherOrg, _) => {
                (self.actor(actor.part, &self.here).caller, self.here.clone())
            }
            ("sign_out", _, Some(email)) => {
                let door = self.gateway.admin();
                (door.bearer(&door.token(email)), self.here.clone())
            }
            _ => at_home(),
        }
    }

    /// The path with objects that were made for it alone.
    pub fn path(&self, operation: &str, path: &str, home: &Place) -> String {
        let of_org = operation.ends_with("org_member");
        let role = if of_org { self.platform.given_in_org() } else { self.platform.given };
        let user = path.contains("{user_id}").then(|| self.person(home, role, None).1);
        let mut path = path.to_owned();
        let mut put = |name: &str, make: &dyn Fn() -> Option<String>| {
            let name = format!("{{{name}}}");
            if path.contains(&name) {
                path = path.replace(&name, &make().unwrap_or_else(|| NOTHING.to_owned()));
            }
        };
        put("team_id", &|| home.team.clone());
        put("project_id", &|| self.project(home));
        put("user_id", &|| user.clone());
        put("key_id", &|| Some(self.key(home, Level::Team, self.platform.scope).0));
        put("invitation_id", &|| Some(self.invitation(home)));
        put("role_id", &|| Some(self.role(home)));
        put("group_id", &|| self.group(home, user.as_deref().filter(|_| operation == "remove_group_member")));
        path
    }

    pub fn body(&self, operation: &str, home: &Place) -> Option<Value> {
        let (platform, number) = (self.platform, self.next());
        let (email, name) = (format!("n{number}@example.com"), format!("New {number}"));
        Some(match operation {
            "create_key" => {
                let scope = if home.team.is_some() { "team" } else { "org" };
                let mut key = json!({ "name": name, "scope": scope, "scopes": [platform.scope] });
                if let Some(team) = &home.team {
                    key["team_id"] = json!(team);
                }
                key
            }
            "verify_key" => json!({ "key": self.key(home, Level::Team, platform.scope).1 }),
            "generate_key" => json!({ "request_data": {
                "roles": [platform.given], "security_level": "standard", "expiration": 0, "comment": name,
            } }),
            "create_user" => {
                let mut user = json!({ "email": email, "name": name, "role": platform.given });
                if let Some(team) = &home.team {
                    user["team_id"] = json!(team);
                }
                user
            }
            "create_team" | "create_project" | "update_org" | "update_team" | "update_project"
            | "update_user" | "update_key" | "update_role" | "update_group" => json!({ "name": name }),
            "create_org_invitation" => json!({ "email": email, "role": platform.given_in_org() }),
            "create_team_invitation" => json!({ "email": email, "role": platform.given }),
            "accept_invitation" => json!({ "token": "lgi_nobody", "name": name, "password": PASSWORD }),
            "create_org" => json!({ "name": name, "admin_email": email }),
            "create_role" => json!({ "name": name, "permissions": [platform.scope] }),
            "create_group" => json!({ "name": name, "roles": [platform.given] }),
            "put_team_member" | "update_team_member" => json!({ "role": platform.given }),
            "put_org_member" | "update_org_member" => json!({ "role": platform.given_in_org() }),
            "sign_in" => json!({ "email": ADMIN, "password": PASSWORD }),
            "switch_team" => json!({ "team_id": home.team }),
            "enrol_second_factor" => json!({ "password": OTHER_PASSWORD }),
            "confirm_second_factor" => json!({ "code": "no code" }),
            "remove_second_factor" | "renew_recovery_codes" => {
                json!({ "password": OTHER_PASSWORD, "code": "no code" })
            }
            "change_password" => json!({ "password": PASSWORD, "new_password": OTHER_PASSWORD }),
            _ => return None,
        })
    }

    /// The newest event of the trail.
    pub fn newest_event(&self) -> String {
        let page = Page { limit: Some(1), cursor: None };
        let events = self.gateway.control(async |control| {
            control.list_audit(&By::Operator, &AuditFilter::default(), &page).await.expect("the trail")
        });
        events.items[0].id.to_string()
    }

    fn next(&self) -> u32 {
        self.made.set(self.made.get() + 1);
        self.made.get()
    }

    /// Another organization.
    fn place(&self) -> Place {
        let new = NewOrg { name: format!("Org {}", self.next()), slug: None };
        let org = self.gateway.control(async |control| control.create_org(&By::Operator, &new).await);
        let org = org.expect("an organization").id.to_string();
        let team = self.team(&org);
        Place { org, team }
    }

    fn team(&self, org: &str) -> Option<String> {
        let new = NewTeam { org: Some(org.to_owned()), name: format!("Team {}", self.next()), slug: None };
        self.platform.has_teams().then(|| {
            let team = self.gateway.control(async |control| control.create_team(&By::Operator, &new).await);
            team.expect("a team").id.to_string()
        })
    }

    fn project(&self, home: &Place) -> Option<String> {
        let team_id = home.team.clone()?;
        let new = NewProject { team_id, name: format!("Project {}", self.next()), slug: None };
        let made = self.gateway.control(async |control| control.create_project(&By::Operator, &new).await);
        Some(made.expect("a project").id.to_string())
    }

    /// Somebody's address and id.
    fn person(&self, home: &Place, role: &str, password: Option<&str>) -> (String, String) {
        let email = format!("p{}@example.com", self.next());
        let in_team = self.platform.roles.contains(&(role, Level::Team));
        let new = NewUser {
            org: Some(home.org.clone()),
            email: email.clone(),
            name: "Somebody".into(),
            password: password.map(str::to_owned),
            team_id: home.team.clone().filter(|_| in_team),
            role: (role != NONE).then(|| role.to_owned()),
        };
        let made = self.gateway.control(async |control| control.create_user(&By::Operator, &new).await);
        (email, made.expect("a user").id.to_string())
    }

    /// The id and the full text of a key of somebody with the highest role: the team's, or all of the organization's
    /// where such keys are issued.
    fn key(&self, home: &Place, level: Level, scope: &str) -> (String, String) {
        let owner = self.person(home, self.platform.master(), None).0;
        let of_team = level == Level::Team || self.platform.highest(Level::Org).is_none();
        let team_id = home.team.clone().filter(|_| of_team);
        let new = NewKey {
            user: Some(owner),
            name: format!("key {}", self.next()),
            scope: Some(if team_id.is_some() { "team" } else { "org" }.into()),
            team_id,
            scopes: Some(vec![scope.to_owned()]),
            ..NewKey::default()
        };
        let made = self.gateway.control(async |control| control.create_key(&By::Operator, &new).await);
        let made = made.expect("a key");
        (made.key.id.to_string(), made.full().expect("its text").to_owned())
    }

    fn invitation(&self, home: &Place) -> String {
        let to = match &home.team {
            Some(team) => InviteTo::Team(team.clone()),
            None => InviteTo::Org(Some(home.org.clone())),
        };
        let email = format!("i{}@example.com", self.next());
        let new = NewInvitation { to, email, role: Some(self.platform.given.into()), message: None };
        let made = self.gateway.control(async |control| control.invite(&By::Operator, &new).await);
        made.expect("an invitation").id.to_string()
    }

    /// One of the organization's own; the platform's, where there are none.
    fn role(&self, home: &Place) -> String {
        if !self.platform.custom {
            return self.platform.given.to_owned();
        }
        let (name, permissions) = (format!("Role {}", self.next()), vec![self.platform.scope.to_owned()]);
        let new = NewRole { org: Some(home.org.clone()), name, permissions };
        let made = self.gateway.control(async |control| control.create_role(&By::Operator, &new).await);
        made.expect("a role").id
    }

    fn group(&self, home: &Place, member: Option<&str>) -> Option<String> {
        let (name, roles) = (format!("Group {}", self.next()), vec![self.platform.given.to_owned()]);
        let new = NewGroup { org: Some(home.org.clone()), name, roles };
        self.platform.custom.then(|| {
            self.gateway.control(async |control| {
                let group = control.create_group(&By::Operator, &new).await.expect("a group").id.to_string();
                if let Some(member) = member {
                    control.add_to_group(&By::Operator, &group, member).await.expect("a member");
                }
                group
            })
        })
    }
}
