//! The gateway beside Debian's nginx, before recording upstreams of the same kind: bent and hostile requests go to both.
//! What the upstream understood is the same, or the gateway refused.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use super::house::House;
use crate::support::{
    bend::{Numbers, SEEDS, bend},
    rawc::Client,
    rawup::{Request, Upstream},
    tools::Backend,
    wrong::Wrong,
};

const LANES: u64 = 4;
const ROUNDS: usize = 350;

/// More to bend than framing: targets, names and values that programs read differently.
const MORE: [&str; 8] = [
    "GET /api/a%2520b/c;v=1?x=%2F&y=#z HTTP/1.1\r\n{HEAD}Connection: close\r\n\r\n",
    "GET /api/%41%7e/../e?a=/../b HTTP/1.1\r\n{HEAD}Connection: close\r\nX_A: 1\r\nX.A: 2\r\nX-A: 3\r\n\r\n",
    "POST /api/e HTTP/1.1\r\n{HEAD}Connection: close, x-b\r\nX-B: 1\r\nX-C:  two words \r\nX-C: again\r\nContent-Length: 5\r\n\r\nhello",
    "GET http://gw/api/e?q HTTP/1.1\r\n{HEAD}Connection: close\r\nCookie: a=b; c=d\r\nCookie: e=f\r\n\r\n",
    "PUT /api/e/ HTTP/1.1\r\n{HEAD}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\nA;n=\"v\"\r\n0123456789\r\n00\r\n\r\n",
    "OPTIONS /api/* HTTP/1.1\r\n{HEAD}Connection: close\r\nMax-Forwards: 3\r\nAccept: */*\r\nRange: bytes=0-1\r\n\r\n",
    "DELETE /api/e HTTP/1.1\r\n{HEAD}Connection: close\r\nContent-Length: 3\r\nX-E: \"x\"\r\n\r\nabc",
    "GET /api/\u{e9}/%c3%a9?\u{e9} HTTP/1.1\r\n{HEAD}Connection: close\r\nX-D: caf\u{e9}\r\n\r\n",
];

#[test]
fn what_the_upstream_understands_is_what_it_understands_behind_nginx() {
    let compared: usize = thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES).map(|lane| scope.spawn(move || compare(lane))).collect();
        lanes.into_iter().map(|lane| lane.join().expect("a lane")).sum()
    });
    assert!(compared > 200, "only {compared} requests reached both upstreams: nothing was compared");
}

/// How many requests reached both.
fn compare(lane: u64) -> usize {
    let house = House::new();
    let witness = Upstream::echo();
    let nginx = Backend::nginx_before(witness.address());
    let mut numbers = Numbers(0x2545_f491_4f6c_dd1d ^ (lane << 17));
    let (mut wrong, mut compared) = (Wrong::default(), 0);
    for round in 0..ROUNDS {
        let all = SEEDS.len() + MORE.len();
        let seed = *SEEDS.iter().chain(&MORE).nth(numbers.below(all)).expect("a seed");
        // What a slow machine delivers late is known by it.
        let tag = (lane * 1_000_000 + round as u64).to_string();
        let head = format!("Host: gw\r\nX-API-Key: {{KEY}}\r\nX-Round: {tag}\r\n");
        let straight = seed.replace("{HEAD}", &head).into_bytes();
        // Each lane sends every seed as it is, too. The key is written in last: a bent one would only be refused.
        let bent = if round < all { straight } else { bend(straight, &mut numbers) };
        let bytes = house.bytes(&bent);
        // White space around a value may be a tab (RFC 9110 section 5.6.3); to nginx it is a part of it.
        if bytes.contains(&b'\t') {
            continue;
        }
        house.upstream.forget();
        witness.forget();
        // Open until both have been asked about: a client that leaves takes its request with it.
        let clients = [house.program.gateway().0, nginx.address].map(|address| send(address, &bytes));
        let named = named_by_connection(&bytes);
        let seen = |upstream| understood(upstream, &tag, &named);
        compared += seen(&house.upstream).len();
        let given_up = Instant::now() + PATIENCE;
        while !is_within(&seen(&house.upstream), &seen(&witness)) && Instant::now() < given_up {
            thread::sleep(Duration::from_millis(5));
        }
        let (ours, theirs) = (seen(&house.upstream), seen(&witness));
        let same = is_within(&ours, &theirs);
        drop(clients);
        wrong.unless(same, || {
            format!("{:?}\n  gateway: {ours:?}\n  nginx:   {theirs:?}", String::from_utf8_lossy(&bytes))
        });
    }
    wrong.none("a request understood otherwise than behind nginx");
    compared
}

/// Sends, and reads until the connection has ended or nothing more comes.
fn send(address: SocketAddr, bytes: &[u8]) -> Client {
    let mut client = Client::connect(address);
    if client.patience(QUIET).try_send(bytes).is_ok() {
        client.until_closed();
    }
    client
}

/// For requests whose end never comes.
const QUIET: Duration = Duration::from_millis(60);
const PATIENCE: Duration = Duration::from_secs(5);

/// A request as its upstream took it, apart from what proxies add, remove and write in their own way.
#[derive(Debug, PartialEq, Eq)]
struct Understood {
    method: String,
    target: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

/// The complete requests of this round.
fn understood(upstream: &Upstream, tag: &str, named: &BTreeSet<String>) -> Vec<Understood> {
    // Methods are tokens (RFC 9110 section 9.1); nginx knows those of capitals alone.
    let known = |method: &str| method.chars().all(|c| c.is_ascii_uppercase() || "-_".contains(c));
    let of_this = |request: &Request| {
        request.complete && known(&request.method) && request.fields.all("x-round").contains(&tag)
    };
    upstream.requests().into_iter().filter(of_this).map(|request| Understood::of(request, named)).collect()
}

/// Whether one is the other, in the same order, without what was refused.
fn is_within(ours: &[Understood], theirs: &[Understood]) -> bool {
    let mut rest = theirs.iter();
    ours.iter().all(|ours| rest.any(|theirs| ours == theirs))
}

/// Names of fields that end at a proxy because `Connection` says so (RFC 9110 section 7.6.1); nginx passes them on.
fn named_by_connection(bytes: &[u8]) -> BTreeSet<String> {
    let text: String = bytes.iter().map(|byte| char::from(*byte).to_ascii_lowercase()).collect();
    let values = text.split('\n').filter_map(|line| line.strip_prefix("connection:"));
    values.flat_map(|value| value.split(',')).map(|name| name.trim().to_owned()).collect()
}

impl Understood {
    fn of(request: Request, named: &BTreeSet<String>) -> Self {
        let (path, query) = match request.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (request.target.as_str(), None),
        };
        let mut fields: Vec<(String, String)> = request
            .fields
            .0
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
            .filter(|(name, _)| !named.contains(name) && !is_a_proxys(name))
            .collect();
        fields.sort();
        Self {
            method: request.method,
            target: [&*plain(path), query.unwrap_or("-")].join("?"),
            fields,
            body: request.body.kept,
        }
    }
}

/// Fields that end at a proxy, that it writes, or that are the gateway's to judge and remove.
fn is_a_proxys(name: &str) -> bool {
    const OTHERS: [&str; 18] = [
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "transfer-encoding",
        "content-length",
        "host",
        "via",
        "forwarded",
        "x-request-id",
        "x-api-key",
        "max-forwards",
        "http2-settings",
        "proxy-authorization",
        "cookie",
    ];
    let folded: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let ours = [
        "x-tenant-",
        "x-team-",
        "x-project-",
        "x-user-",
        "x-role",
        "x-scope",
        "x-credential-",
        "x-auth-",
        "x-forwarded-",
        "x-latchgate-",
    ];
    OTHERS.contains(&folded.as_str()) || ours.iter().any(|prefix| folded.starts_with(prefix))
}

/// A path with its unreserved characters decoded: `%41` is `A` (RFC 3986 section 6.2.2.2), the gateway writes it so.
fn plain(path: &str) -> String {
    let mut plain = String::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        plain.push_str(before);
        let code = after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                plain.push(char::from(byte));
            }
            _ => plain.push_str(&format!("%{}", after.get(..2).unwrap_or_default().to_ascii_uppercase())),
        }
        rest = after.get(2..).unwrap_or_default();
    }
    plain + rest
}
