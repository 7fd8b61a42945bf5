//! `require` of a route: which permission each method needs.

use std::collections::BTreeMap;

use http::Method;

use super::{
    profile::Vocabulary,
    raw::{Problem, Section},
};
use crate::domain::permission::Permission;

/// What each method needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Require {
    /// Any method, with any valid credential.
    Credential,
    /// Any method, with this permission.
    Permission(Permission),
    /// Only these methods, each with its permission.
    Methods {
        /// By method; never CONNECT or TRACE.
        listed: BTreeMap<String, Permission>,
        /// `"*"`: for every other method.
        fallback: Option<Permission>,
    },
}

/// What one method of a route needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needed {
    /// A valid credential, whatever it may do.
    Credential,
    /// This permission.
    Permission(Permission),
    /// It is not served: 405.
    NotServed,
}

impl Require {
    /// What this method needs. HEAD follows GET unless it is listed itself; CONNECT and TRACE are never served.
    pub fn of(&self, method: &Method) -> Needed {
        if is_never_served(method.as_str()) {
            return Needed::NotServed;
        }
        match self {
            Self::Credential => Needed::Credential,
            Self::Permission(permission) => Needed::Permission(*permission),
            Self::Methods { listed, fallback } => {
                let follows = if *method == Method::HEAD { listed.get("GET") } else { None };
                let found = listed.get(method.as_str()).or(follows).or(fallback.as_ref());
                found.map_or(Needed::NotServed, |permission| Needed::Permission(*permission))
            }
        }
    }

    /// The methods for an `Allow` header; none where the route serves whatever comes.
    pub fn served(&self) -> Option<Vec<&str>> {
        let Self::Methods { listed, fallback: None } = self else { return None };
        let head = (listed.contains_key("GET") && !listed.contains_key("HEAD")).then_some("HEAD");
        Some(listed.keys().map(String::as_str).chain(head).collect())
    }
}

/// A string for all methods, or a table by method.
pub(super) fn read(section: &mut Section<'_>, vocabulary: Vocabulary<'_>) -> Require {
    let Some(item) = section.read("require", "", |item| Ok(item.clone())) else { return Require::Credential };
    let example = format!("{{ GET = {:?} }}", vocabulary.example());
    if item.is_text() {
        return match item.text().and_then(|name| vocabulary.permission(name)) {
            Ok(permission) => Require::Permission(permission),
            Err(problem) => {
                section.refuse("require", problem, &example);
                Require::Credential
            }
        };
    }
    let table = match item.table() {
        Ok(table) if !table.is_empty() => table,
        Ok(_) => {
            section.refuse("require", "is empty: no method would be served", &example);
            return Require::Credential;
        }
        Err(_) => {
            let problem = "expected a permission in quotes, or a table of methods and their permissions";
            section.refuse("require", problem, &example);
            return Require::Credential;
        }
    };
    let mut listed = BTreeMap::new();
    let mut fallback = None;
    for (method, value) in table {
        let name = value.as_str().ok_or_else(|| "expected a permission in quotes".to_owned());
        let outcome = check_method(&method).and_then(|()| vocabulary.permission(name?));
        match outcome {
            Ok(permission) if method == "*" => fallback = Some(permission),
            Ok(permission) => {
                listed.insert(method, permission);
            }
            Err(problem) => section.refuse(&format!("require.{method}"), problem, &example),
        }
    }
    Require::Methods { listed, fallback }
}

fn check_method(method: &str) -> Result<(), Problem> {
    if method == "*" {
        return Ok(());
    }
    if is_never_served(method) {
        return Err("is never served".to_owned());
    }
    if Method::from_bytes(method.as_bytes()).is_err() {
        return Err(format!("{method:?} is not a method"));
    }
    // Methods are case-sensitive (RFC 9110 section 9.1): `get` would never match a request.
    if method.chars().any(|c| c.is_ascii_lowercase()) {
        return Err(format!(
            "methods are written in capitals; did you mean `{}`?",
            method.to_ascii_uppercase()
        ));
    }
    Ok(())
}

fn is_never_served(method: &str) -> bool {
    method.eq_ignore_ascii_case("CONNECT") || method.eq_ignore_ascii_case("TRACE")
}
