//! Backends that fail in every way, under load: what clients are answered is right or a documented error, nothing with a
//! body is sent twice, and nothing is left behind.
//!
//! It takes some seconds. For as long as it is to be believed:
//! `LATCHGATE_FAULT_SECONDS=600 cargo test --test e2e faults::upstreams -- --nocapture`.

mod client;
mod streams;
mod target;

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use self::{
    client::{Client, Connect, Stream, Tally, plain, secure},
    target::{Ledger, MOODS, Mood, Target, content, mix},
};
use crate::support::{
    http::{Body, Framing, Reader},
    program::{Program, Site},
    setup::Setup,
    tls::{Authority, Dialer},
    wait,
    wrong::Wrong,
};

/// For how long there are faults.
const SECONDS: &str = "LATCHGATE_FAULT_SECONDS";
/// Tells a copy of this test program that it is a backend, to be stopped by signals.
const BACKEND: &str = "E2E_FAULT_BACKEND";
/// Decides what happens when.
const SEED: u64 = 20_260_729;
const CLIENTS: u64 = 20;
const CONNECT: Duration = Duration::from_millis(500);
const RESPONSE: Duration = Duration::from_secs(1);
/// What a crowded machine may add.
const SLACK: Duration = Duration::from_secs(5);
/// A few milliseconds on a machine of one's own; this catches a canary that waits for somebody's timeout.
const CANARY: Duration = Duration::from_millis(1_500);

/// A backend in a process of its own. Not a test by itself: only a copy that [`targets_fail_in_every_way`] starts does
/// anything.
#[test]
fn a_backend_to_be_stopped() {
    if std::env::var(BACKEND).is_err() {
        return;
    }
    let ledger = Ledger::default();
    let target = Target::start(9, &ledger);
    println!("\nlistening {}", target.address());
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    for (id, count) in ledger.seen() {
        println!("\nseen {id} {count}");
    }
}

/// The backend that is stopped with SIGSTOP, as a process that swaps or is being debugged.
struct Other {
    child: Child,
    said: BufReader<std::process::ChildStdout>,
    address: SocketAddr,
}

impl Other {
    fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "faults::upstreams::a_backend_to_be_stopped", "--nocapture"])
            .env(BACKEND, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the backend");
        let mut said = BufReader::new(child.stdout.take().expect("stdout"));
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert!(said.read_line(&mut line).expect("its address") > 0, "the backend ended");
            if let Some(address) = line.trim().strip_prefix("listening ") {
                break address.parse().expect("an address");
            }
        };
        Self { child, said, address }
    }

    fn signal(&self, signal: &str) {
        let done = Command::new("kill").arg(format!("-{signal}")).arg(self.child.id().to_string()).status();
        assert!(done.expect("kill").success(), "the backend is gone");
    }

    /// What it has seen; it ends.
    fn seen(mut self) -> Vec<(u64, usize)> {
        drop(self.child.stdin.take());
        let lines = self.said.by_ref().lines().map_while(Result::ok);
        let seen = lines.filter_map(|line| {
            let (id, count) = line.strip_prefix("seen ")?.split_once(' ')?;
            Some((id.parse().ok()?, count.parse().ok()?))
        });
        seen.collect()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The backends that fail.
enum Backends {
    Http1 { targets: Vec<Target>, other: Other },
    Http2(Vec<streams::Target>),
}

impl Backends {
    /// What happens to them in this epoch; `None`: all are well again.
    fn fare(&self, epoch: Option<usize>) {
        match self {
            Self::Http1 { targets, other } => {
                for (at, target) in targets.iter().enumerate() {
                    target.fares(epoch.map_or(Mood::Well, |epoch| drawn(&MOODS, epoch, at)));
                }
                other.signal(if epoch.is_some_and(|epoch| epoch % 4 == 2) { "STOP" } else { "CONT" });
            }
            Self::Http2(targets) => {
                for (at, target) in targets.iter().enumerate() {
                    target
                        .fares(epoch.map_or(streams::Mood::Well, |epoch| drawn(&streams::MOODS, epoch, at)));
                }
            }
        }
    }
}

/// All moods in each round, in another order for each target.
fn drawn<M: Copy>(moods: &[M], epoch: usize, target: usize) -> M {
    let (round, place) = (epoch / moods.len(), epoch % moods.len());
    let mut order: Vec<usize> = (0..moods.len()).collect();
    order.sort_by_key(|mood| mix(SEED + (round * 64 + target * 8) as u64 + ((*mood as u64) << 32)));
    moods[order[place]]
}

/// The program before three backends that fail and one that does not.
struct Field {
    program: Program,
    key: String,
    backends: Backends,
    calm: Target,
    /// Where those that fail are.
    places: Vec<SocketAddr>,
    ledger: Ledger,
    /// None: in the clear.
    dialer: Option<Dialer>,
}

impl Field {
    fn http1() -> Self {
        let ledger = Ledger::default();
        let targets: Vec<Target> = (0..2).map(|number| Target::start(number, &ledger)).collect();
        let other = Other::start();
        let addresses: Vec<_> = targets.iter().map(Target::address).chain([other.address]).collect();
        let health: toml::Table = toml::toml! { path = "/healthz"
        interval = "500ms" };
        Self::open(&addresses, Backends::Http1 { targets, other }, ledger, None, |setup| {
            setup.set("upstream.health", health)
        })
    }

    fn http2() -> Self {
        let ledger = Ledger::default();
        let targets: Vec<_> = (0..3).map(|_| streams::Target::start(&ledger)).collect();
        let addresses: Vec<_> = targets.iter().map(|target| target.address).collect();
        let authority = Authority::new("Test CA");
        Self::open(&addresses, Backends::Http2(targets), ledger, Some(&authority), |setup| {
            setup.set("upstream.protocol", "h2").tls(1)
        })
    }

    fn open(
        addresses: &[SocketAddr],
        backends: Backends,
        ledger: Ledger,
        authority: Option<&Authority>,
        change: impl FnOnce(Setup) -> Setup,
    ) -> Self {
        let calm = Target::start(2, &Ledger::default());
        let urls: Vec<toml::Value> =
            addresses.iter().map(|address| format!("http://{address}").into()).collect();
        let timeouts: toml::Table = toml::toml! { connect = "500ms"
        response = "1s"
        idle = "2s" };
        let setup = Setup::bare("offload")
            .upstream("calm", &calm.url())
            .upstream("failing", "http://127.0.0.1:9")
            .set("upstream.targets", urls)
            .set("upstream.timeouts", timeouts)
            .set("upstream.retries", 1);
        let setup = change(setup)
            .route("name = \"public\"\npath = \"/public/{*rest}\"\nupstream = \"failing\"\ncredentials = [\"none\"]")
            .route("name = \"any\"\npath = \"/any/{*rest}\"\nupstream = \"failing\"")
            .route("name = \"calm\"\npath = \"/calm/{*rest}\"\nupstream = \"calm\"");
        let site = Site::new(setup);
        if let Some(authority) = authority {
            site.certify(0, &authority.server(&["gw"]));
        }
        let key = site.key(&["--scopes", "scan:read"]).text;
        let dialer = authority.map(Authority::config);
        let places = addresses.to_vec();
        Self { program: site.serve(), key, backends, calm, places, ledger, dialer }
    }

    fn connect(&self) -> (Box<dyn Stream>, TcpStream) {
        let gateway = self.program.gateway().0;
        match &self.dialer {
            None => plain(gateway),
            Some(dialer) => secure(gateway, dialer),
        }
    }

    /// Everybody asks until it is time. `meanwhile` runs beside them.
    fn load(&self, until: Instant, meanwhile: impl FnOnce()) -> Tally {
        let connect: &Connect<'_> = &|| self.connect();
        let bound = 2 * (2 * CONNECT + RESPONSE) + SLACK;
        let gateway = self.program.gateway().0;
        thread::scope(|scope| {
            let over_tls = self.dialer.iter().flat_map(|dialer| (0..2).map(move |number| (dialer, number)));
            let mut clients: Vec<_> = over_tls
                .map(|(dialer, number)| {
                    scope.spawn(move || {
                        streams::ask(gateway, dialer, "/public", SEED + 100 * number, bound, until)
                    })
                })
                .collect();
            clients.extend((clients.len() as u64 * 4..CLIENTS).map(|number| {
                let mut client = Client::new(connect, bound, SEED + number);
                client.tunnels = self.dialer.is_none();
                let path = if number % 4 == 0 { "/any" } else { "/public" };
                if number % 4 == 0 {
                    client.fields = format!("X-API-Key: {}\r\n", self.key);
                }
                scope.spawn(move || client.run(path, until))
            }));
            if self.dialer.is_some() {
                scope.spawn(move || abandon_handshakes(gateway, until));
            }
            meanwhile();
            let mut all = Tally::default();
            for client in clients {
                all.add(client.join().expect("a client"));
            }
            all
        })
    }

    /// What happens to the backends, and when.
    fn direct(&self, until: Instant, epoch: Duration) {
        for number in 0.. {
            if Instant::now() >= until {
                break;
            }
            self.backends.fare(Some(number));
            thread::sleep(epoch);
        }
        self.backends.fare(None);
    }

    /// KiB of memory, once a second.
    fn weigh(&self, until: Instant) -> Vec<u64> {
        let mut weights = Vec::new();
        while Instant::now() < until {
            thread::sleep(Duration::from_secs(1));
            weights.push(self.program.memory_kib("VmRSS"));
        }
        weights
    }

    /// One request after the other to the backend that is well; how long each took.
    fn canary(&self, until: Instant) -> Vec<Duration> {
        let mut reader = Reader::new(self.connect().0);
        // Its number is never that of an answer after which the backend closes.
        let request = format!("GET /calm/17 HTTP/1.1\r\nHost: gw\r\nX-API-Key: {}\r\n\r\n", self.key);
        let mut took = Vec::new();
        while Instant::now() < until {
            let began = Instant::now();
            reader.stream.write_all(request.as_bytes()).expect("the canary is heard");
            let head = reader.head().expect("the canary is answered").expect("the canary is kept");
            let (mut body, framing) = (Body::default(), Framing::of(&head.fields, Framing::None));
            reader.body(framing.expect("a body"), &mut body).expect("a whole answer");
            took.push(began.elapsed());
            assert_eq!((head.fields.one("x-tag"), body.kept), (Some("17"), content(17)), "{}", head.first);
            reader.record.clear();
            thread::sleep(Duration::from_millis(20));
        }
        took.sort();
        took
    }

    /// Descriptors and KiB of memory, once everything has come to rest.
    fn rest(&self) -> (usize, u64) {
        let open = || self.program.metric("latchgate_connections", &[("listener", "gateway")]);
        wait::until("no connection", || open() == 0.0);
        let in_flight = || self.program.metric("latchgate_upstream_requests_in_flight", &[]);
        wait::until("nothing in flight", || in_flight() == 0.0);
        wait::until("no idle connection to a backend", || connected(&self.places) == 0);
        (self.program.descriptors(), self.program.memory_kib("VmRSS"))
    }

    /// How often each request was seen by a backend; the one that is a process ends.
    fn seen(self) -> HashMap<u64, usize> {
        drop(self.calm);
        let mut seen = self.ledger.seen();
        if let Backends::Http1 { other, .. } = self.backends {
            for (id, count) in other.seen() {
                *seen.entry(id).or_default() += count;
            }
        }
        seen
    }
}

/// How many connections to these places stand.
fn connected(places: &[SocketAddr]) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the kernel's table of connections");
    let leads = |line: &str| {
        let mut words = line.split_ascii_whitespace().skip(2);
        let (far, state) = (words.next()?, words.next()?);
        let port = u16::from_str_radix(far.rsplit(':').next()?, 16).ok()?;
        Some(state == "01" && places.iter().any(|place| place.port() == port))
    };
    table.lines().filter(|line| leads(line) == Some(true)).count()
}

/// Some say half a word of a handshake and leave, in peace or not.
fn abandon_handshakes(gateway: SocketAddr, until: Instant) {
    for number in 0_u64.. {
        if Instant::now() >= until {
            return;
        }
        let Ok(mut stream) = TcpStream::connect(gateway) else { continue };
        let _ =
            stream.write_all(&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..3 + (number % 9) as usize]);
        thread::sleep(Duration::from_millis(30));
        if number % 2 == 0 {
            let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        }
    }
}

/// Targets are killed, frozen, made slow, answer garbage, break off and answer too early, under load: each answer is
/// right, visibly broken or a documented error in time; no request with a body is seen twice; the backend beside them
/// is served as ever; afterwards nothing is left (SECURITY 3.4 O1, O3, O5, O6; 6.2).
#[test]
fn targets_fail_in_every_way() {
    let (report, wrong) = hold(Field::http1());
    println!("{report}");
    wrong.none("backends of HTTP/1");
}

/// The same with backends that speak HTTP/2, and clients that speak either HTTP, all of them inside TLS.
#[test]
fn targets_of_http2_fail_in_every_way() {
    let (report, wrong) = hold(Field::http2());
    println!("{report}");
    wrong.none("backends of HTTP/2");
}

fn hold(field: Field) -> (String, Wrong) {
    let seconds = std::env::var(SECONDS).ok().and_then(|text| text.parse().ok()).unwrap_or(8);
    let span = Duration::from_secs(seconds);
    let epoch = (span / 16).clamp(Duration::from_millis(500), Duration::from_secs(3));
    let warm = (span / 8).min(Duration::from_secs(20));
    let mut tally = field.load(Instant::now() + warm, || {});
    tally.wrong.extend(unless_all_well(&tally));
    let before = field.rest();

    let until = Instant::now() + span;
    let (latencies, weights) = thread::scope(|scope| {
        let (canary, weighing) = (scope.spawn(|| field.canary(until)), scope.spawn(|| field.weigh(until)));
        tally.add(field.load(until, || field.direct(until, epoch)));
        (canary.join().expect("the canary"), weighing.join().expect("the weights"))
    });
    let after = field.rest();
    // What is touched for the first time, and kept, comes in the beginning; what leaks goes on growing. An allocator does
    // not give everything back, so the peaks are compared.
    let quarters: Vec<u64> = weights
        .chunks(weights.len().div_ceil(4))
        .map(|some| some.iter().copied().max().unwrap_or(0))
        .collect();
    let (early, late) = (quarters[1], quarters[quarters.len() - 1].max(after.1));
    let enough = early + early / 20 + 8192;
    let (p50, p99) = (latencies[latencies.len() / 2], latencies[latencies.len() * 99 / 100]);
    logged(&field.program, &mut tally);
    let seen = field.seen();
    let seen_of = |ids: &[u64], most: usize| {
        let of = |id: &&u64| seen.get(id).is_some_and(|count| *count > most);
        ids.iter().filter(of).count()
    };
    let (arrived, twice) = (seen_of(&tally.with_body, 0), seen_of(&tally.with_body, 1));

    let mut wrong = Wrong::default();
    let total = tally.asked.len() + tally.perhaps.len();
    let report = format!(
        "{span:?}, seed {SEED}: {total} requests, {:#?}\nlongest wait for a head {:?}; canary {} p50 {p50:?} p99 {p99:?}\n\
         descriptors {} -> {}, memory {} -> {} KiB, peaks of the quarters {quarters:?}\nwith a body: {} sent, {arrived} seen, {twice} seen twice",
        tally.answers,
        tally.longest,
        latencies.len(),
        before.0,
        after.0,
        before.1,
        after.1,
        tally.with_body.len(),
    );
    for id in tally.with_body.iter().filter(|id| seen.get(id).is_some_and(|count| *count > 1)) {
        wrong.unless(false, || format!("{id} was sent twice, with {} bytes", content(!id).len()));
    }
    wrong.unless(seen.values().all(|count| *count < 3), || "more than two attempts".to_owned());
    wrong.unless(p99 < CANARY, || format!("the canary's p99 is {p99:?}"));
    wrong.unless(after.0 <= before.0 + before.0 / 10, || format!("descriptors: {before:?}, {after:?}"));
    wrong.unless(late <= enough, || format!("memory: {before:?}, {quarters:?}, {after:?}"));
    for one in tally.wrong {
        wrong.unless(false, || one);
    }
    (report, wrong)
}

/// While all targets are well all answers are.
fn unless_all_well(tally: &Tally) -> Option<String> {
    let fine = |kind: &str| matches!(kind, "200 whole" | "101 whole" | "left");
    (!tally.answers.keys().all(|kind| fine(kind))).then(|| format!("without any fault: {:?}", tally.answers))
}

/// Each request has its one line, and the counters know of as many.
fn logged(program: &Program, tally: &mut Tally) {
    let lines = wait::for_some("a line for each request", || {
        let mut lines: HashMap<u64, usize> = HashMap::new();
        for line in program.log() {
            let id = line["path"].as_str().and_then(|path| path.rsplit('/').next()?.parse().ok());
            if let Some(id) = id.filter(|_| line["msg"] == "request" && line["route"] != "calm") {
                *lines.entry(id).or_default() += 1;
            }
        }
        (lines.len() >= tally.asked.len()).then_some(lines)
    });
    for id in &tally.asked {
        let count = lines.get(id).copied().unwrap_or(0);
        if count != 1 {
            tally.wrong.push(format!("{id} has {count} lines"));
        }
    }
    for id in tally.perhaps.iter().filter(|id| lines.get(id).is_some_and(|count| *count > 1)) {
        tally.wrong.push(format!("{id} has two lines"));
    }
    let counted: f64 = ["public", "any"]
        .iter()
        .map(|route| program.metric("latchgate_requests_total", &[("route", route)]))
        .sum();
    let written = lines.values().sum::<usize>();
    if (counted - written as f64).abs() > 0.5 {
        tally.wrong.push(format!("{written} lines, but {counted} requests were counted"));
    }
}
