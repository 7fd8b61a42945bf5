//! The program itself: the real binary, its configuration and store in a folder of their own.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use sqlx::{ConnectOptions as _, Connection as _};
use tempfile::TempDir;

use super::{rawc::Response, request::Door, setup::Setup, wait};

const BINARY: &str = env!("CARGO_BIN_EXE_latchgate");
pub const ADMIN: &str = "admin@example.com";
pub const PASSWORD: &str = "correct horse battery staple";

/// A folder with configuration, secret and store, as `init` leaves it. No process yet.
#[derive(Debug)]
pub struct Site {
    folder: Folder,
    pub setup: Setup,
}

#[derive(Debug)]
enum Folder {
    /// Removed when dropped.
    Own(TempDir),
    /// Of another process.
    Lent(PathBuf),
}

impl Folder {
    fn fresh() -> Self {
        Self::Own(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Own(folder) => folder.path(),
            Self::Lent(path) => path,
        }
    }
}

impl Site {
    /// Runs `init` and puts the setup's configuration in place of the one that it wrote.
    pub fn new(setup: Setup) -> Self {
        let folder = Folder::fresh();
        let dir = folder.path().to_str().expect("a plain path");
        let arguments = ["init", "--dir", dir, "--profile", &setup.profile, "--admin-email", ADMIN];
        let upstream = ["--upstream", "http://127.0.0.1:9", "--admin-password-stdin"];
        let done = run([arguments.as_slice(), upstream.as_slice()].concat(), &format!("{PASSWORD}\n"));
        assert_eq!(done.code, 0, "init: {done:?}");
        let site = Self { folder, setup };
        site.configure(&site.setup);
        site
    }

    /// A site that another process made and keeps.
    pub fn lent(path: PathBuf) -> Self {
        Self { folder: Folder::Lent(path), setup: Setup::bare("offload") }
    }

    /// Writes the configuration file, whole or not at all, as an editor would.
    pub fn configure(&self, setup: &Setup) {
        self.configure_text(&setup.text());
    }

    pub fn configure_text(&self, text: &str) {
        let fresh = self.path("latchgate.toml.new");
        fs::write(&fresh, text).expect("write the configuration");
        fs::rename(&fresh, self.config()).expect("put the configuration in place");
    }

    pub fn config(&self) -> PathBuf {
        self.path("latchgate.toml")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command on this site, its answer in JSON.
    pub fn cli(&self, arguments: &[&str]) -> Output {
        self.cli_with(arguments, "")
    }

    /// The same with standard input.
    pub fn cli_with(&self, arguments: &[&str], input: &str) -> Output {
        let config = self.config();
        let config = ["--config", config.to_str().expect("a plain path"), "--output", "json"];
        run([arguments, config.as_slice()].concat(), input)
    }

    /// A command that takes no `--output`: `check`, `migrate`, `explain`.
    pub fn plain(&self, arguments: &[&str], input: &str) -> Output {
        let config = self.config();
        let config = ["--config", config.to_str().expect("a plain path")];
        run([arguments, config.as_slice()].concat(), input)
    }

    /// Creates a key of the administrator; `arguments` are further flags.
    pub fn key(&self, arguments: &[&str]) -> Key {
        self.key_of(ADMIN, arguments)
    }

    /// Creates a key of this user.
    pub fn key_of(&self, user: &str, arguments: &[&str]) -> Key {
        let create = ["keys", "create", "--user", user];
        let name = if arguments.contains(&"--name") { [].as_slice() } else { ["--name", "ci"].as_slice() };
        Key::from(self.cli(&[create.as_slice(), name, arguments].concat()).json())
    }

    /// The id of the one team that `init` made.
    pub fn team(&self) -> String {
        self.cli(&["teams", "list"]).json()["items"][0]["id"].as_str().expect("the default team").to_owned()
    }

    /// The id of the one organization that `init` made.
    pub fn org(&self) -> String {
        self.cli(&["orgs", "list"]).json()["items"][0]["id"]
            .as_str()
            .expect("the default organization")
            .to_owned()
    }

    /// Creates a user of the default organization.
    pub fn user(&self, email: &str, role: &str, team: Option<&str>) -> Value {
        let org = self.org();
        let mut arguments = vec!["users", "create", "--email", email, "--name", "Somebody", "--org", &org];
        arguments.extend(["--role", role, "--password-stdin"]);
        arguments.extend(team.into_iter().flat_map(|team| ["--team-id", team]));
        self.cli_with(&arguments, &format!("{PASSWORD}\n")).json()
    }

    /// Starts `serve` and waits until it listens.
    pub fn serve(self) -> Program {
        Program::start(self, &[])
    }

    /// The same with these variables in its environment.
    pub fn serve_with(self, environment: &[(&str, &str)]) -> Program {
        Program::start(self, environment)
    }

    /// Starts `serve` out of a shell that has done this before.
    pub fn serve_after(self, shell: &str) -> Program {
        Program::start_with(self, &[], true, shell)
    }

    /// Starts `serve` with nobody reading its standard output: the pipe fills and blocks.
    pub fn serve_unread(self) -> Program {
        Program::start_with(self, &[], false, "")
    }

    /// Runs a statement on the store, behind the program's back; how many rows it changed.
    pub fn sql(&self, statement: &str) -> u64 {
        let path = self.path("latchgate.db");
        block_on(async {
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).foreign_keys(false);
            let mut store = options.connect().await.expect("open the store");
            let done = sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut store).await;
            store.close().await.expect("close the store");
            done.unwrap_or_else(|error| panic!("{statement}: {error}")).rows_affected()
        })
    }

    /// How many rows there are: `count("api_keys WHERE mac IS NULL")`.
    pub fn count(&self, rows: &str) -> u64 {
        let path = self.path("latchgate.db");
        block_on(async {
            let mut store = sqlx::sqlite::SqliteConnectOptions::new()
                .filename(path)
                .connect()
                .await
                .expect("open the store");
            let query = format!("SELECT COUNT(*) FROM {rows}");
            let count: i64 =
                sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_one(&mut store).await.expect("a count");
            store.close().await.expect("close the store");
            count.unsigned_abs()
        })
    }

    /// Tries these statements; whether any of them fitted and changed something.
    pub fn sql_any(&self, statements: &[&str]) -> bool {
        let path = self.path("latchgate.db");
        block_on(async {
            let mut store = sqlx::sqlite::SqliteConnectOptions::new()
                .filename(path)
                .connect()
                .await
                .expect("open the store");
            let mut fitted = false;
            for statement in statements {
                let done = sqlx::query(sqlx::AssertSqlSafe(*statement)).execute(&mut store).await;
                fitted |= done.is_ok_and(|done| done.rows_affected() > 0 || statement.starts_with("PRAGMA"));
            }
            store.close().await.expect("close the store");
            fitted
        })
    }

    /// Starts a command and does not wait for it.
    pub fn spawn(&self, arguments: &[&str]) -> Child {
        command()
            .args(arguments)
            .arg("--config")
            .arg(self.config())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("start the program")
    }

    /// All bytes of the store on disk, log included: what a thief of the disk would read.
    pub fn store_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for entry in fs::read_dir(self.folder.path()).expect("the site's folder") {
            let path = entry.expect("an entry").path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("latchgate.db")) {
                bytes.extend(fs::read(&path).expect("a file of the store"));
            }
        }
        bytes
    }
}

/// A key as `keys create --output json` prints it.
#[derive(Debug, Clone)]
pub struct Key {
    pub id: String,
    /// The public characters alone.
    pub prefix: String,
    /// The full key.
    pub text: String,
    pub object: Value,
}

impl From<Value> for Key {
    fn from(object: Value) -> Self {
        let field =
            |name: &str| object[name].as_str().unwrap_or_else(|| panic!("no {name} in {object}")).to_owned();
        Self { id: field("id"), prefix: field("prefix"), text: field("key"), object }
    }
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub struct Output {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// The answer; fails the test unless the command succeeded.
    pub fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Succeeded.
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }
}

/// Runs the binary to its end.
pub fn run<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>, input: &str) -> Output {
    run_with(arguments, input, &[])
}

/// The same with these variables in its environment. A command that does not end fails the test.
pub fn run_with<S: AsRef<std::ffi::OsStr>>(
    arguments: impl IntoIterator<Item = S>,
    input: &str,
    environment: &[(&str, &str)],
) -> Output {
    let mut child = command()
        .args(arguments)
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start the program");
    // A command that reads no input may be gone already.
    let _ = child.stdin.take().expect("stdin").write_all(input.as_bytes());
    let (stdout, stderr) = (drain(child.stdout.take()), drain(child.stderr.take()));
    let started = Instant::now();
    let code = loop {
        if let Some(status) = child.try_wait().expect("the program's state") {
            break status.code().unwrap_or(-1);
        }
        if started.elapsed() > COMMAND_TIME {
            let _ = child.kill();
            let _ = child.wait();
            break -2;
        }
        thread::sleep(Duration::from_millis(2));
    };
    let text = |reader: thread::JoinHandle<String>| reader.join().expect("the program's words");
    let output = Output { code, stdout: text(stdout), stderr: text(stderr) };
    assert_ne!(code, -2, "the command did not end: {output:?}");
    assert!(!output.stderr.contains("panicked"), "the program panicked: {output:?}");
    output
}

fn drain(stream: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    let mut stream = stream.expect("a piped stream");
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The longest command imports ten thousand keys.
const COMMAND_TIME: Duration = Duration::from_secs(90);

/// The binary without what this process' environment would change.
fn command() -> Command {
    let mut command = Command::new(BINARY);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("LATCHGATE_") {
            command.env_remove(name);
        }
    }
    command
}

/// A running gateway; killed when dropped.
#[derive(Debug)]
pub struct Program {
    child: Child,
    pub site: Site,
    stdout: Lines,
    stderr: Lines,
    _unread: Option<ChildStdout>,
    gateway: SocketAddr,
    admin: SocketAddr,
    ops: SocketAddr,
}

impl Program {
    fn start(site: Site, environment: &[(&str, &str)]) -> Self {
        Self::start_with(site, environment, true, "")
    }

    fn start_with(site: Site, environment: &[(&str, &str)], read: bool, shell: &str) -> Self {
        let mut child = spawn(&site.config(), environment, shell);
        let unread = child.stdout.take().expect("stdout");
        let (stdout, unread) =
            if read { (Lines::follow(unread), None) } else { (Lines::default(), Some(unread)) };
        let stderr = Lines::follow(child.stderr.take().expect("stderr"));
        let (gateway, admin, ops) = (unset(), unset(), unset());
        let mut program = Self { child, site, stdout, stderr, _unread: unread, gateway, admin, ops };
        program.find_addresses();
        program
    }

    fn find_addresses(&mut self) {
        let address = |listener: &str, program: &mut Self| {
            wait::for_some(&format!("the {listener} listener"), || {
                if let Ok(Some(status)) = program.child.try_wait() {
                    thread::sleep(Duration::from_millis(50));
                    panic!("serve ended with {status}: {:?}", program.stderr.all());
                }
                let announced = program
                    .stderr
                    .json()
                    .into_iter()
                    .find(|line| line["msg"] == "listening" && line["listener"] == listener)?;
                announced["address"].as_str()?.parse().ok()
            })
        };
        self.gateway = address("gateway", self);
        self.admin = address("admin", self);
        self.ops = address("ops", self);
        let ops = self.ops();
        wait::until("readiness", || ops.anonymous().get("/readyz").status == 200);
    }

    pub fn gateway(&self) -> Door {
        Door(self.gateway)
    }

    /// The admin port.
    pub fn admin(&self) -> Door {
        Door(self.admin)
    }

    pub fn ops(&self) -> Door {
        Door(self.ops)
    }

    /// Another port, by its listener's name.
    pub fn listener(&self, name: &str) -> Door {
        let lines = self.messages().into_iter();
        let announced = lines.filter(|line| line["msg"] == "listening").find(|line| line["listener"] == name);
        let announced = announced.expect("it is announced");
        Door(announced["address"].as_str().and_then(|text| text.parse().ok()).expect("an address"))
    }

    /// Asks the gateway without a credential.
    pub fn anonymous(&self) -> super::request::Caller {
        self.gateway().anonymous()
    }

    pub fn key(&self, key: &str) -> super::request::Caller {
        self.gateway().key(key)
    }

    pub fn bearer(&self, key: &str) -> super::request::Caller {
        self.gateway().bearer(key)
    }

    pub fn cli(&self, arguments: &[&str]) -> Output {
        self.site.cli(arguments)
    }

    /// The text of `/metrics`.
    pub fn metrics(&self) -> String {
        let response: Response = self.ops().anonymous().get("/metrics");
        assert_eq!(response.status, 200, "{response:?}");
        response.text()
    }

    /// The value of one series, written as in the text: `latchgate_requests_total{code="200",route="api"}`;
    /// labels in any order. Zero when there is none.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        sample(&self.metrics(), name, labels)
    }

    /// Lines of the access log and other lines on standard output, as JSON.
    pub fn log(&self) -> Vec<Value> {
        self.stdout.json()
    }

    /// The access log lines of requests to this path, once there are `count`.
    pub fn requests_logged(&self, path: &str, count: usize) -> Vec<Value> {
        wait::for_some(&format!("{count} access log lines for {path}"), || {
            let mut lines: Vec<Value> = self
                .log()
                .into_iter()
                .filter(|line| line["msg"] == "request" && line["path"] == path)
                .collect();
            // Workers write beside each other; this is the order in which they were asked.
            lines.sort_by_key(|line| line["ts"].as_str().and_then(|at| at.parse::<jiff::Timestamp>().ok()));
            (lines.len() >= count).then_some(lines)
        })
    }

    /// What the program says about itself on standard error, as JSON.
    pub fn messages(&self) -> Vec<Value> {
        self.stderr.json()
    }

    /// All that it wrote, on both streams.
    pub fn everything_written(&self) -> String {
        format!("{}\n{}", self.stdout.all().join("\n"), self.stderr.all().join("\n"))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A line of `/proc/PID/status` in KiB: `VmRSS`, `VmHWM`.
    pub fn memory_kib(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the process' status");
        let line = status.lines().find(|line| line.starts_with(field)).expect("a memory line");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number of KiB")
    }

    /// How many descriptors the process holds.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("the process' descriptors").count()
    }

    pub fn signal(&self, signal: &str) {
        let done = Command::new("kill").arg(format!("-{signal}")).arg(self.pid().to_string()).status();
        assert!(done.expect("kill").success(), "the process is gone");
    }

    /// Tells it to read its configuration again.
    pub fn sighup(&self) {
        self.signal("HUP");
    }

    pub fn sigterm(&self) {
        self.signal("TERM");
    }

    /// Waits until it has ended by itself.
    pub fn ended(&mut self) -> ExitStatus {
        wait::for_some("the program's end", || self.child.try_wait().expect("its state"))
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("its state").is_none()
    }

    /// Ends it without a chance to say goodbye, and gives the folder back.
    pub fn kill9(mut self) -> Site {
        self.child.kill().expect("kill");
        self.child.wait().expect("its end");
        self.site_back()
    }

    /// Ends it properly, and gives the folder back.
    pub fn stop(mut self) -> Site {
        self.sigterm();
        let status = self.ended();
        assert!(status.success(), "{status}: {}", self.everything_written());
        self.site_back()
    }

    fn site_back(&mut self) -> Site {
        let empty = Site { folder: Folder::fresh(), setup: self.site.setup.clone() };
        std::mem::replace(&mut self.site, empty)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let written = self.everything_written();
        if thread::panicking() {
            let tail: Vec<&str> = written.lines().rev().take(40).collect();
            eprintln!(
                "--- the gateway's last lines ---\n{}",
                tail.into_iter().rev().collect::<Vec<_>>().join("\n")
            );
        } else {
            assert!(!written.contains("panicked"), "the gateway panicked: {written}");
        }
    }
}

/// The value of a series in a metrics text; zero when there is none.
pub fn sample(text: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let matches = |line: &&str| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels.iter().all(|(label, value)| line.contains(&format!("{label}=\"{value}\"")))
    };
    let values = text.lines().filter(matches).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum()
}

/// Runs to the end on a runtime of its own.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(future)
}

fn unset() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 0))
}

fn spawn(config: &Path, environment: &[(&str, &str)], shell: &str) -> Child {
    let mut program = command();
    if !shell.is_empty() {
        let binary = program.get_program().to_owned();
        program = Command::new("bash");
        program.arg("-c").arg(format!("{shell}; exec \"$0\" \"$@\"")).arg(binary);
    }
    program
        .arg("serve")
        .arg("--config")
        .arg(config)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start the program")
}

/// The lines of a stream, as they come.
#[derive(Debug, Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn follow(stream: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let filled = lines.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                filled.lock().push(String::from_utf8_lossy(&line).into_owned());
            }
        });
        lines
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn all(&self) -> Vec<String> {
        self.lock().clone()
    }

    fn json(&self) -> Vec<Value> {
        self.lock().iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

/// The store's write lock, held by another process as far as the program can tell.
pub struct Lock {
    release: std::sync::mpsc::Sender<()>,
    holder: thread::JoinHandle<()>,
}

impl Lock {
    pub fn take(site: &Site) -> Self {
        let (release, released) = std::sync::mpsc::channel::<()>();
        let (taken, wait_taken) = std::sync::mpsc::channel::<()>();
        let path = site.path("latchgate.db");
        let holder = thread::spawn(move || {
            block_on(async {
                let mut store = sqlx::sqlite::SqliteConnectOptions::new()
                    .filename(path)
                    .connect()
                    .await
                    .expect("open the store");
                sqlx::query("BEGIN IMMEDIATE").execute(&mut store).await.expect("the lock");
                taken.send(()).expect("the test waits");
                // Ends when the test says so, or is over.
                let _ = released.recv();
                sqlx::query("ROLLBACK").execute(&mut store).await.expect("release the lock");
            });
        });
        wait_taken.recv().expect("the lock was taken");
        Self { release, holder }
    }

    pub fn release(self) {
        drop(self.release);
        self.holder.join().expect("the holder of the lock");
    }
}
