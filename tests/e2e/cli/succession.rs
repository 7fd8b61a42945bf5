//! Another program in the gateway's place, sockets that somebody else opened, and what a service manager hears.

use std::{
    os::unix::net::UnixDatagram,
    process::Command,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use crate::support::{
    pebble::Plan,
    program::{Program, Site},
    rawc::Client,
    rawup::Upstream,
    setup::Setup,
    stop::StopAtEnd,
    wait,
};

/// A process that nobody else ends: the successor of one that a test started.
struct Orphan(u64);

impl Orphan {
    fn signal(&self, signal: &str) -> bool {
        let quiet = std::process::Stdio::null;
        let mut kill = Command::new("kill");
        kill.arg(format!("-{signal}")).arg(self.0.to_string()).stdout(quiet()).stderr(quiet());
        kill.status().expect("kill").success()
    }
}

impl Drop for Orphan {
    fn drop(&mut self) {
        self.signal("TERM");
        if !thread::panicking() {
            wait::until("the successor's end", || !self.signal("0"));
        }
    }
}

/// The successors that have said that they serve, oldest first.
fn successors(program: &Program) -> Vec<u64> {
    let lines = program.messages().into_iter();
    lines
        .filter(|line| line["msg"].as_str().is_some_and(|text| text.starts_with("this process serves")))
        .filter_map(|line| line["pid"].as_u64())
        .collect()
}

/// K297: the program is replaced twice under load, new connections and kept ones, requests with bodies among them. No
/// connection is refused or reset, no request fails, and what was under way in the old process is finished there.
#[test]
fn no_request_is_lost_when_the_program_is_replaced() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let key = site.key(&["--scopes", "scan:read,scan:trigger"]);
    let mut program = site.serve();
    let (stop, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let door = program.gateway();
    let count = || served.fetch_add(1, Ordering::Relaxed);
    let going_on = || !stop.load(Ordering::Relaxed);
    let on_new_connections = || {
        while going_on() {
            assert_eq!(door.key(&key.text).get("/api/x").status, 200);
            count();
        }
    };
    let on_kept_connections = || {
        let mut client = door.connect();
        while going_on() {
            let answer = door.key(&key.text).request("POST", "/api/x").body("a change").on(&mut client);
            assert_eq!(answer.status, 200);
            count();
            if answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
                client = door.connect();
            }
        }
    };
    let successor = thread::scope(|scope| {
        let _end = StopAtEnd(&stop);
        let askers = [
            scope.spawn(on_new_connections),
            scope.spawn(on_new_connections),
            scope.spawn(on_kept_connections),
            scope.spawn(on_kept_connections),
        ];
        let more = |than: usize| wait::until("more requests", || served.load(Ordering::Relaxed) > than + 200);
        more(0);
        program.signal("USR2");
        wait::until("the first successor", || successors(&program).len() == 1);
        assert!(program.ended().success(), "{}", program.everything_written());
        more(served.load(Ordering::Relaxed));

        let first = Orphan(successors(&program)[0]);
        assert!(first.signal("USR2"));
        wait::until("the second successor", || successors(&program).len() == 2);
        wait::until("the first successor's end", || !first.signal("0"));
        more(served.load(Ordering::Relaxed));

        stop.store(true, Ordering::Relaxed);
        for asker in askers {
            asker.join().expect("no request fails");
        }
        Orphan(successors(&program)[1])
    });
    assert_eq!(upstream.count(), served.load(Ordering::Relaxed), "each request once");
    drop(successor);
    assert!(Client::try_connect(door.0).is_none(), "nobody is left at the sockets");
}

/// In the middle of an order of a certificate: the successor serves at once, the old process waits for no authority, and
/// the certificate is ordered by whoever is left.
#[test]
fn an_order_of_a_certificate_is_taken_over() {
    let (plan, upstream) = (Plan::new(90 * 24 * 3600), Upstream::echo());
    let pebble = plan.start(false);
    let mut program = Site::new(plan.setup(Setup::offload(&upstream), &["a.example"])).serve();
    let address = program.gateway().0;
    wait::until("an order", || pebble.orders() == 1);
    program.signal("USR2");
    wait::until("a successor", || successors(&program).len() == 1);
    let _successor = Orphan(successors(&program)[0]);
    assert!(program.ended().success(), "{}", program.everything_written());
    wait::until("its own order", || pebble.orders() == 2);
    plan.tls.lead_to(address);
    let dialer = pebble.dialer();
    wait::until("the certificate", || dialer.try_connect(address, "a.example").is_ok());
    assert_eq!((pebble.orders(), pebble.accounts()), (2, 1));
}

/// The port for redirects goes along: its clients notice nothing either.
#[test]
fn the_port_for_redirects_is_handed_over() {
    let upstream = Upstream::echo();
    let mut program = Site::new(Setup::offload(&upstream).set("listen.redirect", "127.0.0.1:0")).serve();
    let door = program.listener("redirect");
    assert_eq!(door.anonymous().get("/public/x").status, 308);
    program.signal("USR2");
    wait::until("a successor", || {
        assert_eq!(door.anonymous().get("/public/x").status, 308);
        successors(&program).len() == 1
    });
    let successor = Orphan(successors(&program)[0]);
    assert!(program.ended().success());
    assert_eq!(door.anonymous().get("/public/x").status, 308);
    drop(successor);
    assert!(Client::try_connect(door.0).is_none(), "nobody is left at the socket");
}

/// A successor that cannot start - a wrong configuration by now - changes nothing but a line in the log, and the next
/// try works.
#[test]
fn a_successor_that_fails_changes_nothing() {
    let upstream = Upstream::echo();
    let setup = Setup::offload(&upstream);
    let mut program = Site::new(setup.clone()).serve();
    program.site.configure_text("colour = 1\n");
    program.signal("USR2");
    wait::until("an error line", || {
        program.messages().iter().any(|line| {
            line["level"] == "error"
                && line["msg"].as_str().is_some_and(|text| text.contains("this one goes on"))
        })
    });
    assert_eq!(program.anonymous().verdict("/public/x"), "200");

    program.site.configure(&setup);
    program.signal("USR2");
    wait::until("a successor", || successors(&program).len() == 1);
    let successor = Orphan(successors(&program)[0]);
    assert!(program.ended().success());
    assert_eq!(program.anonymous().verdict("/public/x"), "200");
    drop(successor);
}

/// Without sockets that were handed over nobody is succeeded, whatever the environment says: it may have come from
/// elsewhere, and what it names may be the shell that started the program.
#[test]
fn nobody_else_is_told_to_end() {
    const SCRIPT: &str = r#"trap : TERM; LATCHGATE_PREDECESSOR=$$ "$0" "$@" & echo "{\"msg\":\"child\",\"pid\":$!}" >&2; while :; do wait; done"#;
    let upstream = Upstream::echo();
    let program = Site::new(Setup::offload(&upstream)).serve_after(SCRIPT);
    let said = |text: &str| program.messages().into_iter().find(|line| line["msg"] == text);
    let child = said("child").and_then(|line| line["pid"].as_u64()).expect("its number");
    let child = Orphan(child);
    assert!(child.signal("HUP"));
    wait::until("what comes after", || said("configuration reloaded").is_some());
    assert!(successors(&program).is_empty(), "{}", program.everything_written());
    drop(child);
}

/// Socket activation as systemd does it: sockets by their names, or by address where the name says nothing; clients that
/// came before the program are served.
#[test]
fn sockets_that_were_opened_before_are_served() {
    const SCRIPT: &str = "
import os, socket, sys
def listen(port):
    s = socket.create_server(('127.0.0.1', port)); s.set_inheritable(True); return s
gateway, ops = listen(0), listen(int(sys.argv[1]))
client = socket.create_connection(gateway.getsockname())
client.sendall(b'GET /public/early HTTP/1.1\\r\\nHost: gw\\r\\n\\r\\n')
os.dup2(gateway.fileno(), 3); os.dup2(ops.fileno(), 4)
os.environ.update(LISTEN_FDS='2', LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES='gateway:latchgate.socket')
os.set_inheritable(client.fileno(), True)
os.execv(sys.argv[2], sys.argv[2:])
";
    let upstream = Upstream::echo();
    let free =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
    let site = Site::new(Setup::offload(&upstream).set("listen.ops", free.to_string().as_str()));
    std::fs::write(site.path("activate.py"), SCRIPT).expect("the script");
    let script = site.path("activate.py");
    let program =
        site.serve_after(&format!("exec python3 {} {} \"$0\" \"$@\"", script.display(), free.port()));
    assert_eq!(program.ops().0, free);
    upstream.wait_for(1);
    program.requests_logged("/public/early", 1);
    assert_eq!(program.anonymous().verdict("/public/x"), "200");
    let warned =
        program.messages().iter().any(|line| line["level"] == "warn" && line["listener"] == "gateway");
    assert!(!warned, "port 0 in the configuration is any port");
}

/// What a service manager hears: that it serves, under which process id; that it reads its configuration, and has;
/// that it is alive; that it ends.
#[test]
fn a_service_manager_is_told() {
    let upstream = Upstream::echo();
    let setup = Setup::offload(&upstream);
    let site = Site::new(setup.clone());
    let path = site.path("notify");
    let manager = UnixDatagram::bind(&path).expect("a socket");
    manager.set_read_timeout(Some(Duration::from_secs(60))).expect("patience");
    let heard = || {
        let mut text = [0; 1024];
        let length = loop {
            match manager.recv(&mut text) {
                // A machine that was stopped for a moment.
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                outcome => break outcome.expect("something is said"),
            }
        };
        String::from_utf8_lossy(&text[..length]).into_owned()
    };
    let until = |word: &str| loop {
        let text = heard();
        if text.lines().any(|line| line.starts_with(word)) {
            return text;
        }
    };
    let socket = path.to_str().expect("a plain path");
    let mut program = site.serve_with(&[("NOTIFY_SOCKET", socket), ("WATCHDOG_USEC", "4500000")]);
    assert!(until("READY=1").contains(&format!("MAINPID={}\n", program.pid())));
    until("WATCHDOG=1");
    until("WATCHDOG=1");

    program.sighup();
    assert!(until("RELOADING=1").contains("MONOTONIC_USEC="));
    until("READY=1");
    program.site.configure_text("colour = 1\n");
    program.sighup();
    until("RELOADING=1");
    until("READY=1");

    // A predecessor does not say that the service ends: it does not.
    program.site.configure(&setup);
    program.signal("USR2");
    let ready = until("READY=1");
    wait::until("a successor", || successors(&program).len() == 1);
    let successor = Orphan(successors(&program)[0]);
    assert!(ready.contains(&format!("MAINPID={}\n", successor.0)), "{ready}");
    assert!(program.ended().success());
    drop(successor);
    let mut rest = Vec::new();
    manager.set_nonblocking(true).expect("no more patience");
    let mut text = [0; 1024];
    while let Ok(length) = manager.recv(&mut text) {
        rest.push(String::from_utf8_lossy(&text[..length]).into_owned());
    }
    let stopping = rest.iter().filter(|text| text.contains("STOPPING=1")).count();
    assert_eq!(stopping, 1, "of the successor alone: {rest:?}");
}
