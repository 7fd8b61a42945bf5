//! What proving a key costs, from what one worker knows by heart to a key that only bcrypt can prove.

#![expect(clippy::unwrap_used, reason = "a bench that cannot be set up has nothing to measure")]

mod support;

use std::{
    cell::RefCell,
    hint::black_box,
    net::IpAddr,
    pin::pin,
    rc::Rc,
    sync::{Arc, LazyLock},
    task::{Context, Poll, Waker},
};

use divan::Bencher;
use latchgate::{
    domain::key::{
        secret::KeyHash,
        token::{Digest, Token},
    },
    proxy::{
        admit::admit, authenticate::key::Failure, body::Inbound, gateway::Gateway, peer::Peer,
        record::Exchange, request::Request, turn::Turn, worker::Worker,
    },
    telemetry::access_log::AccessLog,
};
use support::{Ground, KEYS, Random};
use tokio::task::LocalSet;

/// That of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}

static GROUND: LazyLock<Ground> = LazyLock::new(|| Ground::new("127.0.0.1:9"));
/// Knows every key, proved.
static WARM: LazyLock<Arc<Gateway>> = LazyLock::new(|| {
    let gateway = Arc::new(forgetful());
    for key in &GROUND.keys {
        wait(prove(&gateway, &key.token)).unwrap();
    }
    gateway
});

/// The cost of a new key's hash where the configuration says nothing else.
const BCRYPT_COST: u32 = 10;
const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

async fn prove(gateway: &Gateway, token: &Token) -> Result<(), Failure> {
    let text = token.reveal();
    gateway.keys.prove(text, Digest::of(text), &gateway.snapshot().rules, CLIENT).await.map(|_| ())
}

/// A gateway that remembers nothing yet.
fn forgetful() -> Gateway {
    let gateway = wait(GROUND.gateway(AccessLog::off()));
    GROUND.follow(&gateway);
    gateway
}

/// Waits as a worker would, for what is done on another thread.
fn wait<T>(answer: impl Future<Output = T>) -> T {
    GROUND.control.block_on(answer)
}

/// The answer of something that has nothing to wait for.
fn at_once<T>(answer: impl Future<Output = T>) -> T {
    match pin!(answer).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => unreachable!("what is remembered needs no wait"),
    }
}

fn any_key(random: &RefCell<Random>) -> &'static Token {
    &GROUND.keys[random.borrow_mut().below(KEYS)].token
}

/// A worker that knows every key by heart.
fn with_worker(measure: impl FnOnce(&Rc<Worker>)) {
    LazyLock::force(&WARM);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let worker = Rc::new(support::worker(&WARM));
        let rules = Arc::clone(&WARM.snapshot().rules);
        for key in &GROUND.keys {
            let digest = Digest::of(key.token.reveal());
            let record = WARM.keys.prove(key.token.reveal(), digest, &rules, CLIENT).await.unwrap();
            worker.known.remember(digest, &record);
        }
        measure(&worker);
    });
}

/// Remembered by the worker: the digest and one read of a plain map. Nearly every request.
#[divan::bench(sample_count = 200, sample_size = 1000)]
fn a_known_by_the_worker(bencher: Bencher<'_, '_>) {
    let random = RefCell::new(Random::new());
    with_worker(|worker| {
        bencher.with_inputs(|| any_key(&random)).bench_local_values(|token| {
            let digest = Digest::of(black_box(token.reveal()));
            worker.known.find(&digest, 1).is_some()
        });
    });
}

/// The same in its place: credential taken out of the headers, proof, decision, what is counted about it.
#[divan::bench(sample_count = 200, sample_size = 1000)]
fn b_admitted(bencher: Bencher<'_, '_>) {
    let random = RefCell::new(Random::new());
    let peer = Rc::new(Peer::new((CLIENT, 1).into()));
    let turn = Rc::new(Turn::default());
    with_worker(|worker| {
        let snapshot = WARM.snapshot();
        let begin = || {
            let key = &GROUND.keys[random.borrow_mut().below(KEYS)];
            let request: Request<_> = http::Request::get(&key.path)
                .header("host", "gateway.example:8080")
                .header("accept", "*/*")
                .header("user-agent", "bench/1.0")
                .header("x-api-key", key.token.reveal())
                .body(Inbound::default())
                .unwrap()
                .into();
            let exchange = Exchange::begin(worker, &peer, &turn, &request);
            (request, exchange)
        };
        let run = |(request, exchange): &mut (Request<Inbound>, Box<Exchange>)| {
            let path = request.target.path().to_owned();
            let found = snapshot.routes.find(None, &http::Method::GET, &path, &request.fields).unwrap();
            at_once(admit(exchange, &found.action, found.route.credentials, request))
                .is_ok_and(|admitted| admitted.caller.is_some())
        };
        assert!(run(&mut begin()));
        bencher.with_inputs(begin).bench_local_refs(run);
    });
}

/// Remembered by the node, not by this worker: shape, two reads of the shared cache.
#[divan::bench(sample_count = 200, sample_size = 1000)]
fn c_known_by_the_node(bencher: Bencher<'_, '_>) {
    let random = RefCell::new(Random::new());
    let gateway = &*WARM;
    let rules = Arc::clone(&gateway.snapshot().rules);
    bencher.with_inputs(|| any_key(&random)).bench_local_values(|token| {
        let text = black_box(token.reveal());
        at_once(gateway.keys.prove(text, Digest::of(text), &rules, CLIENT)).is_ok()
    });
}

/// A key's first request after a start: look-up on the control runtime, two thread changes, MAC.
#[divan::bench(sample_count = 200, sample_size = 1)]
fn d_first_request_with_a_mac(bencher: Bencher<'_, '_>) {
    let gateway = forgetful();
    let keys = RefCell::new(GROUND.keys.iter().cycle());
    let next = || keys.borrow_mut().next().unwrap();
    bencher.with_inputs(next).bench_local_values(|key| wait(prove(&gateway, &key.token)).is_ok());
}

/// The same for a key whose row has no MAC under the present secret.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn e_first_request_with_bcrypt(bencher: Bencher<'_, '_>) {
    let token = GROUND.token();
    let hash = KeyHash::bcrypt(token.reveal(), BCRYPT_COST).unwrap();
    let key = GROUND.put(token, GROUND.proof(hash, None));
    bencher.with_inputs(forgetful).bench_local_refs(|gateway| wait(prove(gateway, &key.token)).is_ok());
}

/// Nobody's key, asked for the first time; what is spent on it, without the wait that hides how much that is.
#[divan::bench(sample_count = 200, sample_size = 1)]
fn f_unknown_prefix(bencher: Bencher<'_, '_>) {
    let gateway = forgetful();
    bencher.with_inputs(|| GROUND.token()).bench_local_refs(|token| wait(prove(&gateway, token)).is_err());
}

/// Nobody's key again: its prefix is remembered as unknown.
#[divan::bench(sample_count = 200, sample_size = 1000)]
fn g_unknown_prefix_again(bencher: Bencher<'_, '_>) {
    let gateway = forgetful();
    let token = GROUND.token();
    assert!(wait(prove(&gateway, &token)).is_err());
    bencher.bench_local(|| at_once(prove(&gateway, black_box(&token))).is_err());
}

/// The right prefix with a wrong secret, likewise without the wait.
#[divan::bench(sample_count = 200, sample_size = 1000)]
fn h_wrong_secret(bencher: Bencher<'_, '_>) {
    let unused = KeyHash::bcrypt("unused", 4).unwrap();
    let proof = GROUND.proof(unused, Some(GROUND.mac_key.mac("another")));
    let key = GROUND.put(GROUND.token(), proof);
    // Made behind the key: news of it would make the gateway forget it again.
    let gateway = forgetful();
    assert!(wait(prove(&gateway, &key.token)).is_err());
    bencher.bench_local(|| at_once(prove(&gateway, black_box(&key.token))).is_err());
}

/// Text of no key's shape.
#[divan::bench(sample_count = 200, sample_size = 1000)]
fn i_malformed(bencher: Bencher<'_, '_>) {
    let rules = Arc::clone(&WARM.snapshot().rules);
    bencher.bench_local(|| {
        let text = black_box("not-a-key-of-this-platform");
        at_once(WARM.keys.prove(text, Digest::of(text), &rules, CLIENT)).is_err()
    });
}

/// Either of them as the client sees it: as long as a bcrypt verification takes, and a quarter more.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn j_wrong_with_the_wait(bencher: Bencher<'_, '_>) {
    let gateway = forgetful();
    wait(gateway.keys.calibrate(BCRYPT_COST)).unwrap();
    bencher.with_inputs(|| GROUND.token()).bench_local_refs(|token| wait(prove(&gateway, token)).is_err());
}
