//! What lasts does not outlast its credential: once a second a worker looks at everything that it serves to somebody, and
//! at every connection of HTTP/1 that nobody uses, or whose client does not come to the end of a head.
//!
//! Most of it needs no more than a flag and two dates. Where the flag has fallen the record is read anew, because a change
//! of a name, or of somebody else in the organization, lets it fall as well; what is judged then is what was judged at the
//! beginning, state, network and permission. Where the store cannot be asked, nothing is cut off for it: it is asked again
//! a second later.

use std::{rc::Rc, sync::Arc};

use super::{
    turn::{LetIn, Turn},
    worker::Worker,
};
use crate::domain::{
    access::{self, Action, Denied, Method, Principal, Target},
    time::{Moment, Timestamp},
};

/// Looks at everything under way. Call it once a second, on the worker's thread.
pub fn look(worker: &Rc<Worker>) {
    let Moment { wall: now, uptime } = worker.gateway.clock.read();
    let patience = worker.serving().snapshot.limits.header_timeout;
    for turn in worker.turns.all() {
        turn.look();
        if turn.is_forgotten(uptime, patience) {
            turn.give_up("client_left");
            continue;
        }
        let fine = turn.is_fine(|let_in| {
            let caller = &let_in.caller;
            caller.is_live(caller.generation) && judge(&caller.principal, let_in, now).is_ok()
        });
        if !fine && turn.ask() {
            let worker = Rc::clone(worker);
            // Ends by itself: the store has its own bound of time.
            tokio::task::spawn_local(async move {
                look_closely(&worker, &turn).await;
                turn.asked();
            });
        }
    }
}

async fn look_closely(worker: &Worker, turn: &Turn) {
    let Some(before) = turn.let_in() else { return };
    let gateway = &worker.gateway;
    let rules = Arc::clone(&worker.serving().snapshot.rules);
    let lookup = &before.caller.lookup;
    let found = gateway.cache.find(lookup, &rules).await;
    let now = gateway.clock.now();
    // Another node may have seen a session since.
    let found = match found {
        Ok(Some(record)) if record.principal.is_idle(now) => gateway.cache.find_anew(lookup, &rules).await,
        found => found,
    };
    let verdict = match &found {
        Ok(Some(record)) if record.id == before.caller.id => judge(&record.principal, &before, now),
        Ok(_) if before.caller.principal.method == Method::Session => Err(Denied::SessionEnded),
        Ok(_) => Err(Denied::Revoked),
        // What is over by its own dates is over, whoever can be asked.
        Err(_) => judge(&before.caller.principal, &before, now),
    };
    match (verdict, found) {
        (Err(denied), _) => turn.cut_off(&before, denied.code()),
        (Ok(()), Ok(Some(record))) => turn.goes_on(&before, record),
        (Ok(()), _) => {}
    }
}

/// May they still? The path's objects are not asked about again: what a credential is bound to never changes.
fn judge(principal: &Principal, let_in: &LetIn, now: Timestamp) -> Result<(), Denied> {
    let action = Action { public: false, permission: let_in.permission, target: Target::default() };
    access::decide(Some(principal), &action, let_in.client, now).map(drop)
}
