//! The link in the mail of an invitation.

use std::sync::Arc;

use askama::Template;
use axum::{extract::Request, response::Response};
use http::StatusCode;
use zeroize::Zeroizing;

use super::{
    Assets, Console,
    sessions::{SIGN_IN, STALE},
    visit::Visit,
};
use crate::control::{
    api::{ApiError, Known},
    cookie,
    service::{Acceptance, Caller, Control, OpenInvitation, ServiceError, SignIn},
};

pub(super) const ACCEPT: &str = "/.latchgate/invitations/accept";

/// What the link leads to. Looking changes nothing: programs that scan mails look, too.
pub(super) async fn accept_page(console: Console, request: Request) -> Response {
    let mut visit = match Visit::begin(&console, request) {
        Ok(visit) => visit,
        Err(answer) => return *answer,
    };
    let link = visit.asked("token");
    match visit.control.open_invitation(&link).await {
        Ok(invitation) => {
            let known = visit.known().await;
            let own = is_own(&visit.control, known.as_ref(), &invitation).await;
            let page = AcceptPage::new(&visit, link, invitation, own);
            visit.show(StatusCode::OK, &page)
        }
        Err(error) => visit.refuse(&error.into()),
    }
}

/// The form came back.
pub(super) async fn accept(console: Console, request: Request) -> Response {
    let mut visit = match Visit::begin(&console, request) {
        Ok(visit) => visit,
        Err(answer) => return *answer,
    };
    let form = match visit.form().await {
        Ok(form) => form,
        Err(error) => return visit.refuse(&error),
    };
    let link = form.text("token").to_owned();
    let invitation = match visit.control.open_invitation(&link).await {
        Ok(invitation) => invitation,
        Err(error) => return visit.refuse(&error.into()),
    };
    let known = visit.known().await;
    let own = is_own(&visit.control, known.as_ref(), &invitation).await;
    let page = AcceptPage {
        name: form.text("name").trim().to_owned(),
        ..AcceptPage::new(&visit, link.clone(), invitation, own)
    };
    if !visit.gave(ACCEPT, &form) {
        visit.answering.line.outcome = "forbidden";
        return visit.show(StatusCode::FORBIDDEN, &AcceptPage { problem: Some(STALE.to_owned()), ..page });
    }
    let password = Zeroizing::new(form.text("password").to_owned());
    let acceptance = Acceptance {
        token: link,
        name: Some(page.name.clone()).filter(|name| !name.is_empty()),
        password: Some(password.to_string()).filter(|password| !password.is_empty()),
        // Asked for on the page to sign in: it would be used up here, and not be there for the session.
        code: None,
        // Somebody else's session is not theirs who accept; their password is.
        signed_in: known.as_ref().filter(|_| own).and_then(person),
        ip: visit.address(),
    };
    let outcome = visit.control.accept_invitation(&acceptance).await.map_err(ApiError::from);
    visit.decided(outcome.as_ref().map(drop));
    match outcome {
        Ok(accepted) if !own => {
            let replaces = known.and_then(|known| known.session);
            enter(&mut visit, SignIn { email: accepted.user.email, password, code: None, replaces }).await;
            visit.go(SIGN_IN)
        }
        Ok(_) => visit.go(SIGN_IN),
        Err(ApiError::Service(ServiceError::SecondFactorRequired)) => {
            let place = format!("{SIGN_IN}?note=code&return_to={ACCEPT}?token={}", acceptance.token.trim());
            visit.go(&place)
        }
        Err(error) => {
            let (status, problem) = visit.answering.refused(&error);
            visit.show(status, &page.with(&error, problem))
        }
    }
}

/// Whoever has just proved who they are need not do it again. Where it fails, the form to sign in is the next page.
async fn enter(visit: &mut Visit, asked: SignIn) {
    if let Ok(made) = visit.control.sign_in(&asked, visit.address()).await {
        let cookie = cookie::set(visit.control.sessions(), &made.token);
        visit.set_cookie(cookie);
    }
}

/// Whether the one who looks has signed in with the account that is invited.
async fn is_own(control: &Control, known: Option<&Known>, invitation: &OpenInvitation) -> bool {
    let Some(Known { caller, session: Some(session), .. }) = known else { return false };
    let view = control.session(caller, *session).await;
    invitation.account && view.is_ok_and(|view| view.user.email.eq_ignore_ascii_case(&invitation.email))
}

const fn person(known: &Known) -> Option<crate::domain::id::UserId> {
    match known.caller {
        Caller::User { id, .. } => Some(id),
        _ => None,
    }
}

#[derive(Template)]
#[template(path = "accept.html", config = "src/control/console/templates/askama.toml")]
struct AcceptPage {
    assets: Arc<Assets>,
    token: String,
    /// The token of the link.
    link: String,
    invitation: OpenInvitation,
    /// Nothing is left to prove.
    own: bool,
    name: String,
    problem: Option<String>,
    name_wrong: Option<String>,
    password_wrong: Option<String>,
}

impl AcceptPage {
    fn new(visit: &Visit, link: String, invitation: OpenInvitation, own: bool) -> Self {
        Self {
            assets: Arc::clone(&visit.console.assets),
            token: visit.token(ACCEPT),
            link,
            invitation,
            own,
            name: String::new(),
            problem: None,
            name_wrong: None,
            password_wrong: None,
        }
    }

    /// What was wrong, beside the field that it was.
    fn with(mut self, error: &ApiError, problem: String) -> Self {
        if let ApiError::Service(ServiceError::InvalidField(wrong)) = error {
            let of = |name: &str| {
                wrong.iter().find(|wrong| wrong.field == name).map(|wrong| sentence(&wrong.message))
            };
            (self.name_wrong, self.password_wrong) = (of("name"), of("password"));
        }
        self.problem = Some(problem);
        self
    }
}

fn sentence(message: &str) -> String {
    let mut letters = message.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{first}{}.", letters.as_str().trim_end_matches('.'))
}
