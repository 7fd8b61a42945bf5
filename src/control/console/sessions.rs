//! Signing in and out, before a browser.

use std::sync::Arc;

use askama::Template;
use axum::{extract::Request, response::Response};
use http::StatusCode;
use zeroize::Zeroizing;

use super::{Assets, Console, return_to::ReturnTo, second_step, visit::Visit};
use crate::control::{
    api::{ApiError, Known},
    cookie,
    service::{SessionView, SignIn, SignedIn, Step},
};

pub(super) const SIGN_IN: &str = "/.latchgate/sign-in";
pub(super) const SIGN_OUT: &str = "/.latchgate/sign-out";

/// The form, or who has signed in already.
pub(super) async fn sign_in_page(console: Console, request: Request) -> Response {
    let mut visit = match Visit::begin(&console, request) {
        Ok(visit) => visit,
        Err(answer) => return *answer,
    };
    let return_to = ReturnTo::parse(&visit.asked("return_to"));
    if let Some(known) = visit.known().await {
        return signed_in(visit, &known, return_to).await;
    }
    let note = match &*visit.asked("note") {
        "expired" => Some("Your session has ended. Sign in again to go on."),
        "signed-out" => Some("You are signed out."),
        "code" => Some("Your account has a second factor. Sign in to accept the invitation."),
        _ => None,
    };
    let page = SignInPage { note, ..SignInPage::new(&visit, return_to) };
    visit.show(StatusCode::OK, &page)
}

/// The form came back.
pub(super) async fn sign_in(console: Console, request: Request) -> Response {
    let mut visit = match Visit::begin(&console, request) {
        Ok(visit) => visit,
        Err(answer) => return *answer,
    };
    let form = match visit.form().await {
        Ok(form) => form,
        Err(error) => return visit.refuse(&error),
    };
    let return_to = ReturnTo::parse(form.text("return_to"));
    let (email, password) = (form.text("email").trim(), form.text("password"));
    let page = SignInPage { email: email.to_owned(), ..SignInPage::new(&visit, return_to.clone()) };
    if visit.gave(SIGN_IN, &form) && !form.text("halfway").is_empty() {
        return second_step::sign_in(visit, &form, return_to).await;
    }
    if !visit.gave(SIGN_IN, &form) {
        let page = SignInPage { problem: Some(STALE.to_owned()), ..page };
        visit.answering.line.outcome = "forbidden";
        return visit.show(StatusCode::FORBIDDEN, &page);
    }
    if email.is_empty() || password.is_empty() {
        let page = SignInPage {
            problem: Some("Something is missing.".to_owned()),
            email_wrong: email.is_empty().then_some("Enter your e-mail address."),
            password_wrong: password.is_empty().then_some("Enter your password."),
            ..page
        };
        visit.answering.line.outcome = "invalid_field";
        return visit.show(StatusCode::UNPROCESSABLE_ENTITY, &page);
    }
    let asked = SignIn {
        email: email.to_owned(),
        password: Zeroizing::new(password.to_owned()),
        code: None,
        replaces: visit.known().await.and_then(|known| known.session),
    };
    let outcome = visit.control.sign_in_first(&asked, visit.browser(), visit.address()).await;
    match outcome.map_err(ApiError::from) {
        Ok(Step::SignedIn(made)) => enter(visit, &made, return_to.as_ref()),
        Ok(Step::Code(halfway)) => second_step::ask(visit, halfway, return_to),
        Err(error) => {
            visit.decided(Err(&error));
            let (status, problem) = visit.answering.refused(&error);
            visit.show(status, &SignInPage { problem: Some(problem), ..page })
        }
    }
}

/// Gives the browser its session, and sends it on.
pub(super) fn enter(mut visit: Visit, made: &SignedIn, return_to: Option<&ReturnTo>) -> Response {
    visit.decided(Ok(()));
    let cookie = cookie::set(visit.control.sessions(), &made.token);
    visit.set_cookie(cookie);
    visit.onward(return_to)
}

/// The form once more, from the beginning.
pub(super) fn anew(visit: Visit, status: StatusCode, problem: &str, return_to: Option<ReturnTo>) -> Response {
    let page = SignInPage { problem: Some(problem.to_owned()), ..SignInPage::new(&visit, return_to) };
    visit.show(status, &page)
}

/// Asks whether it is meant.
pub(super) async fn sign_out_page(console: Console, request: Request) -> Response {
    let visit = match Visit::begin(&console, request) {
        Ok(visit) => visit,
        Err(answer) => return *answer,
    };
    let page = SignOutPage::new(&visit, None);
    visit.show(StatusCode::OK, &page)
}

/// It is meant.
pub(super) async fn sign_out(console: Console, request: Request) -> Response {
    let mut visit = match Visit::begin(&console, request) {
        Ok(visit) => visit,
        Err(answer) => return *answer,
    };
    let form = match visit.form().await {
        Ok(form) => form,
        Err(error) => return visit.refuse(&error),
    };
    if !visit.gave(SIGN_OUT, &form) {
        let page = SignOutPage::new(&visit, Some(STALE));
        visit.answering.line.outcome = "forbidden";
        return visit.show(StatusCode::FORBIDDEN, &page);
    }
    if let Some(Known { caller, session: Some(session), .. }) = visit.known().await
        && let Err(error) = visit.control.sign_out(&caller, session).await
    {
        return visit.refuse(&error.into());
    }
    let cookie = cookie::clear(visit.control.sessions());
    visit.set_cookie(cookie);
    visit.go(&format!("{SIGN_IN}?note=signed-out"))
}

async fn signed_in(visit: Visit, known: &Known, return_to: Option<ReturnTo>) -> Response {
    let Some(session) = known.session else { return visit.refuse(&ApiError::NotFound) };
    match visit.control.session(&known.caller, session).await {
        Ok(view) => {
            let (assets, token) = (Arc::clone(&visit.console.assets), visit.token(SIGN_OUT));
            visit.show(StatusCode::OK, &SignedInPage { assets, token, view, return_to })
        }
        Err(error) => visit.refuse(&error.into()),
    }
}

/// Shows the page once more to somebody who was not signed in by a provider.
pub(super) fn again(mut visit: Visit, error: &ApiError, return_to: Option<ReturnTo>) -> Response {
    visit.decided(Err(error));
    let page = SignInPage::new(&visit, return_to);
    let (status, problem) = visit.answering.refused(error);
    visit.show(status, &SignInPage { problem: Some(problem), ..page })
}

/// To whoever sends a form that this browser was not given, or no longer has the cookie of.
pub(super) const STALE: &str =
    "This page was open for too long, or your browser keeps no cookies. Try again.";

#[derive(Template)]
#[template(path = "sign_in.html", config = "src/control/console/templates/askama.toml")]
struct SignInPage {
    assets: Arc<Assets>,
    token: String,
    return_to: Option<ReturnTo>,
    email: String,
    note: Option<&'static str>,
    problem: Option<String>,
    email_wrong: Option<&'static str>,
    password_wrong: Option<&'static str>,
    /// The identity provider's host, where one can sign in by it.
    provider: Option<String>,
}

impl SignInPage {
    fn new(visit: &Visit, return_to: Option<ReturnTo>) -> Self {
        Self {
            assets: Arc::clone(&visit.console.assets),
            token: visit.token(SIGN_IN),
            return_to,
            email: String::new(),
            note: None,
            problem: None,
            email_wrong: None,
            password_wrong: None,
            provider: visit.console.node.oidc().map(|oidc| oidc.host().to_owned()),
        }
    }
}

#[derive(Template)]
#[template(path = "signed_in.html", config = "src/control/console/templates/askama.toml")]
struct SignedInPage {
    assets: Arc<Assets>,
    token: String,
    view: SessionView,
    return_to: Option<ReturnTo>,
}

#[derive(Template)]
#[template(path = "sign_out.html", config = "src/control/console/templates/askama.toml")]
struct SignOutPage {
    assets: Arc<Assets>,
    token: String,
    problem: Option<&'static str>,
}

impl SignOutPage {
    fn new(visit: &Visit, problem: Option<&'static str>) -> Self {
        Self { assets: Arc::clone(&visit.console.assets), token: visit.token(SIGN_OUT), problem }
    }
}
