//! Two changes at the same moment: whichever comes first, what is left is one of the two orders, and whole.

mod admins;
mod keys;

use std::{sync::Barrier, thread, time::Duration};

use latchgate::control::service::{Caller as By, NewUser, VouchedFor};
use serde_json::Value;

use crate::support::{
    gateway::Gateway,
    program::ADMIN,
    rawc::Response,
    request::{Caller, Request},
};

/// A change: a method, a path, a body.
type Change = (&'static str, String, Value);

fn request(caller: &Caller, change: &Change) -> Request {
    let (method, path, body) = change;
    let request = caller.request(method, path);
    if body.is_null() {
        return request;
    }
    request.header("Content-Type", "application/json").body(body.to_string())
}

fn ask(caller: &Caller, method: &'static str, path: &str, body: Value) -> Response {
    request(caller, &(method, path.to_owned(), body)).send()
}

/// Sends both at the same moment, on connections that stand already.
fn at_once(gateway: &Gateway, one: &Request, other: &Request) -> [Response; 2] {
    staggered(gateway, one, other, Duration::ZERO)
}

/// The same, the second one so much later: what costs a hash would else always come second.
fn staggered(gateway: &Gateway, one: &Request, other: &Request, later: Duration) -> [Response; 2] {
    let (admin, start) = (gateway.admin(), Barrier::new(2));
    let send = |request: &Request, later| {
        let mut client = admin.connect();
        start.wait();
        thread::sleep(later);
        request.on(&mut client)
    };
    thread::scope(|scope| {
        let one = scope.spawn(|| send(one, Duration::ZERO));
        let other = send(other, later);
        [one.join().expect("an answer"), other]
    })
}

/// `name@example.com`, signed in by another's word: a password would cost a hash each time.
fn person(gateway: &Gateway, name: &str, role: Option<&str>) -> (String, Caller) {
    let email = format!("{name}@example.com");
    let new = NewUser {
        org: Some("default".into()),
        email: email.clone(),
        name: name.into(),
        role: role.map(str::to_owned),
        ..NewUser::default()
    };
    let id = gateway.control(async |control| {
        control.create_user(&By::Operator, &new).await.expect("a user").id.to_string()
    });
    (id, signed_in(gateway, &email))
}

fn signed_in(gateway: &Gateway, email: &str) -> Caller {
    let vouched = VouchedFor { email: email.to_owned(), by: "test".into(), replaces: None };
    let session =
        gateway.control(async |control| control.sign_in_vouched(&vouched, None).await.expect("a session"));
    gateway.admin().bearer(session.token.reveal())
}

/// Takes these people away, as the operator may.
fn remove(gateway: &Gateway, names: &[&str]) {
    gateway.control(async |control| {
        for name in names {
            // Whoever was removed in the race is gone already.
            let _ = control.remove_user(&By::Operator, &format!("{name}@example.com")).await;
        }
    });
}

/// The administrator that `init` made would be one too many.
fn without_the_first(gateway: &Gateway) {
    gateway.control(async |control| {
        control.remove_user(&By::Operator, ADMIN).await.expect("removed");
    });
}

fn whole_trail(gateway: &Gateway) {
    let verified = gateway.site.plain(&["audit", "verify"], "");
    assert_eq!(verified.code, 0, "{verified:?}");
}

fn worked(answer: &Response) -> bool {
    answer.status < 300
}

/// Refused for what is no longer theirs: their session, their right, what they named.
fn refused(answer: &Response) -> bool {
    matches!(answer.status, 401 | 403 | 404 | 409)
}
