//! One visit of a browser to a page: who it is, the form that it sends, the answer that it gets.

use std::sync::Arc;

use axum::{body::Body, extract::Request, response::Response};
use http::{
    HeaderValue, Method, StatusCode,
    header::{COOKIE, SET_COOKIE},
    request::Parts,
};

use super::{
    Console,
    form::{Form, Visitor},
    return_to::ReturnTo,
    sessions::SIGN_IN,
};
use crate::{
    control::{
        api::{Answering, ApiError, Came, Known, session_of},
        cookie,
        service::{Control, ServiceError},
    },
    domain::access,
    runtime::origin,
};

/// A request for a page, and what will be answered.
pub(super) struct Visit {
    pub(super) console: Console,
    pub(super) control: Control,
    pub(super) answering: Answering,
    parts: Parts,
    body: Body,
    visitor: Visitor,
    /// The visitor has no cookie yet.
    is_first: bool,
}

impl Visit {
    /// Begins one, unless the machine has no randomness: then there is an answer already.
    pub(super) fn begin(console: &Console, request: Request) -> Result<Self, Box<Response>> {
        let node = Arc::clone(&console.node);
        let (control, answering) = (node.control(), Answering::to(node, &request));
        let (parts, body) = request.into_parts();
        let known = value(&parts, &form_cookie(&control)).as_deref().and_then(Visitor::of);
        let is_first = known.is_none();
        let visitor = match known.map_or_else(Visitor::new, Ok) {
            Ok(visitor) => visitor,
            Err(error) => {
                let error = ApiError::Service(ServiceError::Secret(error.into()));
                return Err(Box::new(answering.refusal_page(&error, &console.assets)));
            }
        };
        Ok(Self { console: console.clone(), control, answering, parts, body, visitor, is_first })
    }

    /// A field of the query.
    pub(super) fn asked(&self, name: &str) -> String {
        let query = Form::parse(self.parts.uri.query().unwrap_or_default());
        query.map(|query| query.text(name).to_owned()).unwrap_or_default()
    }

    /// All of the query.
    pub(super) fn query(&self) -> &str {
        self.parts.uri.query().unwrap_or_default()
    }

    /// The one value of a cookie.
    pub(super) fn cookie(&self, name: &str) -> Option<String> {
        value(&self.parts, name)
    }

    /// The session that the browser shows, if it works.
    pub(super) async fn known(&mut self) -> Option<Known> {
        let Came(connection) = self.parts.extensions.get().copied()?;
        session_of(&*self.console.node, connection, &self.parts.headers, &mut self.answering).await
    }

    /// The form that was sent; refused when it stood on a page of another site.
    pub(super) async fn form(&mut self) -> Result<Form, ApiError> {
        let (headers, public) = (&self.parts.headers, self.console.node.public_url());
        // What does not say where it comes from is no browser; the token is what speaks for it.
        if origin::is_told(headers) && !origin::is_own(&Method::POST, headers, public.as_ref()) {
            return Err(ApiError::CrossSite);
        }
        let (form, length) = Form::read(&self.parts, std::mem::take(&mut self.body)).await?;
        self.answering.line.bytes_in = length;
        self.answering.line.auth_method = Some(access::Method::Session);
        Ok(form)
    }

    /// Whether the form is one that this browser was given on this page.
    pub(super) fn gave(&self, page: &str, form: &Form) -> bool {
        !self.is_first && self.visitor.has(&self.control, page, form)
    }

    /// The token for the forms of a page.
    pub(super) fn token(&self, page: &str) -> String {
        self.visitor.token(&self.control, page)
    }

    /// What no other browser has: what is sealed for it opens in this one alone.
    pub(super) fn browser(&self) -> &str {
        self.visitor.cookie()
    }

    /// Whether somebody was let in, for the metrics.
    pub(super) fn decided(&self, outcome: Result<(), &ApiError>) {
        let outcome = outcome.err().map_or("ok", ApiError::code);
        self.console.node.decided(self.answering.line.auth_method, outcome);
    }

    /// Who asks, for those who let somebody in.
    pub(super) fn address(&self) -> Option<std::net::IpAddr> {
        let Came(connection) = self.parts.extensions.get().copied()?;
        self.console.node.client(connection, &self.parts.headers).address
    }

    pub(super) fn set_cookie(&mut self, cookie: Option<HeaderValue>) {
        if let Some(cookie) = cookie {
            self.answering.headers.append(SET_COOKIE, cookie);
        }
    }

    /// Answers with a page.
    pub(super) fn show(mut self, status: StatusCode, page: &impl askama::Template) -> Response {
        if self.is_first {
            let text = format!(
                "{}={}; {}",
                form_cookie(&self.control),
                self.visitor.cookie(),
                cookie::attributes(self.control.sessions()),
            );
            self.set_cookie(HeaderValue::from_str(&text).ok());
        }
        // Rendering fails only when memory does.
        self.answering.page(status, page.render().unwrap_or_default())
    }

    /// Sends the browser on.
    pub(super) fn go(self, place: &str) -> Response {
        self.answering.see_other(place)
    }

    /// Sends whoever signed in on to where they wanted to go.
    pub(super) fn onward(self, return_to: Option<&ReturnTo>) -> Response {
        self.go(return_to.map_or(SIGN_IN, ReturnTo::as_str))
    }

    /// Answers that it cannot be done, and there is nothing to try again on this page.
    pub(super) fn refuse(self, error: &ApiError) -> Response {
        self.answering.refusal_page(error, &self.console.assets)
    }
}

/// The cookie that ties forms to a browser lies beside that of the session.
fn form_cookie(control: &Control) -> String {
    format!("{}-form", control.sessions().cookie())
}

/// The one value of a cookie.
fn value(parts: &Parts, name: &str) -> Option<String> {
    let lines = parts.headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut found = pairs.filter(|(known, _)| *known == name).map(|(_, value)| value);
    let first = found.next()?;
    found.all(|other| other == first).then(|| first.to_owned())
}
