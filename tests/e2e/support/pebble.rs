//! A real authority that certificates are ordered from: Pebble, by the makers of Let's Encrypt, and a name server that
//! leads every name to this machine.

use std::{
    fs,
    io::{self, BufRead as _, BufReader},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use serde_json::json;
use tempfile::TempDir;

use super::{
    setup::Setup,
    tls::{Authority, Dialer, believing},
    wait,
};

/// The authority; killed when dropped.
pub struct Pebble {
    child: Child,
    plan: Arc<Plan>,
    said: Arc<Mutex<Vec<String>>>,
}

/// What an authority is started with, also a second time.
pub struct Plan {
    folder: TempDir,
    /// Who vouches for the server itself.
    pub own: Authority,
    directory: SocketAddr,
    management: SocketAddr,
    /// In seconds.
    validity: u64,
    /// Where it looks for names on port 443.
    pub tls: Gate,
    /// Where it looks for tokens on port 80.
    pub http: Gate,
    names: SocketAddr,
}

/// The key of the customer `kid-1`.
pub const CUSTOMER: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";

impl Plan {
    /// An authority whose certificates last so long, in seconds. It has its port, and nobody listens there yet.
    pub fn new(validity: u64) -> Arc<Self> {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let own = Authority::new("The authority's authority");
        let pair = own.server(&["localhost", "127.0.0.1"]);
        fs::write(folder.path().join("own.pem"), &pair.cert).expect("its certificate");
        fs::write(folder.path().join("own.key"), &pair.key).expect("its key");
        let [directory, management] = ports();
        let (tls, http) = (Gate::new(), Gate::new());
        Arc::new(Self { folder, own, directory, management, validity, tls, http, names: name_server() })
    }

    /// As it is named in a configuration, with the file that says whom to believe there.
    pub fn setup(&self, setup: Setup, domains: &[&str]) -> Setup {
        fs::write(self.folder.path().join("ca.pem"), &self.own.pem).expect("its authority");
        let ca = self.folder.path().join("ca.pem").to_str().expect("a plain path").to_owned();
        setup
            .set("tls.acme.domains", domains.to_vec())
            .set("tls.acme.directory", format!("https://localhost:{}/dir", self.directory.port()))
            .set("tls.acme.directory_ca", ca)
            .set("tls.acme.contact", vec!["mailto:ops@example.com"])
            .set("tls.acme.accept_terms", true)
    }

    /// Starts it; what it knew in an earlier life is forgotten. `customers`: it takes nobody else.
    pub fn start(self: &Arc<Self>, customers: bool) -> Pebble {
        let path = |name: &str| self.folder.path().join(name);
        let configuration = json!({ "pebble": {
            "listenAddress": self.directory, "managementListenAddress": self.management,
            "certificate": path("own.pem"), "privateKey": path("own.key"),
            "httpPort": self.http.address.port(), "tlsPort": self.tls.address.port(), "ocspResponderURL": "",
            "externalAccountBindingRequired": customers, "externalAccountMACKeys": { "kid-1": CUSTOMER },
            "certificateValidityPeriod": self.validity,
        } });
        fs::write(path("pebble.json"), configuration.to_string()).expect("its configuration");
        let mut child = Command::new("pebble")
            .arg("-config")
            .arg(path("pebble.json"))
            .args(["-dnsserver", &self.names.to_string()])
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_AUTHZREUSE", "0")
            // Each nonce that is refused costs one of three tries, and chance is no test.
            .env("PEBBLE_WFE_NONCEREJECT", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("pebble: run `bash tests/run`");
        let said = Arc::<Mutex<Vec<String>>>::default();
        let (lines, filled) =
            (BufReader::new(child.stdout.take().expect("stdout")).lines(), Arc::clone(&said));
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                filled.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        let pebble = Pebble { child, plan: Arc::clone(self), said };
        wait::until("the authority", || TcpStream::connect(self.directory).is_ok());
        pebble
    }
}

impl Pebble {
    /// A client that believes what it vouches for, in this life of it.
    pub fn dialer(&self) -> Dialer {
        let mut management = self.plan.own.config().connect(self.plan.management, "localhost");
        let root = management.send("GET /roots/0 HTTP/1.1\r\nHost: localhost\r\n\r\n").receive();
        believing(&root.text(), &[&rustls::version::TLS13, &rustls::version::TLS12], None)
    }

    /// How often it was asked for this.
    fn asked(&self, for_what: &str) -> usize {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.iter().filter(|line| line.contains(for_what)).count()
    }

    /// Orders that were made.
    pub fn orders(&self) -> usize {
        self.asked("POST /order-plz")
    }

    /// Accounts that were asked for.
    pub fn accounts(&self) -> usize {
        self.asked("POST /sign-me-up")
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Between the authority and whoever it looks at. Who comes to it waits until it leads somewhere.
pub struct Gate {
    pub address: SocketAddr,
    leads: Arc<(Mutex<Leads>, Condvar)>,
}

#[derive(Clone, Copy)]
enum Leads {
    Undecided,
    To(SocketAddr),
    Nowhere,
}

impl Gate {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port for the gate");
        let address = listener.local_addr().expect("the gate's address");
        let leads = Arc::new((Mutex::new(Leads::Undecided), Condvar::new()));
        let seen = Arc::clone(&leads);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let leads = Arc::clone(&seen);
                thread::spawn(move || {
                    let (lock, decided) = &*leads;
                    let guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
                    let guard = decided.wait_while(guard, |leads| matches!(leads, Leads::Undecided));
                    let leads = *guard.unwrap_or_else(PoisonError::into_inner);
                    if let Leads::To(server) = leads {
                        pass(&client, server);
                    }
                });
            }
        });
        Self { address, leads }
    }

    fn decide(&self, to: Leads) {
        let (lock, decided) = &*self.leads;
        *lock.lock().unwrap_or_else(PoisonError::into_inner) = to;
        decided.notify_all();
    }

    /// Leads here from now on, those included who wait.
    pub fn lead_to(&self, server: SocketAddr) {
        self.decide(Leads::To(server));
    }

    /// Has everybody wait.
    pub fn hold(&self) {
        self.decide(Leads::Undecided);
    }

    /// Turns everybody away.
    pub fn lead_nowhere(&self) {
        self.decide(Leads::Nowhere);
    }
}

/// How a connection ends is the business of the two at its ends.
fn pass(client: &TcpStream, server: SocketAddr) {
    let Ok(server) = TcpStream::connect(server) else { return };
    let way = |from: &TcpStream, to: &TcpStream| {
        let (mut from, mut to) = (from.try_clone().expect("a handle"), to.try_clone().expect("a handle"));
        move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        }
    };
    let there = thread::spawn(way(client, &server));
    way(&server, client)();
    let _ = there.join();
}

/// Two ports for a program that cannot choose them itself: below those that the kernel gives out, so that nobody takes them
/// before it does, and others for each process that runs tests.
fn ports() -> [SocketAddr; 2] {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let found = std::iter::repeat_with(|| NEXT.fetch_add(1, Ordering::Relaxed)).take(1000).find_map(|turn| {
        let place = std::process::id().wrapping_mul(7).wrapping_add(turn) % 5000;
        let first = 20_000 + u16::try_from(place * 2).expect("a port");
        let ports = [first, first + 1].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        ports.iter().all(|port| TcpListener::bind(port).is_ok()).then_some(ports)
    });
    found.expect("two free ports")
}

/// Answers every question for an IPv4 address with this machine's, and every other with nothing. It ends with the process.
fn name_server() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port for names");
    let address = socket.local_addr().expect("its address");
    thread::spawn(move || {
        let mut asked = [0; 1500];
        while let Ok((count, client)) = socket.recv_from(&mut asked) {
            let Some(question) = asked.get(12..count) else { continue };
            // A name ends with an empty label; type and class follow.
            let Some(end) = question.iter().position(|byte| *byte == 0).map(|end| end + 5) else { continue };
            let Some(question) = question.get(..end) else { continue };
            let is_v4 = question[end - 4..] == [0, 1, 0, 1];
            let mut answer = asked[..2].to_vec();
            answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_v4), 0, 0, 0, 0]);
            answer.extend(question);
            if is_v4 {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1]);
            }
            let _ = socket.send_to(&answer, client);
        }
    });
    address
}
