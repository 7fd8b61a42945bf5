//! Every command says the same of the local store and of a server.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{admin, far, served};
use crate::support::{
    program::{ADMIN, Output, PASSWORD, Site},
    rawup::Upstream,
    setup::Setup,
};

/// Commands, word by word; `name = command` remembers the prefix, or else the id, of what comes back as `@name`.
const PLACES: &str = "
    orgs list
    orgs show default
    orgs show nobody
    orgs update default --name Acme
    teams create --name Web
    teams create --name Other --slug other --org default
    teams create --name Again --slug web
    teams create --name Again --org nobody
    teams list
    teams show web
    teams show nope
    teams update web --name Website
    projects create --team-id web --name Shop
    projects create --team-id nope --name Shop
    projects list
    projects list --team-id web --org default
    projects show shop
    projects update shop --slug store
    users create --email bo@example.com --name Bo --role developer --team-id web --password-stdin
    users create --email bo@example.com --name Bo --role developer --team-id web
    users create --email cy@example.com --name Cy --role emperor
    users list
    users show BO@example.com
    users show nobody@example.com
    users update bo@example.com --name Bob
    users set-role bo@example.com --role developer --team-id other
    users set-role bo@example.com --role team_admin --team-id web
    users set-role bo@example.com --role developer
    users remove-role bo@example.com --team-id other
    users remove-role bo@example.com --team-id other
    users deactivate bo@example.com
    users activate bo@example.com
    teams members web
    roles list
    roles show developer
    roles show nobody
    i = invitations create --email dee@example.com --role developer --team-id web --message Welcome
    invitations create --email eve@example.com --role super_admin --org default
    invitations create --email eve@example.com --role emperor
    invitations list --team-id web
    invitations list
    invitations revoke @i
    invitations revoke @i
    orgs create --name New --admin-email root@new.example.com
    orgs create --name New --slug new --admin-email root@new.example.com
    requests list --code 599
    permissions list
    presets list
    users delete bo@example.com --yes
    projects delete store --yes
    teams delete other --yes
    teams delete other --yes
    orgs delete default --yes
";

const KEYS: &str = "
    teams create --name Web
    projects create --team-id web --name Shop
    a = keys create --user ADMIN --name nightly --scope project --project-id shop --scopes scan:read --expires-in-days 30 \
        --environment prod --rate-limit-per-minute 60 --allowed-ips 10.0.0.0/8,2001:db8::/32 --description for_builds
    b = keys create --user ADMIN --name lead --scope team --team-id web --effective-role developer
    c = keys create --user ADMIN --name whole --scope org --expires-at SOON
    keys create --user ADMIN --name x --scope org --expires-in-days 0
    keys create --user ADMIN --name x --scope team --team-id nope
    keys create --user ADMIN --name x --scope org --scopes nonsense
    keys create --user ADMIN --name x --scope org --security-level wild
    keys create --user ADMIN --name signs --scope org --security-level advanced --expires-in-days 9
    keys list
    keys list --team-id web --status active --q nightly --org default
    keys list --project-id shop --user ADMIN
    keys show @a
    keys show tos_@a
    keys show zzzzzzzz
    keys rename @a cd
    keys update @a --description= --allowed-ips= --rate-limit-per-minute 0 --environment test
    keys usage @a
    keys usage @a --window 1y
    d = keys rotate @a --grace-hours 1
    keys show @a
    e = keys rotate @a
    keys show @d
    keys revoke @e
    keys revoke @e
    keys rotate @e
    keys list --status revoked
    audit list --action revoke --target-table api_keys
    audit list --target @a --actor somebody
    teams delete web --yes
";

const ROLES: &str = "
    roles create --name Reader --permissions cli_tools:view --org default
    roles create --name Reader --permissions cli_tools:view
    roles create --name Odd --permissions nonsense
    roles list --org default
    roles show reader
    roles show cli
    roles update Reader --permissions cli_tools:edit --name Writer
    roles update cli --name x
    users create --email bo@example.com --name Bo --role Writer
    users set-role bo@example.com --role none
    groups create --name Team --roles Writer,cli_read_only
    groups create --name Odd --roles nonsense
    groups list
    groups show team
    groups add Team bo@example.com
    groups add Team nobody@example.com
    groups show Team
    users show bo@example.com
    users list --org default
    a = keys create --user ADMIN --name ide --roles Writer
    keys show @a
    roles delete Writer --yes
    groups update Team --name Others --roles cli_read_only
    groups remove Others bo@example.com
    groups remove Others bo@example.com
    keys revoke @a
    groups delete Others --yes
    roles delete Writer --yes
    roles delete cli --yes
    users remove-role bo@example.com
";

#[test]
fn organizations_teams_projects_and_people() {
    compare("trustedoss", PLACES);
}

#[test]
fn keys() {
    compare("trustedoss", KEYS);
}

#[test]
fn roles_and_groups() {
    compare("cortex", ROLES);
}

/// Two fresh stores, one worked on as operator and one by its administrator through a running gateway.
fn compare(profile: &str, script: &str) {
    let setup = Setup::bare(profile).set("mail.url", "file:outbox").set("mail.from", "gate@example.com");
    let (here, there) = (Site::new(setup.clone()), Site::new(setup));
    let (there, token) = served(there);
    let server = admin(&there);
    let (mut near, mut distant) = (Words::default(), Words::default());
    for line in script.replace("\\\n", " ").lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (name, line) = line.split_once(" = ").map_or((None, line), |(name, line)| (Some(name), line));
        let locally = near.say(name, line, |words, input| here.cli_with(words, input));
        let remotely = distant.say(name, line, |words, input| far(&server, &token, words, input));
        assert_eq!(locally.0, remotely.0, "exit codes of {line}: {locally:?} {remotely:?}");
        assert_eq!(locally.1, remotely.1, "{line}");
        assert_eq!(locally.0 == 0, locally.1 != Value::Null, "{line}: {locally:?}");
    }
}

/// What was said so far, so that ids, prefixes and times can be told apart and yet be compared.
#[derive(Default)]
struct Words {
    named: BTreeMap<String, String>,
    seen: Vec<String>,
}

impl Words {
    fn say(
        &mut self,
        name: Option<&str>,
        line: &str,
        run: impl FnOnce(&[&str], &str) -> Output,
    ) -> (i32, Value, String) {
        let words: Vec<String> = line.split_whitespace().map(|word| self.word(word)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let output = run(&words, &format!("{PASSWORD}\n"));
        let mut answer = if output.code == 0 { output.json() } else { Value::Null };
        if let Some(name) = name {
            let named = answer["prefix"].as_str().or(answer["id"].as_str());
            self.named
                .insert(name.to_owned(), named.unwrap_or_else(|| panic!("{line}: {output:?}")).to_owned());
        }
        if line.starts_with("audit ") {
            // Who did it differs, and from where.
            for event in answer["items"].as_array_mut().expect("a list") {
                *event = json!({ "event": event["event"], "fields": fields(event) });
            }
        }
        self.plain("", &mut answer);
        (output.code, answer, output.stderr)
    }

    fn word(&self, word: &str) -> String {
        let soon = || (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(48)).to_string();
        let word = if word == "SOON" { soon() } else { word.replace("ADMIN", ADMIN) };
        match word.split_once('@').and_then(|(before, name)| Some((before, self.named.get(name)?))) {
            Some((before, prefix)) => format!("{before}{prefix}"),
            None => word,
        }
    }

    /// Numbers in place of what chance and time have made.
    fn plain(&mut self, field: &str, value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.plain(field, item)),
            Value::Object(fields) => fields.iter_mut().for_each(|(field, value)| self.plain(field, value)),
            Value::String(text) => {
                let time = field == "at" || field.ends_with("_at") || field.ends_with("_until");
                let id = text.len() == 36 && text.split('-').count() == 5;
                if time {
                    "a time".clone_into(text);
                } else if field == "invited_by" {
                    "whoever asked".clone_into(text);
                } else if id || ["prefix", "key"].contains(&field) {
                    let number = self.seen.iter().position(|seen| seen == text).unwrap_or_else(|| {
                        self.seen.push(text.clone());
                        self.seen.len() - 1
                    });
                    *text = format!("#{number}");
                }
            }
            _ => {}
        }
    }
}

fn fields(object: &Value) -> Vec<&str> {
    object.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// Lists are read to their end, however many parts the server makes of them; tables show names in place of ids.
#[test]
fn lists_are_read_to_their_end() {
    let site = Site::new(Setup::bare("trustedoss"));
    let many = "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 550)
        INSERT INTO teams (id, org_id, slug, name, created_at)
        SELECT '0192f7c4-5b1e-7c3a-9d2e-000000000' || i, (SELECT id FROM orgs), 'team-' || i, 'Team', 0 FROM n";
    assert_eq!(site.sql(many), 451);
    let (program, token) = served(site);
    let there = far(&admin(&program), &token, &["teams", "list"], "").json();
    assert_eq!(there["items"].as_array().map(Vec::len), Some(452));
    assert_eq!(there, program.cli(&["teams", "list"]).json());
    let table = far(&admin(&program), &token, &["teams", "list", "--output", "table"], "");
    assert_eq!(table.code, 2, "given twice");
    let export = |output: Output| output.ok().stdout;
    let remote = crate::support::program::run_with(
        ["audit", "export", "--server", &admin(&program), "--format", "csv"],
        "",
        &[("LATCHGATE_TOKEN", token.as_str())],
    );
    assert_eq!(export(remote), export(program.site.plain(&["audit", "export", "--format", "csv"], "")));
}

/// Who administers a team sees and changes it, by name, without seeing the people of the organization.
#[test]
fn a_team_is_administered_from_a_shell() {
    let site = Site::new(Setup::offload(&Upstream::echo()));
    let team = site.team();
    site.user("lead@example.com", "admin", Some(&team));
    site.user("bo@example.com", "viewer", Some(&team));
    let program = site.serve();
    let token = program.admin().token("lead@example.com");
    let far = |line: &str| far(&admin(&program), &token, &line.split(' ').collect::<Vec<_>>(), "");
    let members = far("teams members default").json();
    assert_eq!(members["items"].as_array().map(Vec::len), Some(3));
    let changed = far("users set-role bo@example.com --role auditor --team-id default").json();
    assert_eq!(
        (changed["email"].as_str(), changed["role"].as_str()),
        (Some("bo@example.com"), Some("auditor"))
    );
    // The one team they can mean.
    assert_eq!(far("users set-role bo@example.com --role viewer").json()["role"], "viewer");
    let key = far("keys create --name mine --scopes scan:read").json();
    assert_eq!(
        (key["created_by"].as_str(), key["team_id"].as_str()),
        (Some("lead@example.com"), Some(&*team))
    );
    assert_eq!(far("users remove-role bo@example.com --team-id default").json()["email"], "bo@example.com");
    assert_eq!(far("users remove-role bo@example.com --team-id default").code, 1);
}
