//! What a configuration means, as the operator sees it.

use std::path::Path;

use serde::Serialize;

use super::online::Reached;
use crate::{
    cli::{
        error::Failure,
        output::{self, Column},
    },
    config::{Config, Credentials, Destination, Humane, Loaded, Require, Route, Warning},
    domain::permission::Permission,
};

/// The answer of `check`.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    file: String,
    profile: String,
    gateway: String,
    admin: String,
    /// How the gateway port and the admin port are spoken to.
    #[serde(skip)]
    schemes: [&'static str; 2],
    ops: String,
    store: String,
    pub(super) certificates: Vec<Certificate>,
    routes: Vec<Row>,
    revocation: Revocation,
    #[serde(serialize_with = "texts")]
    pub(super) warnings: Vec<Warning>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) online: Option<Vec<Reached>>,
}

/// One certificate that clients are shown.
#[derive(Debug, Serialize)]
pub(super) struct Certificate {
    names: Vec<String>,
    /// RFC 3339.
    not_after: String,
    file: String,
}

/// Those of a configuration, in its order: the first is for whoever asks for no name.
pub(super) fn certificates(all: Vec<crate::app::tls::Shown>) -> Vec<Certificate> {
    let shown = |one: crate::app::tls::Shown| Certificate {
        names: one.names,
        not_after: one.ends.to_string(),
        file: one.file.display().to_string(),
    };
    all.into_iter().map(shown).collect()
}

/// One method of one route.
#[derive(Debug, Serialize)]
struct Row {
    route: String,
    host: Option<String>,
    path: String,
    method: String,
    /// The permission, `any valid key`, `a proved webhook` or `nothing`.
    needs: String,
    team: Option<String>,
    project: Option<String>,
    credentials: Vec<String>,
    upstream: String,
    targets: Vec<String>,
}

/// How long a revoked key can still pass.
#[derive(Debug, Serialize)]
struct Revocation {
    bound: String,
    max_staleness: String,
    meaning: String,
}

const ROUTES: &[Column] = &[
    Column::text("ROUTE", "route"),
    Column::text("HOST", "host"),
    Column::text("PATH", "path"),
    Column::text("METHOD", "method"),
    Column::text("NEEDS", "needs"),
    Column::text("TEAM", "team"),
    Column::text("PROJECT", "project"),
    Column::words("CREDENTIALS", "credentials"),
    Column::text("UPSTREAM", "upstream"),
    Column::words("TARGETS", "targets"),
];

const CERTIFICATES: &[Column] = &[
    Column::words("NAMES", "names"),
    Column::text("ENDS", "not_after"),
    Column::text("CERTIFICATE", "file"),
];

const REACHED: &[Column] = &[
    Column::text("WHAT", "what"),
    Column::text("WHERE", "address"),
    Column::status("STATUS", "status"),
    Column::text("PROBLEM", "problem"),
];

impl Report {
    pub(super) fn of(file: &Path, Loaded { config, warnings }: &Loaded) -> Self {
        Self {
            file: file.display().to_string(),
            profile: config.profile.name.to_string(),
            gateway: config.listen.gateway.to_string(),
            admin: config.listen.admin.to_string(),
            schemes: [config.tls.is_some(), config.speaks_tls_to_admins()].map(scheme),
            ops: config.listen.ops.to_string(),
            store: config.store.url.path().display().to_string(),
            certificates: Vec::new(),
            routes: config.routes.iter().flat_map(|route| rows(config, route)).collect(),
            revocation: Revocation::of(config),
            warnings: warnings.clone(),
            online: None,
        }
    }

    pub(super) fn for_people(&self) -> Result<String, Failure> {
        let Self { file, profile, gateway, admin, ops, store, schemes: [to_gateway, to_admin], .. } = self;
        let mut text = format!(
            "{file} is right.\n\n\
             profile  {profile}\n\
             gateway  {to_gateway}://{gateway}\n\
             admin    {to_admin}://{admin}\n\
             ops      http://{ops}\n\
             store    {store}\n\n"
        );
        if !self.certificates.is_empty() {
            text += &output::table(CERTIFICATES, &self.certificates)?;
            text += "\n\n";
        }
        if !self.routes.is_empty() {
            text += &output::table(ROUTES, &self.routes)?;
            text += "\n\n";
        }
        text += &self.revocation.meaning;
        if let Some(reached) = &self.online {
            text += "\n\n";
            text += &output::table(REACHED, reached)?;
        }
        Ok(text)
    }
}

impl Revocation {
    fn of(config: &Config) -> Self {
        let bound = Humane(config.auth.revocation_bound).to_string();
        let staleness = Humane(config.auth.max_staleness).to_string();
        let meaning = format!(
            "A revoked key is refused within a second, and within {bound} (auth.revocation_bound) whatever\n\
             message is lost. While the store is out of reach, keys that are known already go on passing for\n\
             {staleness} (auth.max_staleness), also one revoked meanwhile; after that every key gets 503."
        );
        Self { bound, max_staleness: staleness, meaning }
    }
}

const fn scheme(tls: bool) -> &'static str {
    if tls { "https" } else { "http" }
}

fn rows(config: &Config, route: &Route) -> Vec<Row> {
    let needs: Vec<(String, String)> = match (&route.credentials, &route.require) {
        _ if route.destination == Destination::Control => {
            vec![("*".to_owned(), "what the admin API asks for".to_owned())]
        }
        (Credentials::Public, _) => vec![("*".to_owned(), "nothing".to_owned())],
        (accepted, Require::Credential) if accepted.only_webhooks() => {
            vec![("*".to_owned(), "a proved webhook".to_owned())]
        }
        (_, Require::Credential) => vec![("*".to_owned(), "any valid key".to_owned())],
        (_, Require::Permission(permission)) => vec![("*".to_owned(), name(config, *permission))],
        (_, Require::Methods { listed, fallback }) => listed
            .iter()
            .map(|(method, permission)| {
                let method = match method.as_str() {
                    "GET" if !listed.contains_key("HEAD") => "GET HEAD".to_owned(),
                    other => other.to_owned(),
                };
                (method, name(config, *permission))
            })
            .chain(fallback.iter().map(|permission| ("*".to_owned(), name(config, *permission))))
            .collect(),
    };
    let row = |(method, needs)| Row {
        route: route.name.clone(),
        host: route.host.clone(),
        path: route.path.as_str().to_owned(),
        method,
        needs,
        team: route.team.as_ref().map(|name| format!("{{{name}}}")),
        project: route.project.as_ref().map(|name| format!("{{{name}}}")),
        credentials: credentials(config, route.credentials),
        upstream: route.destination.name().to_owned(),
        targets: match &route.destination {
            Destination::Upstream(upstream) => upstream.targets.iter().map(ToString::to_string).collect(),
            Destination::Control => Vec::new(),
        },
    };
    needs.into_iter().map(row).collect()
}

/// What can be presented, as the configuration spells it.
fn credentials(config: &Config, credentials: Credentials) -> Vec<String> {
    match credentials {
        Credentials::Public => vec!["none".to_owned()],
        Credentials::OneOf { api_key, session, jwt, webhooks } => {
            let kinds = [("api_key", api_key), ("session", session), ("jwt", jwt)];
            let kinds = kinds.into_iter().filter(|(_, taken)| *taken).map(|(kind, _)| kind.to_owned());
            let named = webhooks.iter().filter_map(|place| config.webhooks.get(place));
            kinds.chain(named.map(|webhook| format!("webhook:{}", webhook.name))).collect()
        }
    }
}

fn name(config: &Config, permission: Permission) -> String {
    config.profile.permissions.name(permission).to_owned()
}

fn texts<S: serde::Serializer>(warnings: &[Warning], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(warnings.iter().map(ToString::to_string))
}
