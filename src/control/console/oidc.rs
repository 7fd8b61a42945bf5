//! Signing in by an identity provider, before a browser: there and back.

use axum::{extract::Request, response::Response};
use http::HeaderValue;

use super::{Console, return_to::ReturnTo, sessions::again, visit::Visit};
use crate::{
    control::{
        api::ApiError,
        cookie,
        oidc::{CALLBACK as BACK, Oidc, OidcError, Vouched},
        service::{SignedIn, VouchedFor},
    },
    domain::access::Method,
};

pub(super) const START: &str = "/.latchgate/oidc/start";
pub(super) const CALLBACK: &str = BACK;

/// Sends the browser to the provider.
pub(super) async fn start(console: Console, request: Request) -> Response {
    let mut visit = match Visit::begin(&console, request) {
        Ok(visit) => visit,
        Err(answer) => return *answer,
    };
    let Some(oidc) = console.node.oidc() else { return visit.refuse(&ApiError::NotFound) };
    let return_to = ReturnTo::parse(&visit.asked("return_to"));
    match oidc.start(return_to.as_ref().map(ReturnTo::as_str)).await {
        Ok(started) => {
            visit.set_cookie(HeaderValue::from_str(&started.cookie).ok());
            visit.go(&started.location)
        }
        Err(error) => refuse(visit, &oidc, error, return_to),
    }
}

/// The browser is back.
pub(super) async fn callback(console: Console, request: Request) -> Response {
    let mut visit = match Visit::begin(&console, request) {
        Ok(visit) => visit,
        Err(answer) => return *answer,
    };
    let Some(oidc) = console.node.oidc() else { return visit.refuse(&ApiError::NotFound) };
    visit.answering.line.auth_method = Some(Method::Session);
    let brought = match visit.control.bring_answer(visit.address()) {
        Ok(brought) => brought,
        Err(error) => return again(visit, &error.into(), None),
    };
    let vouched = oidc.finish(visit.query(), visit.cookie(oidc.cookie_name()).as_deref()).await;
    if let Ok(_) | Err(OidcError::Unavailable(_) | OidcError::Overloaded) = vouched {
        brought.withdrawn();
    }
    // Whatever came of it, this attempt is over.
    visit.set_cookie(HeaderValue::from_str(&oidc.ended_cookie()).ok());
    let Vouched { email, return_to } = match vouched {
        Ok(vouched) => vouched,
        Err(error) => return refuse(visit, &oidc, error, None),
    };
    let return_to = return_to.as_deref().and_then(ReturnTo::parse);
    let replaces = visit.known().await.and_then(|known| known.session);
    let asked = VouchedFor { email, by: oidc.issuer().to_owned(), replaces };
    match visit.control.sign_in_vouched(&asked, visit.address()).await.map_err(ApiError::from) {
        Ok(SignedIn { token, .. }) => {
            visit.decided(Ok(()));
            let cookie = cookie::set(visit.control.sessions(), &token);
            visit.set_cookie(cookie);
            visit.onward(return_to.as_ref())
        }
        Err(error) => again(visit, &error, return_to),
    }
}

/// Shows the page to sign in again; what exactly was wrong with an answer is for the log. That the provider is down has
/// been logged when it was asked.
fn refuse(visit: Visit, oidc: &Oidc, error: OidcError, return_to: Option<ReturnTo>) -> Response {
    if matches!(error, OidcError::Declined(_) | OidcError::NotBelieved(_)) {
        tracing::warn!(issuer = oidc.issuer(), %error, "user.sign_in_by_provider_failed");
    }
    again(visit, &ApiError::Provider(error), return_to)
}
