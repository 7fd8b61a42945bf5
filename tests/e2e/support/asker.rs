//! Proxies that ask the gateway whether they may forward, run on the files of `deploy/proxies`.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use super::{rawc::Client, request::Door, tools, wait};

/// A proxy in a process of its own; killed when dropped.
pub struct Asker {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

/// Where the files of `deploy/proxies` have the gateway and the backend.
const GATEWAY: &str = "127.0.0.1:8080";
const BACKEND: &str = "127.0.0.1:9000";

impl Asker {
    pub fn nginx(gateway: Door, backend: SocketAddr) -> Self {
        Self::start(|folder, address| {
            let server =
                shipped("nginx.conf", gateway, backend).replace("listen 80;", &format!("listen {address};"));
            let dir = folder.display();
            let file = folder.join("nginx.conf");
            let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .map(|name| format!("{name}_temp_path {dir}/{name};"))
                .join("\n");
            let text = format!(
                "daemon off; master_process off; pid {dir}/pid; error_log {dir}/error.log;\n\
                 events {{ worker_connections 64; }}\nhttp {{ access_log off; {temporary}\n{server}}}\n"
            );
            fs::write(&file, text).expect("write nginx.conf");
            let mut command = Command::new(program(&["nginx", "/usr/sbin/nginx"], "-v"));
            command.arg("-c").arg(file).arg("-p").arg(folder);
            command
        })
    }

    pub fn caddy(gateway: Door, backend: SocketAddr) -> Self {
        Self::start(|folder, address| {
            let site = shipped("Caddyfile", gateway, backend)
                .replace("http://:80", &format!("http://:{}", address.port()));
            let file = folder.join("Caddyfile");
            let options = "{\n\tadmin off\n\tauto_https off\n\tdefault_bind 127.0.0.1\n}\n";
            fs::write(&file, format!("{options}{site}")).expect("write the Caddyfile");
            let mut command = Command::new(program(&["caddy", "/usr/bin/caddy"], "version"));
            command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file);
            command.env("HOME", folder).env("XDG_DATA_HOME", folder).env("XDG_CONFIG_HOME", folder);
            command
        })
    }

    /// Envoy, which asks at `decisions` over gRPC.
    pub fn envoy(gateway: Door, decisions: SocketAddr, backend: SocketAddr) -> Self {
        Self::start(|folder, address| {
            let path = format!("{}/deploy/proxies/envoy.yaml", env!("CARGO_MANIFEST_DIR"));
            let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
            let ports = [
                (10000, address.port()),
                (8083, decisions.port()),
                (8080, gateway.0.port()),
                (9000, backend.port()),
            ];
            let text = ports.into_iter().fold(text, |text, (shipped, real)| {
                let shipped = format!("port_value: {shipped} ");
                assert!(text.contains(&shipped), "{path} has no {shipped}");
                text.replace(&shipped, &format!("port_value: {real} "))
            });
            let file = folder.join("envoy.yaml");
            fs::write(&file, text).expect("write envoy.yaml");
            let mut command = Command::new(envoy());
            command
                .args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "error", "-c"])
                .arg(file);
            command
        })
    }

    pub fn door(&self) -> Door {
        Door(self.address)
    }

    /// Proxies cannot choose their port themselves, so another program may take it first.
    fn start(command: impl Fn(&Path, SocketAddr) -> Command) -> Self {
        for attempt in 0..10 {
            let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
            let address =
                TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
            let log = fs::File::create(folder.path().join("words")).expect("a log");
            let mut command = command(folder.path(), address);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
            let mut child = command.spawn().expect("start the proxy");
            let up = wait::for_some("the proxy", || {
                if child.try_wait().expect("its state").is_some() {
                    return Some(false);
                }
                Client::try_connect(address).map(|_| true)
            });
            if up {
                return Self { child, address, _folder: folder };
            }
            let words = fs::read_to_string(folder.path().join("words")).unwrap_or_default();
            eprintln!("the proxy did not start, attempt {attempt}: {words}");
        }
        panic!("the proxy did not start");
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file as it is shipped, for this gateway and this backend.
fn shipped(name: &str, gateway: Door, backend: SocketAddr) -> String {
    let path = format!("{}/deploy/proxies/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert!(text.contains(GATEWAY) && text.contains(BACKEND), "{path} names other addresses");
    text.replace(GATEWAY, &gateway.0.to_string()).replace(BACKEND, &backend.to_string())
}

/// Comes from PyPI: Debian has none.
fn envoy() -> String {
    // The program itself: the script in `bin` would outlive being killed by a child.
    let script = "import envoy, pathlib; print(pathlib.Path(envoy.__file__).parent / '_bin' / 'envoy')";
    tools::output(&tools::venv_python(), &["-c", script]).trim().to_owned()
}

fn program(candidates: &[&'static str], probe: &str) -> &'static str {
    let runs = |path: &&&str| {
        Command::new(path).arg(probe).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    candidates.iter().find(runs).unwrap_or_else(|| panic!("{candidates:?}: run `bash tests/run`"))
}
