//! Which route a request takes, and what it needs there.
//!
//! Paths are compared segment by segment in their [normal form](super::path::normal_form). Where several routes
//! match, the more particular wins at the first segment in which they differ: a literal before `{name}` before
//! `{*rest}`; only when nothing below the better one matches is the next one tried. So `/api/health` may be public
//! beside a guarded `/api/{*rest}`, and `/api/healthz` is guarded.
//!
//! The routes of the request's host are tried first, then those for any host, as their configuration says: a route
//! without `host` serves every host. A host is compared in one spelling, so `API.example.com.:443` takes no other
//! route than `api.example.com`. A route that matches the path but does not serve the method ends the search with
//! 405: a weaker route further down must not pick up what a stronger one declined.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use http::{
    HeaderValue, Method,
    header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN},
};

use super::fields::Fields;
use crate::{
    config::{Credentials, Needed, Route, Segment},
    domain::access::{Action, Target},
};

/// All routes of a configuration; shared by all workers.
#[derive(Debug)]
pub struct Routes {
    entries: Vec<Entry>,
    /// Only looked up in, never filled with what clients name.
    by_host: HashMap<String, Node, RandomState>,
    any_host: Node,
}

/// A route that a request takes.
#[derive(Debug, Clone, Copy)]
pub struct Match<'r, 'p> {
    /// Its place in the configuration, for what is kept for each route.
    pub index: usize,
    /// The route.
    pub route: &'r Route,
    /// What the request is to be judged by.
    pub action: Action<'p>,
}

/// Why a request takes none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoRoute {
    /// No route matches; 404 `not_found`.
    #[error("no route matches")]
    NotFound,
    /// The route does not serve the method; 405 `method_not_allowed`.
    #[error("the route does not serve this method")]
    MethodNotAllowed {
        /// For the `Allow` header.
        allow: HeaderValue,
    },
    /// A servlet container, which cuts `;` and what follows it out of a path, would take another route; 400
    /// `path_ambiguous`.
    #[error("the path matches another route without its parameters")]
    Ambiguous,
}

impl Routes {
    /// The routes of a configuration, in its order.
    pub fn new(routes: &[Route]) -> Self {
        let mut table = Self { entries: Vec::new(), by_host: HashMap::default(), any_host: Node::default() };
        for (index, route) in routes.iter().enumerate() {
            let tree = match &route.host {
                Some(host) => table.by_host.entry(host.clone()).or_default(),
                None => &mut table.any_host,
            };
            tree.insert(route.path.segments(), index);
            table.entries.push(Entry::new(route));
        }
        table
    }

    /// The route for a request. `host` is canonical, as [`authority`](super::headers::authority) gives it, and
    /// `path` in normal form.
    pub fn find<'r, 'p>(
        &'r self,
        host: Option<&str>,
        method: &Method,
        path: &'p str,
        fields: &Fields,
    ) -> Result<Match<'r, 'p>, NoRoute> {
        let index = self.index(host, path).ok_or(NoRoute::NotFound)?;
        // Only a last segment can have a parameter: the normal form refuses them before a slash.
        if let Some(end) = memchr::memchr(b';', path.as_bytes())
            && self.index(host, &path[..end]) != Some(index)
        {
            return Err(NoRoute::Ambiguous);
        }
        let entry = self.entries.get(index).ok_or(NoRoute::NotFound)?;
        let route = &entry.route;
        let preflight = route.cors_preflight && is_preflight(method, fields);
        let permission = match route.require.of(method) {
            _ if preflight => None,
            Needed::Credential => None,
            Needed::Permission(permission) => Some(permission),
            Needed::NotServed => return Err(NoRoute::MethodNotAllowed { allow: entry.allow.clone() }),
        };
        let segment = |at: Option<usize>| at.and_then(|at| segment(path, at));
        let action = Action {
            public: preflight || route.credentials == Credentials::Public,
            permission,
            target: Target { team: segment(entry.team), project: segment(entry.project) },
        };
        Ok(Match { index, route, action })
    }

    /// The routes, in the order of the configuration; [`Match::index`] counts them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Route> {
        self.entries.iter().map(|entry| &entry.route)
    }

    fn index(&self, host: Option<&str>, path: &str) -> Option<usize> {
        let own = host.and_then(|host| self.by_host.get(host));
        own.and_then(|tree| tree.find(path)).or_else(|| self.any_host.find(path))
    }
}

/// The segment of a path at this place, from 0.
fn segment(path: &str, place: usize) -> Option<&str> {
    let mut rest = path.strip_prefix('/')?;
    for _ in 0..place {
        rest = first_segment(rest).1.strip_prefix('/')?;
    }
    Some(first_segment(rest).0)
}

/// Everything before the first slash, and the slash with what follows it.
fn first_segment(path: &str) -> (&str, &str) {
    // Segments are short: a search that is quick once it has begun would take longer to begin.
    let end = path.bytes().position(|byte| byte == b'/').unwrap_or(path.len());
    path.split_at(end)
}

/// A browser's question whether a cross-origin request may be made (Fetch standard section 3.2.2). It never
/// carries a credential.
fn is_preflight(method: &Method, fields: &Fields) -> bool {
    *method == Method::OPTIONS && fields.contains(&ORIGIN) && fields.contains(&ACCESS_CONTROL_REQUEST_METHOD)
}

#[derive(Debug)]
struct Entry {
    route: Route,
    allow: HeaderValue,
    /// Which segment of the path names the team.
    team: Option<usize>,
    project: Option<usize>,
}

impl Entry {
    fn new(route: &Route) -> Self {
        let place = |parameter: &Option<String>| {
            let wanted = parameter.as_ref()?;
            route
                .path
                .segments()
                .iter()
                .position(|segment| matches!(segment, Segment::Parameter(name) if name == wanted))
        };
        let mut served = route.require.served().unwrap_or(EVERY_METHOD.into());
        if route.cors_preflight && !served.contains(&"OPTIONS") {
            served.push("OPTIONS");
        }
        Self {
            allow: HeaderValue::try_from(served.join(", ")).unwrap_or(HeaderValue::from_static("")),
            team: place(&route.team),
            project: place(&route.project),
            route: route.clone(),
        }
    }
}

/// What a route serves that names no methods; it serves others, too, but `Allow` must name some.
const EVERY_METHOD: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// What the routes have in common up to some segment. Its depth is the number of segments read, so that a search
/// visits no node twice, whatever the path.
#[derive(Debug, Default)]
struct Node {
    /// Sorted by segment.
    literals: Vec<(Box<str>, Node)>,
    parameter: Option<Box<Node>>,
    /// The route whose `{*rest}` begins here.
    rest: Option<usize>,
    /// The route that ends here.
    end: Option<usize>,
}

impl Node {
    fn insert(&mut self, segments: &[Segment], route: usize) {
        let Some((segment, behind)) = segments.split_first() else {
            self.end.get_or_insert(route);
            return;
        };
        match segment {
            Segment::Literal(text) => {
                let found = self.literals.binary_search_by(|(known, _)| known.as_ref().cmp(text));
                let at = found.unwrap_or_else(|at| {
                    self.literals.insert(at, (text.as_str().into(), Self::default()));
                    at
                });
                self.literals[at].1.insert(behind, route);
            }
            Segment::Parameter(_) => self.parameter.get_or_insert_default().insert(behind, route),
            Segment::Rest(_) => {
                self.rest.get_or_insert(route);
            }
        }
    }

    /// `path` is what has not been read yet: empty, or a slash and segments.
    fn find(&self, path: &str) -> Option<usize> {
        let Some(path) = path.strip_prefix('/') else { return self.end };
        let (segment, behind) = first_segment(path);
        let literal = self.literals.binary_search_by(|(known, _)| known.as_ref().cmp(segment));
        if let Some((_, node)) = literal.ok().and_then(|at| self.literals.get(at))
            && let Some(route) = node.find(behind)
        {
            return Some(route);
        }
        if let Some(node) = &self.parameter
            && !segment.is_empty()
            && let Some(route) = node.find(behind)
        {
            return Some(route);
        }
        self.rest
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc, time::Duration};

    use super::*;
    use crate::{
        config::{
            Balance, Destination, PathTemplate, Protocol, Require, Timeouts, Upstream, UpstreamTls, Webhooks,
        },
        domain::permission::Permission,
    };

    const READ: Permission = Permission::new(1);
    const MANAGE: Permission = Permission::new(2);

    fn route(host: Option<&str>, path: &str) -> Route {
        let second = Duration::from_secs(1);
        let upstream = Upstream {
            name: "u".into(),
            targets: Vec::new(),
            balance: Balance::LeastRequest,
            max_connections: None,
            timeouts: Timeouts { connect: second, response: second, idle: second },
            retries: 1,
            protocol: Protocol::Http1,
            tls: UpstreamTls::default(),
            health: None,
        };
        Route {
            name: path.into(),
            host: host.map(Into::into),
            path: PathTemplate::parse(path).unwrap(),
            destination: Destination::Upstream(Arc::new(upstream)),
            credentials: Credentials::OneOf {
                api_key: true,
                session: true,
                jwt: false,
                webhooks: Webhooks::NONE,
            },
            require: Require::Credential,
            team: None,
            project: None,
            cors_preflight: false,
        }
    }

    fn methods(listed: &[(&str, Permission)], fallback: Option<Permission>) -> Require {
        let listed: BTreeMap<_, _> =
            listed.iter().map(|(method, needed)| ((*method).into(), *needed)).collect();
        Require::Methods { listed, fallback }
    }

    fn found(routes: &[Route], host: &str, path: &str) -> Option<String> {
        let table = Routes::new(routes);
        let found = table.find(Some(host), &Method::GET, path, &Fields::new()).ok()?;
        Some(format!("{}{}", found.route.host.as_deref().unwrap_or_default(), found.route.path))
    }

    #[test]
    fn the_more_particular_route_wins() {
        let routes: Vec<_> = [
            "/{*rest}",
            "/api/{*rest}",
            "/api/health",
            "/api/{id}",
            "/api/{id}/x",
            "/api/teams/{team}/y",
            "/v1/",
            "/{a}/{b}/{c}/z",
        ]
        .map(|path| route(None, path))
        .into();
        for (path, expected) in [
            ("/", "/{*rest}"),
            ("/api", "/{*rest}"),
            ("/api/", "/api/{*rest}"),
            ("/api/health", "/api/health"),
            ("/api/healthz", "/api/{id}"),
            ("/api/health/", "/api/{*rest}"),
            ("/api/health/x", "/api/{id}/x"),
            ("/api/teams/7/y", "/api/teams/{team}/y"),
            // Nothing below `teams` matches, so the next best is tried.
            ("/api/teams/x", "/api/{id}/x"),
            ("/api/teams/7/z", "/api/{*rest}"),
            ("/b/teams/7/z", "/{a}/{b}/{c}/z"),
            ("/v1/", "/v1/"),
            ("/v1", "/{*rest}"),
            ("/apix", "/{*rest}"),
            ("/api-internal/x", "/{*rest}"),
            ("/API/health", "/{*rest}"),
        ] {
            assert_eq!(found(&routes, "gw", path).as_deref(), Some(expected), "{path}");
        }
    }

    #[test]
    fn what_nobody_routed_is_not_found() {
        let routes = [route(None, "/x/{*rest}"), route(None, "/y/{id}"), route(Some("a"), "/z")];
        for (host, path) in
            [("a", "/x"), ("a", "/y"), ("a", "/y/"), ("a", "/y/1/2"), ("b", "/z"), ("a", "/nope")]
        {
            assert_eq!(found(&routes, host, path), None, "{host}{path}");
        }
        assert_eq!(found(&[], "a", "/"), None);
    }

    #[test]
    fn the_host_s_own_routes_come_first() {
        let routes = [route(None, "/{*rest}"), route(Some("a"), "/api/{*rest}"), route(None, "/api/public")];
        assert_eq!(found(&routes, "a", "/api/public").as_deref(), Some("a/api/{*rest}"));
        assert_eq!(found(&routes, "a", "/other").as_deref(), Some("/{*rest}"));
        assert_eq!(found(&routes, "b", "/api/public").as_deref(), Some("/api/public"));
        let table = Routes::new(&routes);
        let without_host = table.find(None, &Method::GET, "/api/public", &Fields::new());
        assert_eq!(without_host.unwrap().index, 2);
    }

    #[test]
    fn a_path_that_loses_its_parameter_must_stay_on_its_route() {
        let mut strict = route(None, "/admin");
        strict.require = Require::Permission(MANAGE);
        let table = Routes::new(&[strict, route(None, "/{*rest}")]);
        let find = |path| table.find(None, &Method::GET, path, &Fields::new()).map(|found| found.index);
        assert_eq!(find("/admin;x"), Err(NoRoute::Ambiguous));
        assert_eq!(find("/other;v=1"), Ok(1));
    }

    #[test]
    fn a_method_that_is_not_served_ends_the_search() {
        let mut strict = route(Some("a"), "/api/{*rest}");
        strict.require = methods(&[("GET", READ), ("POST", MANAGE)], None);
        let table = Routes::new(&[strict, route(None, "/{*rest}")]);
        let find = |method| {
            let found = table.find(Some("a"), &method, "/api/x", &Fields::new());
            found.map(|found| found.action.permission)
        };
        assert_eq!(find(Method::GET), Ok(Some(READ)));
        assert_eq!(find(Method::HEAD), Ok(Some(READ)));
        assert_eq!(find(Method::POST), Ok(Some(MANAGE)));
        for method in [
            Method::DELETE,
            Method::OPTIONS,
            Method::TRACE,
            Method::CONNECT,
            Method::from_bytes(b"get").unwrap(),
        ] {
            let allow = HeaderValue::from_static("GET, POST, HEAD");
            assert_eq!(find(method), Err(NoRoute::MethodNotAllowed { allow }));
        }
    }

    #[test]
    fn a_preflight_passes_only_where_it_may() {
        let mut fields = Fields::new();
        fields.insert(ORIGIN, HeaderValue::from_static("https://app.example"));
        fields.insert(ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("PUT"));
        let mut guarded = route(None, "/x");
        guarded.require = methods(&[("GET", READ)], Some(MANAGE));
        let action = |route: &Route, method, fields: &Fields| {
            Routes::new(std::slice::from_ref(route)).find(None, &method, "/x", fields).unwrap().action
        };
        assert!(!action(&guarded, Method::OPTIONS, &fields).public);
        guarded.cors_preflight = true;
        assert!(action(&guarded, Method::OPTIONS, &fields).public);
        let plain = action(&guarded, Method::OPTIONS, &Fields::new());
        assert!(!plain.public && plain.permission == Some(MANAGE));
        assert!(!action(&guarded, Method::PUT, &fields).public);
    }

    #[test]
    fn the_path_says_whose_team_and_project() {
        let mut bound = route(None, "/v1/{team_id}/p/{project_id}/{*rest}");
        (bound.team, bound.project) = (Some("team_id".into()), Some("project_id".into()));
        let table = Routes::new(&[bound]);
        let found = table.find(None, &Method::GET, "/v1/t%20m/p/7/", &Fields::new()).unwrap();
        assert_eq!(found.action.target, Target { team: Some("t%20m"), project: Some("7") });
    }

    #[test]
    fn a_thousand_routes_and_ten_thousand_segments() {
        let routes: Vec<_> =
            (0..1000).map(|n| route(None, &format!("/v1/service-{n}/{{id}}/{{*rest}}"))).collect();
        assert_eq!(
            found(&routes, "gw", "/v1/service-999/7/x").as_deref(),
            Some("/v1/service-999/{id}/{*rest}")
        );
        let deep = "/a".repeat(10_000);
        assert_eq!(found(&routes, "gw", &deep), None);
    }
}
