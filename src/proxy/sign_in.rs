//! A browser that shows no session is sent to where it gets one.
//!
//! Only who reads pages (`Accept: text/html`) and only reads (GET) is sent on, and only where a session would have been
//! taken: to everybody else 401 says more (R002_11). What was asked for goes along, to come back to.

use std::fmt::Write as _;

use http::{HeaderValue, Method, Uri, header::ACCEPT};

use super::{fields::Fields, reject::Refusal, request::Request};
use crate::{
    config::Credentials,
    domain::access::{self, Denied},
};

/// The page on which people sign in.
const PAGE: &str = "/.latchgate/sign-in";
/// As much of a target as comes back; the page takes no more, and three times as much would have to fit into a target.
const LONGEST: usize = 2048;

/// Where a refused request is sent instead; none: it is refused. `presented` is the kind of credential that it
/// brought, `target` what it asks for, in origin form.
pub fn instead<B>(
    refusal: &Refusal,
    presented: Option<access::Method>,
    accepted: Credentials,
    request: &Request<B>,
    target: &Uri,
) -> Option<Refusal> {
    let showed_one = presented == Some(access::Method::Session);
    let ended = match refusal {
        Refusal::Denied(Denied::Missing) => false,
        Refusal::Denied(Denied::SessionEnded) => true,
        // Nobody's session: the store has forgotten it, or never knew it.
        Refusal::CredentialInvalid | Refusal::CredentialMalformed if showed_one => true,
        _ => return None,
    };
    let reads = request.method == Method::GET && reads_pages(&request.fields);
    if !(reads && accepted.accept_sessions()) {
        return None;
    }
    let place = HeaderValue::try_from(place(target, ended)).ok()?;
    Some(Refusal::SignIn { code: refusal.code(), place })
}

/// Whether a page is what somebody wants first of all: a browser that goes to a place says so, a script does not.
fn reads_pages(fields: &Fields) -> bool {
    let is_page = |range: &str| {
        range.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/html"))
    };
    let mut lines = fields.get_all(&ACCEPT).filter_map(|line| line.to_str().ok());
    lines.any(|line| line.split(',').any(is_page))
}

fn place(target: &Uri, ended: bool) -> String {
    let mut place = PAGE.to_owned();
    let asked = target.path_and_query().map_or("/", |asked| asked.as_str());
    let asked = if asked.len() > LONGEST { "/" } else { asked };
    place.push_str("?return_to=");
    for byte in asked.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.' | b'~') {
            place.push(char::from(byte));
        } else {
            // Writing to a text cannot fail.
            let _ = write!(place, "%{byte:02X}");
        }
    }
    if ended {
        place.push_str("&note=expired");
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Webhooks;

    const BOTH: Credentials = taking(true);
    const KEYS: Credentials = taking(false);

    const fn taking(session: bool) -> Credentials {
        Credentials::OneOf { api_key: true, session, jwt: true, webhooks: Webhooks::NONE }
    }

    fn sent(refusal: &Refusal, accepted: Credentials, method: &str, accept: &str) -> Option<String> {
        let request = http::Request::builder().method(method).uri("/a/b?c=d&e=/%20").header(ACCEPT, accept);
        let request: Request<()> = request.body(()).unwrap().into();
        let presented = Some(access::Method::Session);
        match instead(refusal, presented, accepted, &request, &request.target)? {
            Refusal::SignIn { place, code } => Some(format!("{code} {}", place.to_str().unwrap())),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_browser_without_a_session_is_sent_to_sign_in() {
        let missing = Refusal::Denied(Denied::Missing);
        let page = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8";
        assert_eq!(
            sent(&missing, BOTH, "GET", page).as_deref(),
            Some("credential_missing /.latchgate/sign-in?return_to=/a/b%3Fc%3Dd%26e%3D/%2520")
        );
        assert_eq!(
            sent(&Refusal::Denied(Denied::SessionEnded), BOTH, "GET", "TEXT/HTML; q=1").as_deref(),
            Some("session_expired /.latchgate/sign-in?return_to=/a/b%3Fc%3Dd%26e%3D/%2520&note=expired")
        );
        assert!(sent(&Refusal::CredentialInvalid, BOTH, "GET", page).is_some(), "a session nobody knows");
        for (refusal, accepted, method, accept) in [
            (&missing, KEYS, "GET", page),
            (&missing, Credentials::Public, "GET", page),
            (&missing, BOTH, "POST", page),
            (&missing, BOTH, "HEAD", page),
            (&missing, BOTH, "GET", "*/*"),
            (&missing, BOTH, "GET", "application/json"),
            (&missing, BOTH, "GET", "text/htmlx"),
            (&Refusal::Denied(Denied::Revoked), BOTH, "GET", page),
            (&Refusal::Denied(Denied::Boundary), BOTH, "GET", page),
            (&Refusal::TooManyFailures, BOTH, "GET", page),
            (&Refusal::StoreUnavailable, BOTH, "GET", page),
        ] {
            assert_eq!(sent(refusal, accepted, method, accept), None, "{refusal:?} {method} {accept}");
        }
    }

    #[test]
    fn a_target_that_is_too_long_to_come_back_is_forgotten() {
        let long: Uri = format!("/{}", "a".repeat(LONGEST)).parse().unwrap();
        assert_eq!(place(&long, false), "/.latchgate/sign-in?return_to=/");
    }
}
