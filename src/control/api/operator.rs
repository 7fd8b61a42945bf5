//! The operator's way in: the same operations with the same checks and answers as over the network, but in this
//! process. So whoever works at the command line is told the same by the local store and by a distant server.

use std::net::{IpAddr, Ipv4Addr};

use http::Method;
use serde_json::{Map, Value};

use super::{
    caller::Known,
    error::{ApiError, Refused},
    input::Input,
    operation::{Answer, Call, Cookies, Operation, all},
    page,
};
use crate::{
    control::service::{Caller, Control},
    domain::id::OrgId,
};

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Question {
    /// What to do.
    pub method: Method,
    /// To what: the parts of the path after `/v1`, not yet encoded.
    pub path: Vec<String>,
    /// The fields of the query.
    pub query: Map<String, Value>,
    /// The fields of the body.
    pub body: Map<String, Value>,
}

impl Question {
    /// A question about what lies at this path below `/v1`.
    pub fn to(method: Method, path: &[&str]) -> Self {
        let path = path.iter().map(|part| (*part).to_owned()).collect();
        Self { method, path, query: Map::new(), body: Map::new() }
    }

    /// What lies at this path.
    pub fn get(path: &[&str]) -> Self {
        Self::to(Method::GET, path)
    }

    /// The same with this field, in the query where there is no body; null is left out.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        if !value.is_null() {
            let fields = if self.method == Method::GET { &mut self.query } else { &mut self.body };
            fields.insert(name.to_owned(), value);
        }
        self
    }

    /// The same with this field of the body where it is named, be it with null.
    #[must_use]
    pub fn change(mut self, name: &str, value: Option<impl Into<Value>>) -> Self {
        if let Some(value) = value {
            self.body.insert(name.to_owned(), value.into());
        }
        self
    }
}

/// Carries it out as operator. `org` is what "the caller's organization" means; none: all of them where a list is
/// asked for, and else the only one there is.
pub async fn operate(control: &Control, org: Option<OrgId>, question: Question) -> Result<Value, Refused> {
    let verb = question.method.as_str();
    let mut fitting = all().filter(|operation| operation.verb.as_str().eq_ignore_ascii_case(verb));
    let found = fitting.find_map(|operation| Some((operation, names(operation.path, &question.path)?)));
    let (operation, names) = found.ok_or(ApiError::NotFound)?;
    let call = Call {
        control: control.clone(),
        node: None,
        peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
        known: Known {
            caller: Caller::Operator,
            name: "operator".to_owned(),
            org,
            session: None,
            by_cookie: false,
        },
        path: format!("/v1/{}", question.path.join("/")),
        names,
        query: query(operation, question.query)?,
        body: Input::checked(question.body, operation.body)?,
        cookies: Cookies::default(),
    };
    Ok((operation.run)(call).await?)
}

fn query(operation: &Operation, fields: Map<String, Value>) -> Result<Input, ApiError> {
    let paged = if matches!(operation.answer, Answer::Page(_)) { page::FIELDS } else { &[] };
    Input::checked(fields, &[operation.query, paged].concat())
}

/// What stands in the place of each `{name}`; none: another path.
fn names(template: &str, path: &[String]) -> Option<Vec<(String, String)>> {
    let mut parts = template.strip_prefix("/v1/")?.split('/');
    let mut names = Vec::new();
    for given in path {
        let part = parts.next()?;
        match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(name) => names.push((name.to_owned(), given.clone())),
            None if part == given => {}
            None => return None,
        }
    }
    parts.next().is_none().then_some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_one_operation() {
        let path = |text: &str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
        let of = |name: &str, value: &str| Some(vec![(name.to_owned(), value.to_owned())]);
        assert_eq!(names("/v1/teams", &path("teams")), Some(Vec::new()));
        assert_eq!(names("/v1/teams/{team_id}", &path("teams/a b")), of("team_id", "a b"));
        assert_eq!(names("/v1/teams/{team_id}/projects", &path("teams/1/projects")), of("team_id", "1"));
        for other in ["team", "teams", "teams/1/members", "teams/1/projects/2"] {
            assert_eq!(names("/v1/teams/{team_id}/projects", &path(other)), None, "{other}");
        }
        let mut seen: Vec<_> = all().map(|operation| (operation.verb.as_str(), operation.path)).collect();
        seen.sort_unstable();
        assert!(seen.windows(2).all(|two| two[0] != two[1]));
    }
}
