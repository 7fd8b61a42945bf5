//! Copies of a backend that are restarted one after the other, in good order and without, under load.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use toml::Value;

use crate::support::{
    copies::Replica,
    program::{Program, Site},
    rawc::Response,
    setup::Setup,
    wait,
    wrong::Wrong,
};

fn before(copies: &[Replica], more: &[(&str, Value)]) -> Program {
    let targets: Vec<_> = copies.iter().map(|copy| Value::from(copy.url())).collect();
    let setup = Setup::bare("offload")
        .upstream("app", &copies[0].url())
        .set("upstream.targets", targets)
        // Whoever refused a connection is tried again soon.
        .set("upstream.timeouts.idle", "2s")
        .route("name = \"public\"\npath = \"/public/{*rest}\"\nupstream = \"app\"\ncredentials = [\"none\"]");
    Site::new(more.iter().fold(setup, |setup, (name, value)| setup.set(name, value.clone()))).serve()
}

/// What became of a request.
struct Told {
    post: bool,
    begun: Instant,
    ended: Instant,
    answer: Response,
}

/// Clients that ask without a pause, half of them with GET and half with POST.
struct Load {
    stop: Arc<AtomicBool>,
    served: Arc<Mutex<HashMap<String, usize>>>,
    clients: Vec<JoinHandle<Vec<Told>>>,
}

impl Load {
    fn on(program: &Program) -> Self {
        let (door, stop) = (program.gateway(), Arc::new(AtomicBool::new(false)));
        let served = Arc::new(Mutex::new(HashMap::new()));
        let client = |number: usize| {
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            thread::spawn(move || {
                let (mut told, post) = (Vec::new(), number % 2 == 1);
                let target = if number < 4 { "/public/x" } else { "/public/slow" };
                while !stop.load(Ordering::SeqCst) {
                    let (caller, begun) = (door.anonymous(), Instant::now());
                    let answer = if post { caller.post(target, "body") } else { caller.get(target) };
                    if answer.status == 200 {
                        *served.lock().expect("counts").entry(answer.text()).or_insert(0) += 1;
                    }
                    told.push(Told { post, begun, ended: Instant::now(), answer });
                }
                told
            })
        };
        let clients = (0..6).map(client).collect();
        Self { stop, served, clients }
    }

    /// Waits until this copy takes part.
    fn reaches(&self, address: SocketAddr) {
        let count = || {
            let served = self.served.lock().expect("counts");
            served.get(&address.port().to_string()).copied().unwrap_or_default()
        };
        let before = count();
        wait::until("requests at a copy", || count() > before + 20);
    }

    fn end(self) -> Vec<Told> {
        self.stop.store(true, Ordering::SeqCst);
        self.clients.into_iter().flat_map(|client| client.join().expect("a client")).collect()
    }
}

/// Prints the figures; the GETs and the POSTs that failed.
fn failures(told: &[Told], what: &str) -> [Vec<String>; 2] {
    let failed = |post: bool| {
        let failed = told.iter().filter(|told| told.post == post && told.answer.status != 200);
        failed.map(|told| told.answer.verdict()).collect::<Vec<_>>()
    };
    let posts = told.iter().filter(|told| told.post).count();
    let failed = [failed(false), failed(true)];
    eprintln!(
        "{what}: {} GET, {} failed; {posts} POST, {} failed",
        told.len() - posts,
        failed[0].len(),
        failed[1].len()
    );
    assert!(told.len() > 500, "no load");
    failed
}

/// As an operator does it: each copy stops accepting, finishes what it has, closes idle connections, and comes back. No
/// request fails, but a POST that was already on the wire to a connection when the copy closed it (RFC 9110 section
/// 9.2.2 forbids to send it again): the copy counts those.
#[test]
fn copies_restarted_in_good_order_cost_nothing() {
    let mut copies = [(); 3].map(|()| Replica::start());
    let program = before(&copies, &[]);
    let load = Load::on(&program);
    let mut late = 0;
    for _ in 0..3 {
        for copy in &mut copies {
            load.reaches(copy.address);
            late += copy.stop();
            thread::sleep(Duration::from_millis(50));
            copy.restart();
        }
    }
    load.reaches(copies[0].address);
    let told = load.end();
    let [got, posted] = failures(&told, "9 restarts");
    eprintln!("{late} requests came when the copy had closed");
    assert!(got.is_empty(), "{got:?}");
    assert!(posted.len() <= late as usize, "{late} came late: {posted:?}");
}

/// Killed in the middle of everything: a GET goes to another copy, and fails only if a kill met it and its one retry as well:
/// another kill, or the same one, for the sockets of a dying process do not end all at once, and a new connection may still be
/// taken. A POST fails only if it was under way in such a moment.
#[test]
fn copies_killed_in_turn_cost_what_was_with_them() {
    let mut copies = [(); 2].map(|()| Replica::start());
    let program = before(&copies, &[("upstream.retries", 1.into())]);
    let load = Load::on(&program);
    let mut kills = Vec::new();
    for _ in 0..3 {
        for copy in &mut copies {
            load.reaches(copy.address);
            let begun = Instant::now();
            copy.kill9();
            kills.push((begun, Instant::now()));
            thread::sleep(Duration::from_millis(100));
            copy.restart();
        }
    }
    load.reaches(copies[0].address);
    let told = load.end();
    let [got, posted] = failures(&told, "6 kills");
    let failed = told.iter().filter(|told| told.answer.status != 200);
    let mut wrong = Wrong::default();
    for told in failed {
        let met = kills.iter().filter(|(from, to)| told.begun <= *to && told.ended >= *from).count();
        let since = |at: &Instant| at.saturating_duration_since(told.begun);
        let kills: Vec<_> = kills.iter().map(|(from, to)| (since(from), since(to))).collect();
        let lasted = told.ended.duration_since(told.begun);
        let story =
            format!("post {}, {} in {lasted:?}; kills then: {kills:?}", told.post, told.answer.verdict());
        if !told.post {
            eprintln!("a GET met {met} kills: {story}");
        }
        wrong.unless(met > 0, || story);
    }
    wrong.none("requests that no kill met");
    assert!(got.len() <= kills.len(), "{} GETs failed", got.len());
    assert!(posted.len() <= kills.len() * 3, "{} POSTs failed with three clients", posted.len());
}

/// One that is frozen takes connections and requests and answers none (I257): 504 in time, nothing is sent twice, it is
/// put out soon, and comes back when it goes on.
#[test]
fn a_frozen_copy_is_put_out_and_comes_back() {
    let copies = [(); 2].map(|()| Replica::start());
    let program = before(&copies, &[("upstream.timeouts.response", "500ms".into())]);
    let ask = || {
        let started = Instant::now();
        let verdict = program.anonymous().verdict("/public/x");
        assert!(started.elapsed() < Duration::from_secs(8), "{verdict} after {:?}", started.elapsed());
        verdict
    };
    for _ in 0..4 {
        assert_eq!(ask(), "200");
    }
    copies[0].freeze();
    let mut late = 0;
    wait::until("it is put out", || {
        let verdict = ask();
        late += usize::from(verdict == "504 upstream_timeout");
        assert!(verdict == "200" || verdict == "504 upstream_timeout", "{verdict}");
        program.everything_written().contains("is put out")
    });
    assert_eq!(late, 5, "so many in a row are enough");
    for _ in 0..10 {
        assert_eq!(ask(), "200");
    }
    copies[0].thaw();
    wait::until("it serves again", || {
        let answer = program.anonymous().get("/public/x");
        assert_eq!(answer.status, 200);
        answer.text() == copies[0].address.port().to_string()
    });
}
