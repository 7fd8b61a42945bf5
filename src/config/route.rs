//! `[[route]]`: which requests go where, and what they need for it.

use std::sync::Arc;

use http::Method;

use super::{
    credentials::{self, Credentials},
    path::{PathTemplate, Segment},
    profile::Vocabulary,
    raw::{Item, Problem, Section},
    require::{self, Needed, Require},
    suggest,
    upstream::{Upstream, Upstreams, host_name, name},
    webhook,
};
use crate::domain::permission::PermissionSet;

/// One route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// How logs and metrics call it.
    pub name: String,
    /// The host it is for, in lower case and without a port; none: any.
    pub host: Option<String>,
    /// The paths it is for.
    pub path: PathTemplate,
    /// Where its requests go.
    pub destination: Destination,
    /// Who may ask at all.
    pub credentials: Credentials,
    /// What each method needs.
    pub require: Require,
    /// The path parameter that names the team a caller must belong to.
    pub team: Option<String>,
    /// The path parameter that names the project a caller must belong to.
    pub project: Option<String>,
    /// Whether CORS preflights pass without a credential.
    pub cors_preflight: bool,
}

/// What answers the requests of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A backend.
    Upstream(Arc<Upstream>),
    /// The admin API, which judges its requests itself.
    Control,
}

impl Destination {
    /// As it stands in the file.
    pub fn name(&self) -> &str {
        match self {
            Self::Upstream(upstream) => &upstream.name,
            Self::Control => CONTROL,
        }
    }
}

/// What routes are checked against.
pub(super) struct Surroundings<'a> {
    pub(super) upstreams: &'a Upstreams,
    pub(super) vocabulary: Vocabulary<'a>,
    /// Whether there is any `[[jwt]]`.
    pub(super) issuers: bool,
    pub(super) webhooks: &'a webhook::Known,
    /// What a webhook may do.
    pub(super) received: PermissionSet,
}

/// Reads `[[route]]`, in the order of the file.
pub(super) fn read_all(whole: &mut Section<'_>, around: &Surroundings<'_>) -> Vec<Route> {
    let mut seen = Vec::new();
    let routes = whole.sections("route", |section| {
        let (identity, route) = read_one(section, around);
        refuse_doubles(section, &seen, &identity);
        seen.push(identity);
        route
    });
    routes.into_iter().flatten().collect()
}

/// What must differ between routes, as far as it could be read.
struct Identity {
    name: Option<String>,
    host: Option<String>,
    path: Option<PathTemplate>,
}

fn refuse_doubles(section: &Section<'_>, seen: &[Identity], route: &Identity) {
    if let Some(name) =
        route.name.as_ref().filter(|name| seen.iter().any(|other| other.name.as_ref() == Some(name)))
    {
        section.refuse("name", format!("{name:?} is the name of an earlier route"), r#""scans-2""#);
    }
    let twin = |other: &&Identity| {
        let paths = route.path.as_ref().zip(other.path.as_ref());
        other.host == route.host && paths.is_some_and(|(left, right)| left.same_shape(right))
    };
    if let Some(twin) = seen.iter().find(twin) {
        let earlier = twin.name.as_deref().unwrap_or("without a name");
        let problem =
            format!("matches what the earlier route {earlier:?} matches, so this one would never be used");
        section.refuse("path", problem, r#""/v2/scans/{*rest}""#);
    }
}

fn read_one(section: &mut Section<'_>, around: &Surroundings<'_>) -> (Identity, Option<Route>) {
    let name = section.need("name", r#""scans""#, name);
    let host = section.read("host", r#""api.example.com""#, host);
    let path = section.need("path", r#""/v1/scans/{*rest}""#, |item| PathTemplate::parse(item.text()?));
    let destination = section.need("upstream", r#""scanner""#, |item| destination(item, around.upstreams));
    if matches!(destination, Some(Some(Destination::Control))) {
        refuse_conditions(section);
        warn_of_nothing(section, path.as_ref());
    }
    let credentials = credentials::read(section, around.webhooks);
    if matches!(credentials, Credentials::OneOf { jwt: true, .. }) && !around.issuers {
        section.warn("credentials", "names \"jwt\", but there is no [[jwt]]: no token is accepted");
    }
    let require = require::read(section, around.vocabulary);
    let mut parameter = |key, example| section.read(key, example, |item| path_parameter(item, path.as_ref()));
    let team = parameter("team", r#""{team_id}""#);
    let project = parameter("project", r#""{project_id}""#);
    let cors_preflight = section.read("cors_preflight", "false", Item::boolean).unwrap_or(false);
    refuse_contradictions(section, credentials, &require, team.as_deref(), project.as_deref());
    refuse_unreachable(section, credentials, &require, &around.received);

    let identity = Identity { name: name.clone(), host: host.clone(), path: path.clone() };
    let route = name.zip(path).zip(destination.flatten()).map(|((name, path), destination)| Route {
        name,
        host,
        path,
        destination,
        credentials,
        require,
        team,
        project,
        cors_preflight,
    });
    (identity, route)
}

/// The admin API knows itself what each of its operations needs: a second list here could only contradict it.
fn refuse_conditions(section: &mut Section<'_>) {
    for key in ["credentials", "require", "team", "project", "cors_preflight"] {
        if section.has(key) {
            let problem = "does not go with upstream = \"@control\": the admin API judges each request itself; \
                           leave the key out";
            section.refuse(key, problem, "");
        }
    }
}

/// Paths are passed on whole: what the admin API has, it has under these.
fn warn_of_nothing(section: &Section<'_>, path: Option<&PathTemplate>) {
    let first = path.and_then(|path| path.segments().first());
    let reaches = first.is_none_or(|first| match first {
        Segment::Literal(literal) => matches!(literal.as_str(), "v1" | "public_api"),
        Segment::Parameter(_) | Segment::Rest(_) => true,
    });
    if !reaches {
        section.warn("path", "the admin API answers below /v1/ and /public_api/ alone: nothing is here");
    }
}

/// A public route checks nobody: whatever it seems to demand would be a false comfort.
fn refuse_contradictions(
    section: &Section<'_>,
    credentials: Credentials,
    require: &Require,
    team: Option<&str>,
    project: Option<&str>,
) {
    if credentials == Credentials::Public {
        let demands = [
            ("require", *require != Require::Credential),
            ("team", team.is_some()),
            ("project", project.is_some()),
        ];
        for (key, _) in demands.into_iter().filter(|(_, demanded)| *demanded) {
            let problem = "cannot be met on a public route (credentials = [\"none\"]): remove one of the two";
            section.refuse(key, problem, "");
        }
    }
    if team.is_some() && team == project {
        section.refuse("project", "names the same path parameter as team", r#""{project_id}""#);
    }
}

/// Webhooks come by POST and hold next to nothing: one that a route names and always refuses is a mistake.
fn refuse_unreachable(
    section: &Section<'_>,
    credentials: Credentials,
    require: &Require,
    received: &PermissionSet,
) {
    if credentials.webhooks().is_empty() {
        return;
    }
    let lacks = match require.of(&Method::POST) {
        Needed::Credential => false,
        Needed::Permission(permission) => !received.contains(permission),
        Needed::NotServed => true,
    };
    if lacks {
        let problem = if received.is_empty() {
            "refuses the route's webhooks: they come by POST and hold no permission in this profile. Leave require out; \
             that credentials names them is what lets them in"
        } else {
            "refuses the route's webhooks: they come by POST and hold webhook:receive alone. Ask for that, or leave \
             require out"
        };
        section.refuse("require", problem, if received.is_empty() { "" } else { r#""webhook:receive""# });
    }
}

fn destination(item: &Item, upstreams: &Upstreams) -> Result<Option<Destination>, Problem> {
    let text = item.text()?;
    if text == CONTROL {
        return Ok(Some(Destination::Control));
    }
    if text.starts_with('@') {
        return Err(format!("{text:?} is nothing of the gateway's; {CONTROL:?} is the admin API"));
    }
    Ok(upstreams.find(text)?.map(Destination::Upstream))
}

/// The name inside `{name}`, when the path has such a parameter (or could not be read itself).
fn path_parameter(item: &Item, path: Option<&PathTemplate>) -> Result<String, Problem> {
    let text = item.text()?;
    let Some(name) = text.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')) else {
        return Err(format!("{text:?} is not a path parameter in braces"));
    };
    if let Some(path) = path {
        // The remainder holds slashes: it cannot be a name.
        let single =
            path.segments().iter().any(|segment| matches!(segment, Segment::Parameter(one) if one == name));
        if !single {
            let hint = suggest::did_you_mean(name, path.parameters());
            return Err(format!("{:?} has no parameter {{{name}}}{hint}", path.as_str()));
        }
    }
    Ok(name.to_owned())
}

/// A name or an address, without a port.
pub(super) fn host(item: &Item) -> Result<String, Problem> {
    let text = item.text()?;
    let v6 = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
    if let Some(ip) = v6 {
        let ip: std::net::Ipv6Addr = ip.parse().map_err(|_| format!("{text:?} is not a host"))?;
        return Ok(format!("[{ip}]"));
    }
    if text.parse::<std::net::Ipv4Addr>().is_ok() {
        return Ok(text.to_owned());
    }
    let why = match text {
        text if text.contains('*') => "wildcards are not matched; leave host out to serve any",
        text if text.contains(':') => "a port is not compared; leave it out",
        text if !text.is_ascii() => "write it in its ASCII form (xn--...)",
        _ => "it is not a host name",
    };
    host_name(text).ok_or_else(|| format!("{text:?}: {why}"))
}

/// The control plane, where an upstream could be named.
const CONTROL: &str = "@control";
