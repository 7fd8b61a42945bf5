//! The second page of signing in, for those who have a second factor.
//!
//! That their password was right lies in the form, sealed for this browser; the password is not sent back.

use std::sync::Arc;

use askama::Template;
use axum::response::Response;
use http::StatusCode;

use super::{
    Assets,
    form::Form,
    return_to::ReturnTo,
    sessions::{self, SIGN_IN},
    visit::Visit,
};
use crate::control::{
    api::ApiError,
    service::{Halfway, ServiceError, SignedIn},
};

/// Asks for a code. The password was right, and nobody is signed in.
pub(super) fn ask(mut visit: Visit, halfway: String, return_to: Option<ReturnTo>) -> Response {
    let error = ApiError::Service(ServiceError::SecondFactorRequired);
    visit.decided(Err(&error));
    visit.answering.line.outcome = error.code();
    let page = CodePage::new(&visit, halfway, return_to);
    visit.show(StatusCode::OK, &page)
}

/// The form came back, with its token.
pub(super) async fn sign_in(mut visit: Visit, form: &Form, return_to: Option<ReturnTo>) -> Response {
    let sealed = form.text("halfway");
    let Some(halfway) = visit.control.halfway(sealed, visit.browser()) else {
        visit.answering.line.outcome = "forbidden";
        return sessions::anew(visit, StatusCode::FORBIDDEN, TOO_LATE, return_to);
    };
    let page = CodePage::new(&visit, sealed.to_owned(), return_to.clone());
    let (code, recovery) = (form.text("code").trim(), form.text("recovery_code").trim());
    let code = if code.is_empty() { recovery } else { code };
    if code.is_empty() {
        visit.answering.line.outcome = "invalid_field";
        let page = CodePage { problem: Some(MISSING.to_owned()), wrong: Some(MISSING), ..page };
        return visit.show(StatusCode::UNPROCESSABLE_ENTITY, &page);
    }
    match enter(&mut visit, &halfway, code).await {
        Ok(made) => sessions::enter(visit, &made, return_to.as_ref()),
        Err(error) => {
            visit.decided(Err(&error));
            let (status, problem) = visit.answering.refused(&error);
            match error {
                // The password is another one by now, or the account may not act.
                ApiError::Service(ServiceError::WrongPassword | ServiceError::Forbidden(_)) => {
                    sessions::anew(visit, status, &problem, return_to)
                }
                _ => visit.show(status, &CodePage { problem: Some(problem), ..page }),
            }
        }
    }
}

async fn enter(visit: &mut Visit, halfway: &Halfway, code: &str) -> Result<SignedIn, ApiError> {
    let replaces = visit.known().await.and_then(|known| known.session);
    Ok(visit.control.sign_in_second(halfway, code, replaces, visit.address()).await?)
}

/// To whoever comes back with a code after their five minutes.
const TOO_LATE: &str = "That took too long. Sign in again.";
const MISSING: &str = "Enter a code.";

#[derive(Template)]
#[template(path = "second_step.html", config = "src/control/console/templates/askama.toml")]
struct CodePage {
    assets: Arc<Assets>,
    token: String,
    halfway: String,
    return_to: Option<ReturnTo>,
    problem: Option<String>,
    wrong: Option<&'static str>,
}

impl CodePage {
    fn new(visit: &Visit, halfway: String, return_to: Option<ReturnTo>) -> Self {
        let (assets, token) = (Arc::clone(&visit.console.assets), visit.token(SIGN_IN));
        Self { assets, token, halfway, return_to, problem: None, wrong: None }
    }
}
