//! Programs of the machine that tests run: `bash tests/run` installs them.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use super::{rawc::Client, wait};

/// A Python that has `requests`.
pub fn python() -> String {
    let root = env!("CARGO_MANIFEST_DIR");
    let candidates =
        ["python3".to_owned(), "/usr/bin/python3".to_owned(), format!("{root}/target/test-venv/bin/python")];
    let has_requests = |python: &String| {
        let probe = Command::new(python).args(["-c", "import requests"]).stderr(Stdio::null()).status();
        probe.is_ok_and(|status| status.success())
    };
    candidates.into_iter().find(has_requests).expect("a Python with requests: run `bash tests/run`")
}

/// The Python that has what came from PyPI.
pub fn venv_python() -> String {
    let path = format!("{}/target/test-venv/bin/python", env!("CARGO_MANIFEST_DIR"));
    assert!(Path::new(&path).exists(), "packages from PyPI are missing: run `bash tests/run`");
    path
}

/// Where packages from npm are.
pub fn node_modules() -> String {
    format!("{}/target/test-node/node_modules", env!("CARGO_MANIFEST_DIR"))
}

/// The tool that holds an API to its document.
pub fn schemathesis() -> String {
    let path = format!("{}/target/test-venv/bin/schemathesis", env!("CARGO_MANIFEST_DIR"));
    assert!(Path::new(&path).exists(), "Schemathesis is missing: run `bash tests/run`");
    path
}

/// Runs a client to its end; what it printed.
pub fn output(program: &str, arguments: &[&str]) -> String {
    let done = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let done = done.unwrap_or_else(|error| panic!("{program}: {error}; run `bash tests/run`"));
    let stderr = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{program}: {stderr}");
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// Where a script beside this file is.
pub fn script(name: &str) -> String {
    format!("{}/tests/e2e/support/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A backend in a process of its own; killed when dropped.
pub struct Backend {
    child: Child,
    pub address: SocketAddr,
    pub folder: TempDir,
}

impl Backend {
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Debian's nginx: serves a folder, takes uploads, knows no authentication.
    pub fn nginx() -> Self {
        Self::nginx_with(|folder| {
            format!(
                r#"root {folder}/www;
    location /api/files/ {{ alias {folder}/www/files/; }}
    location /api/who {{ return 200 "$http_x_tenant_id $http_x_credential_id $http_x_api_key"; }}
    location /api/upload/ {{ alias {folder}/www/files/; dav_methods PUT; }}"#,
                folder = folder.display()
            )
        })
    }

    /// As a proxy without authentication that passes on whatever it has understood.
    pub fn nginx_before(upstream: SocketAddr) -> Self {
        Self::nginx_with(|_| {
            format!(
                "underscores_in_headers on; ignore_invalid_headers off;
    location / {{ proxy_pass http://{upstream}; proxy_http_version 1.1; proxy_set_header Connection \"\";
      proxy_set_header Host $http_host; proxy_pass_request_headers on; }}"
            )
        })
    }

    /// As a shared cache that keeps every answer which may be kept.
    pub fn nginx_caching(gateway: SocketAddr) -> Self {
        Self::nginx_with(|_| {
            format!(
                "location / {{ proxy_pass http://{gateway}; proxy_http_version 1.1; proxy_set_header Host $http_host;
      proxy_cache shared; proxy_cache_valid 200 10m; add_header X-Cache $upstream_cache_status; }}"
            )
        })
    }

    fn nginx_with(server: impl Fn(&Path) -> String) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        fs::create_dir_all(folder.path().join("www/files")).expect("the document root");
        for attempt in 0..10 {
            // nginx cannot choose its port itself, so another program may take it first.
            let address =
                TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
            fs::write(
                folder.path().join("nginx.conf"),
                configuration(folder.path(), address, &server(folder.path())),
            )
            .expect("write nginx.conf");
            let nginx = ["nginx", "/usr/sbin/nginx"]
                .into_iter()
                .find(|path| Command::new(path).arg("-v").stderr(Stdio::null()).status().is_ok());
            let mut child = Command::new(nginx.expect("nginx: run `bash tests/run`"))
                .arg("-c")
                .arg(folder.path().join("nginx.conf"))
                .arg("-p")
                .arg(folder.path())
                .stderr(Stdio::null())
                .spawn()
                .expect("start nginx");
            let up = wait::for_some("nginx", || {
                if child.try_wait().expect("its state").is_some() {
                    return Some(false);
                }
                Client::try_connect(address).map(|_| true)
            });
            if up {
                return Self { child, address, folder };
            }
            eprintln!("nginx lost its port, attempt {attempt}");
        }
        panic!("nginx did not start");
    }

    /// One of the scripts beside this file, which prints the port that it serves on.
    pub fn script(name: &str) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let mut child = Command::new(venv_python())
            .args([script(name).as_str(), "serve"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("packages from PyPI: run `bash tests/run`");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("stdout")).read_line(&mut line).expect("its port");
        let port: u16 = line.trim().parse().unwrap_or_else(|_| panic!("no port in {line:?}"));
        Self { child, address: SocketAddr::from(([127, 0, 0, 1], port)), folder }
    }

    /// Python's `http.server` on this folder's files.
    pub fn python() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let mut child = Command::new("python3")
            .args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory"])
            .arg(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("python3: run `bash tests/run`");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("stdout")).read_line(&mut line).expect("its first line");
        let port = line.split("port ").nth(1).and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        let address =
            SocketAddr::from(([127, 0, 0, 1], port.unwrap_or_else(|| panic!("no port in {line:?}"))));
        Self { child, address, folder }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configuration(folder: &Path, address: SocketAddr, server: &str) -> String {
    let folder = folder.display();
    format!(
        "daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off; client_max_body_size 0; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  default_type application/octet-stream; proxy_cache_path {folder}/cache keys_zone=shared:1m;
  server {{
    listen {address};
    {server}
  }}
}}
"
    )
}
