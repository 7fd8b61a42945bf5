//! A gateway's configuration as tests need it: ports chosen by the kernel, everything in one folder.

use toml::{Table, Value};

use super::rawup::Upstream;

/// What a gateway is started with.
#[derive(Debug, Clone)]
pub struct Setup {
    pub profile: String,
    table: Table,
}

impl Setup {
    /// No upstream and no route yet.
    pub fn bare(profile: &str) -> Self {
        let text = format!(
            r#"
            profile = "{profile}"
            [listen]
            gateway = "127.0.0.1:0"
            admin = "127.0.0.1:0"
            ops = "127.0.0.1:0"
            workers = 2
            hosts = ["gw"]
            [store]
            url = "sqlite://latchgate.db"
            secret_file = "secret.key"
            [keys]
            bcrypt_cost = 4
            [auth.failures_per_minute]
            ip = 1000000
            prefix = 1000000
            "#
        );
        Self { profile: profile.to_owned(), table: text.parse().expect("the base configuration") }
    }

    /// The `offload` profile with this upstream behind the routes that most tests use:
    /// `/api` by method, `/public` without a credential, `/admin` for `scan:manage`, `/any` for any valid key,
    /// `/teams/{team_id}` for that team's callers.
    pub fn offload(upstream: &Upstream) -> Self {
        Self::bare("offload").upstream("app", &upstream.url()).routes("app")
    }

    /// The same routes for the `trustedoss` profile, whose project keys have `/projects/{team_id}/{project_id}`.
    pub fn trustedoss(upstream: &Upstream) -> Self {
        Self::bare("trustedoss").upstream("app", &upstream.url()).routes("app").route(
            r#"
            name = "projects"
            path = "/projects/{team_id}/{project_id}/{*rest}"
            upstream = "app"
            team = "{team_id}"
            project = "{project_id}"
            "#,
        )
    }

    fn routes(self, upstream: &str) -> Self {
        let fine = if self.profile == "offload" { "scan:manage" } else { "report:download" };
        let route = |name: &str, path: &str, more: &str| {
            format!("name = \"{name}\"\npath = \"{path}\"\nupstream = \"{upstream}\"\n{more}")
        };
        let by_method =
            format!("require = {{ GET = \"scan:read\", POST = \"scan:trigger\", \"*\" = \"{fine}\" }}");
        self.route(&route("api", "/api/{*rest}", &by_method))
            .route(&route("public", "/public/{*rest}", "credentials = [\"none\"]"))
            .route(&route("admin", "/admin/{*rest}", &format!("require = \"{fine}\"")))
            .route(&route("any", "/any/{*rest}", ""))
            .route(&route("teams", "/teams/{team_id}/{*rest}", "team = \"{team_id}\""))
    }

    /// Mails become files in `outbox`.
    pub fn mail(self) -> Self {
        self.set("mail.url", "file:outbox").set("mail.from", "gate@example.com")
    }

    pub fn upstream(self, name: &str, url: &str) -> Self {
        self.push("upstream", &format!("name = \"{name}\"\ntargets = [\"{url}\"]"))
    }

    /// A webhook, as the lines of its table.
    pub fn webhook(self, lines: &str) -> Self {
        self.push("webhook", lines)
    }

    /// A route, as the lines of its table.
    pub fn route(self, lines: &str) -> Self {
        self.push("route", lines)
    }

    /// Takes tokens of this issuer, for the audience `latchgate`.
    pub fn issuer(self, issuer: &str, lines: &str) -> Self {
        self.push("jwt", &format!("issuer = \"{issuer}\"\naudience = \"latchgate\"\n{lines}"))
    }

    fn push(mut self, list: &str, lines: &str) -> Self {
        let entry: Table = lines.parse().unwrap_or_else(|error| panic!("{error}: {lines}"));
        let entries = self.table.entry(list).or_insert_with(|| Value::Array(Vec::new()));
        entries.as_array_mut().expect("a list of tables").push(Value::Table(entry));
        self
    }

    /// Sets a value by its dotted name: `set("limits.header_timeout", "1s")`.
    pub fn set(mut self, name: &str, value: impl Into<Value>) -> Self {
        let mut parts: Vec<&str> = name.split('.').collect();
        let last = parts.pop().expect("a name");
        let mut table = &mut self.table;
        for part in parts {
            let inner = table.entry(part).or_insert_with(|| Value::Table(Table::new()));
            // In a list, the newest entry is meant: `upstream.timeouts.response`.
            let inner = match inner {
                Value::Array(entries) => entries.last_mut().expect("an entry to change"),
                single => single,
            };
            table = inner.as_table_mut().expect("a table");
        }
        table.insert(last.to_owned(), value.into());
        self
    }

    /// The file's text.
    pub fn text(&self) -> String {
        self.table.to_string()
    }
}
