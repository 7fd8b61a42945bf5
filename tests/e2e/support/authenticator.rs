//! Somebody with an authenticator app: an implementation of TOTP that is not ours.

use latchgate::domain::time::Timestamp;
use serde_json::{Value, json};

use super::{program::PASSWORD, rawc::Response, request::Caller};

/// The app on somebody's phone.
#[derive(Debug, Clone)]
pub struct App(totp_rs::Totp);

impl App {
    /// Takes in what was shown.
    pub fn scan(uri: &str) -> Self {
        Self(totp_rs::Totp::from_url(uri).unwrap_or_else(|error| panic!("{error}: {uri}")))
    }

    /// The code that it shows then.
    pub fn code(&self, at: Timestamp) -> String {
        self.0.generate(at.seconds().unsigned_abs()).to_string()
    }

    /// The same so many steps later, or earlier.
    pub fn code_after(&self, at: Timestamp, steps: i64) -> String {
        self.code(Timestamp::from_micros(at.micros() + steps * 30_000_000))
    }

    /// Six digits that it shows at no time near this one.
    pub fn wrong_code(&self, at: Timestamp) -> String {
        let near: Vec<String> = (-3..=3).map(|steps| self.code_after(at, steps)).collect();
        let mut codes = (0..).map(|number| format!("{number:06}"));
        codes.find(|code| !near.contains(code)).expect("a code")
    }
}

/// Sends JSON.
pub fn send(caller: &Caller, path: &str, body: &Value) -> Response {
    caller.request("POST", path).header("Content-Type", "application/json").body(body.to_string()).send()
}

/// Turns the second factor of somebody on who has signed in at the admin port: their app and the recovery codes. `at` is
/// what the gateway's clock shows; the code of that step is used.
pub fn enrolled(caller: &Caller, at: Timestamp) -> (App, Vec<String>) {
    let begun = send(caller, "/v1/session/second-factor", &json!({ "password": PASSWORD }));
    assert_eq!(begun.status, 200, "{begun:?}");
    let app = App::scan(begun.json()["uri"].as_str().expect("an address"));
    let confirmed = send(caller, "/v1/session/second-factor/confirm", &json!({ "code": app.code(at) }));
    assert_eq!(confirmed.status, 200, "{confirmed:?}");
    let codes = serde_json::from_value(confirmed.json()["recovery_codes"].clone()).expect("codes");
    (app, codes)
}
