//! Where a command does its work: on the local store as operator, or on a server through its admin API. The same
//! questions go to both and the same objects come back, so a command is written once.

use http::Method;
use serde_json::Value;

use super::{
    args::Consent,
    error::Failure,
    output::{List, Printer},
    remote::Remote,
};
use crate::{
    control::{
        api::{self, Question},
        service::{Caller, Control},
    },
    domain::id::OrgId,
};

/// One of the two.
pub(crate) enum Plane {
    /// The store of a configuration file; `org` is the organization that questions are about, none: all of them.
    Here {
        /// The use cases.
        control: Control,
        /// The chosen organization.
        org: Option<OrgId>,
    },
    /// A server. Its answers are about the organization of whoever holds the token.
    There(Remote),
}

/// A kind of object that people name by something else than its id.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Noun {
    what: &'static str,
    path: &'static str,
    name: &'static str,
    command: &'static str,
}

pub(crate) const TEAM: Noun = Noun { what: "team", path: "teams", name: "slug", command: "teams" };
pub(crate) const PROJECT: Noun =
    Noun { what: "project", path: "projects", name: "slug", command: "projects" };
pub(crate) const USER: Noun = Noun { what: "user", path: "users", name: "email", command: "users" };
pub(crate) const ROLE: Noun = Noun { what: "role", path: "roles", name: "name", command: "roles" };
pub(crate) const GROUP: Noun = Noun { what: "group", path: "groups", name: "name", command: "groups" };
pub(crate) const KEY: Noun = Noun { what: "key", path: "api-keys", name: "prefix", command: "keys" };

/// As much as a page may hold: its limit is for callers who want less.
const PAGE: u32 = 200;

impl Plane {
    /// The same for this organization, named by slug or id; none: as it was.
    pub(crate) async fn within(self, named: Option<&str>) -> Result<Self, Failure> {
        let Some(named) = named else { return Ok(self) };
        match self {
            Self::Here { control, .. } => {
                let org = Some(control.find_org(&Caller::Operator, named).await?.id);
                Ok(Self::Here { control, org })
            }
            Self::There(remote) => {
                let own = remote.ask(&Question::get(&["org"])).await?;
                if [&own["id"], &own["slug"]].into_iter().any(|name| name == named) {
                    return Ok(Self::There(remote));
                }
                Err(Failure::failed(
                    format_args!("this token sees no organization {named:?}"),
                    format!("it works in its own alone, which is {}", own["slug"]),
                ))
            }
        }
    }

    /// The same for the organization of this object.
    pub(crate) fn beside(self, object: &Value) -> Self {
        match self {
            Self::Here { control, .. } => Self::Here { control, org: text(object, "org_id").parse().ok() },
            there @ Self::There(_) => there,
        }
    }

    /// Whether this is the operator at work, who sees all organizations.
    pub(crate) const fn is_operator(&self) -> bool {
        matches!(self, Self::Here { .. })
    }

    /// The answer.
    pub(crate) async fn ask(&self, question: Question) -> Result<Value, Failure> {
        match self {
            Self::Here { control, org } => Ok(api::operate(control, *org, question).await?),
            Self::There(remote) => remote.ask(&question).await,
        }
    }

    /// Hands over every item of a list, page by page, as it comes.
    pub(crate) async fn each(
        &self,
        list: Question,
        mut take: impl FnMut(Value) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut cursor = Value::Null;
        loop {
            let page = list.clone().with("limit", PAGE).with("cursor", cursor.clone());
            let mut page = self.ask(page).await?;
            let Value::Array(items) = page["items"].take() else { return Err(odd()) };
            items.into_iter().try_for_each(&mut take)?;
            let next = page["next_cursor"].take();
            if next.is_null() {
                return Ok(());
            }
            if next == cursor {
                return Err(odd());
            }
            cursor = next;
        }
    }

    /// Prints a whole list.
    pub(crate) async fn print(&self, question: Question, mut list: List, none: &str) -> Result<(), Failure> {
        self.each(question, |item| list.push(&item)).await?;
        list.finish(none)
    }

    /// Prints one object.
    pub(crate) async fn show(&self, noun: Noun, named: &str, mut printer: Printer) -> Result<(), Failure> {
        printer.object(&self.find(noun, named).await?)
    }

    /// Deletes an object once it is meant, and prints what is gone; `what` it means is told beforehand.
    pub(crate) async fn delete(
        &self,
        noun: Noun,
        named: &str,
        consent: Consent,
        what: impl FnOnce(&Value) -> String,
        mut printer: Printer,
    ) -> Result<(), Failure> {
        let object = self.find(noun, named).await?;
        consent.to(&what(&object))?;
        self.ask(Question::to(Method::DELETE, &[noun.path, text(&object, "id")])).await?;
        printer.object(&object)
    }

    /// The object of this name or id.
    pub(crate) async fn find(&self, noun: Noun, named: &str) -> Result<Value, Failure> {
        if is_id(named) {
            return self.ask(Question::get(&[noun.path, named])).await;
        }
        let named = if noun.name == KEY.name { public_part(named) } else { named };
        let mut found = Vec::new();
        let list = Question::get(&[noun.path]).with(noun.name, named);
        self.each(list, |item| {
            found.push(item);
            Ok(())
        })
        .await?;
        let Noun { what, command, .. } = noun;
        match (found.pop(), found.pop()) {
            (Some(object), None) => Ok(object),
            (Some(_), Some(_)) => Err(Failure::usage(
                format_args!("several {what}s are called {named:?}"),
                format!("use the id: `latchgate {command} list --output json` shows it"),
            )),
            _ => Err(Failure::failed(
                format_args!("there is no {what} {named:?}"),
                format!("`latchgate {command} list` shows those there are"),
            )),
        }
    }

    /// Its id. Whether there is an object with an id that is given as such, the question that follows finds out.
    pub(crate) async fn id(&self, noun: Noun, named: &str) -> Result<String, Failure> {
        if is_id(named) {
            return Ok(named.to_owned());
        }
        Ok(text(&self.find(noun, named).await?, "id").to_owned())
    }

    /// The id of what may be named.
    pub(crate) async fn maybe_id(&self, noun: Noun, named: Option<&str>) -> Result<Option<String>, Failure> {
        match named {
            Some(named) => self.id(noun, named).await.map(Some),
            None => Ok(None),
        }
    }
}

/// Whoever has seen a key leak pastes all of it; it is named by its public characters, and the rest is not repeated.
fn public_part(named: &str) -> &str {
    let mut parts = named.rsplit('_');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(secret), Some(public), Some(_)) if secret.len() >= SHORTEST_SECRET => public,
        _ => named,
    }
}

/// Public parts are shorter.
const SHORTEST_SECRET: usize = 16;

/// A text field of an object; empty where there is none.
pub(crate) fn text<'v>(object: &'v Value, field: &str) -> &'v str {
    object[field].as_str().unwrap_or_default()
}

/// All ids have one form.
fn is_id(named: &str) -> bool {
    named.parse::<OrgId>().is_ok()
}

fn odd() -> Failure {
    Failure::failed(
        "the answer is no list",
        "see that --server names the admin API of a Latchgate of this version",
    )
}
