//! Invitations, from the wish to the member, through real mails.

mod accept;
mod mail;
mod rules;

use std::{fs, time::SystemTime};

use latchgate::{
    control::service::{Caller as By, InviteTo, NewInvitation, NewUser},
    domain::role::Level,
};
use serde_json::{Value, json};

use crate::support::{
    gateway::Gateway,
    program::{PASSWORD, Program, Site},
    rawc::Response,
    request::{Caller, Door},
    setup::Setup,
    smtp::token_in,
    wait,
};

/// A running gateway of this profile, with mails by this way.
fn serve(profile: &str, url: &str) -> Program {
    site(profile, url).serve()
}

fn site(profile: &str, url: &str) -> Site {
    let setup = Setup::bare(profile).set("mail.url", url).set("mail.from", "Gate <gate@example.com>");
    Site::new(setup.set("listen.public_url", "https://gate.example.com"))
}

/// Invites as operator; the invitation.
fn invite(program: &Program, email: &str, role: &str) -> Value {
    program.cli(&["invitations", "create", "--email", email, "--role", role]).json()
}

fn post(caller: &Caller, path: &str, body: &Value) -> Response {
    caller.request("POST", path).header("Content-Type", "application/json").body(body.to_string()).send()
}

/// Accepts as somebody new.
fn accept(admin: Door, token: &str) -> Response {
    post(
        &admin.anonymous(),
        "/v1/invitations/accept",
        &json!({ "token": token, "name": "Nina", "password": PASSWORD }),
    )
}

/// A gateway on a clock that the test turns, whose mails become files.
struct World {
    gateway: Gateway,
    /// The default team, where the profile has teams.
    team: Option<String>,
}

impl World {
    fn new(setup: Setup) -> Self {
        let gateway = Gateway::start(Site::new(setup.mail()));
        let teams = gateway.site.cli(&["teams", "list"]).json();
        let team = teams["items"][0]["id"].as_str().map(str::to_owned);
        Self { gateway, team }
    }

    /// `name@example.com` with this role, signed in.
    fn person(&self, name: &str, role: Option<&str>) -> Caller {
        let email = format!("{name}@example.com");
        let new = NewUser {
            org: Some("default".into()),
            email: email.clone(),
            name: name.into(),
            password: Some(PASSWORD.into()),
            role: role.map(str::to_owned),
            ..NewUser::default()
        };
        self.gateway
            .control(async |control| control.create_user(&By::Operator, &new).await.map(drop))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        self.gateway.admin().bearer(&self.gateway.admin().token(&email))
    }

    fn id(&self, name: &str) -> String {
        let email = format!("{name}@example.com");
        self.gateway.control(async |control| {
            control.find_user(&By::Operator, &email).await.expect("a user").id.to_string()
        })
    }

    /// Gives `name` this role there again, and takes away what they have elsewhere.
    fn set_role(&self, name: &str, given: Level, role: Option<&str>, level: Level) {
        let email = format!("{name}@example.com");
        self.gateway.control(async |control| {
            let place = |level: Level| if level == Level::Team { self.team.as_deref() } else { None };
            if given != level {
                control.remove_member(&By::Operator, &email, place(given)).await.expect("taken away");
            }
            control.set_role(&By::Operator, &email, place(level), role).await.expect("given");
        });
    }

    /// The path of the team, or of the organization.
    fn place(&self, team: bool) -> String {
        if team {
            format!("/v1/teams/{}", self.team.as_deref().expect("a team"))
        } else {
            "/v1/org".to_owned()
        }
    }

    /// Invites as operator: into this team, by id or slug, or (none) into the organization.
    fn invite(&self, email: &str, role: &str, team: Option<&str>) {
        let to = team.map_or(InviteTo::Org(Some("default".into())), |team| InviteTo::Team(team.to_owned()));
        let new = NewInvitation { to, email: email.into(), role: Some(role.into()), message: None };
        self.gateway
            .control(async |control| control.invite(&By::Operator, &new).await.map(drop))
            .unwrap_or_else(|error| panic!("{email}: {error}"));
    }

    /// The newest mail to this address, as people read it.
    fn mail(&self, to: &str) -> String {
        self.raw(to).replace("=\r\n", "").replace("=3D", "=")
    }

    /// The token of the newest mail to this address.
    fn token(&self, to: &str) -> String {
        token_in(&self.raw(to))
    }

    fn raw(&self, to: &str) -> String {
        wait::until("the mails are delivered", || self.gateway.site.count("mails") == 0);
        let files = fs::read_dir(self.gateway.site.path("outbox")).expect("the outbox");
        let mails = files.filter_map(|file| {
            let path = file.expect("an entry").path();
            let when = fs::metadata(&path).and_then(|file| file.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
            let text = fs::read_to_string(&path).ok()?;
            text.contains(&format!("To: {to}\r\n")).then_some((when, text))
        });
        mails.max_by_key(|(when, _)| *when).unwrap_or_else(|| panic!("no mail to {to}")).1
    }
}
