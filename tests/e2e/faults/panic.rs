//! A mistake in the program itself: it takes one connection or one stream with it, and nobody else.

use std::{num::NonZeroUsize, rc::Rc, sync::Arc, thread};

use latchgate::{
    proxy::{
        handover::{Answered, Handed, Handover},
        server::{self, Phase},
        upstream,
        worker::Worker,
    },
    telemetry::access_log::AccessLog,
};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc, oneshot, watch},
    task::LocalSet,
};

use crate::support::{
    frames::Wire,
    rawc::{Client, End},
};

#[expect(dead_code, clippy::unwrap_used, reason = "the benches' own; a part of it is needed here")]
#[path = "../../../benches/support/mod.rs"]
mod ground;

/// A control plane with a mistake in it.
struct Mistaken;

impl Handover for Mistaken {
    fn begin(&self, _: Handed) -> Option<oneshot::Receiver<Answered>> {
        panic!("a mistake")
    }
}

/// I268: a handler that panics fails its own request; the process, the worker and other connections go on, and so do the
/// other streams of its connection. It is counted.
#[test]
fn a_panic_takes_one_request_with_it() {
    let ground = ground::Ground::new("127.0.0.1:9");
    let gateway = Arc::new(ground.control.block_on(ground.gateway(AccessLog::off())));
    let (say, phase) = watch::channel(Phase::Running);
    let (tell, address) = std::sync::mpsc::channel();
    let its_gateway = Arc::clone(&gateway);
    let worker = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        LocalSet::new().block_on(&runtime, async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            tell.send(listener.local_addr().expect("its address")).expect("the test waits");
            let place = upstream::Worker { index: 0, of: NonZeroUsize::MIN };
            let (usage, _uses) = mpsc::unbounded_channel();
            let worker = Worker::new(its_gateway, place, usage, Arc::new(Mistaken), Arc::default(), 7);
            server::serve(listener, Rc::new(worker), None, Arc::new(Semaphore::new(100)), phase).await;
        });
    });
    let address = address.recv().expect("an address");
    let ask = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut other = Client::connect(address);
    assert_eq!(other.send(ask("/nowhere")).receive().status, 404);
    for round in 1..=3 {
        let mut client = Client::connect(address);
        assert_eq!(client.send(ask("/nowhere")).receive().status, 404);
        client.send(ask("/.latchgate/sign-in"));
        let (end, said) = client.until_closed();
        assert!(end != End::Open && said.is_empty(), "{end:?}: {said:?}");
        assert_eq!(other.send(ask("/nowhere")).receive().status, 404, "others go on");
        crate::support::wait::until("the panic to be counted", || gateway.metrics.panics.total() == round);
    }
    let mut wire = Wire::connect(address);
    let fields = |path: &'static str| {
        [(":method", "GET"), (":scheme", "http"), (":authority", "localhost"), (":path", path)]
    };
    wire.get(1, &fields("/.latchgate/sign-in")).get(3, &fields("/nowhere"));
    assert_eq!(wire.fate(3).word(), "404 not_found", "another stream goes on");
    wire.get(5, &fields("/.latchgate/sign-in"));
    assert!(wire.fate(5).word().starts_with("reset"), "{:?}", wire.seen);
    wire.get(7, &fields("/nowhere"));
    assert_eq!(wire.fate(7).word(), "404 not_found");
    crate::support::wait::until("both to be counted", || gateway.metrics.panics.total() == 5);
    drop((wire, other));
    say.send(Phase::Stopped).expect("the worker hears it");
    worker.join().expect("the worker's thread goes on to its end");
}
