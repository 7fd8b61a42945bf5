//! The four platforms' own documents, each retold by one test in the order in which its reader would follow it.

mod cortex;
mod offload;
mod reducto;
mod trustedoss;

use std::fs;

use serde_json::Value;

use crate::support::{gateway::Gateway, rawc::Response, request::Caller, smtp::token_in, wait};

/// Asks with JSON; `Null` sends no body.
fn ask(caller: &Caller, method: &str, path: &str, body: &Value) -> Response {
    let request = caller.request(method, path);
    if body.is_null() {
        return request.send();
    }
    request.header("Content-Type", "application/json").body(body.to_string()).send()
}

/// The object that a successful answer carries.
fn done(answer: &Response) -> Value {
    assert!((200..300).contains(&answer.status), "{answer:?}");
    answer.json()
}

fn text(object: &Value, name: &str) -> String {
    object[name].as_str().unwrap_or_else(|| panic!("no {name} in {object}")).to_owned()
}

/// Somebody at the admin port, signed in.
fn person(gateway: &Gateway, email: &str) -> Caller {
    gateway.session(email).at(gateway.admin())
}

/// The token in the link of the one mail that was sent to this address, and the mail.
fn mail_to(gateway: &Gateway, email: &str) -> (String, String) {
    wait::for_some(&format!("a mail to {email}"), || {
        fs::read_dir(gateway.site.path("outbox")).ok()?.find_map(|file| {
            let mail = fs::read_to_string(file.ok()?.path()).ok()?;
            mail.contains(&format!("To: {email}\r\n")).then(|| (token_in(&mail), mail))
        })
    })
}
