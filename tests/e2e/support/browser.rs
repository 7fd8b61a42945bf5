//! A real browser: Debian's Chromium, without a window, on a profile of its own, ended with the test.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::{
    ChromeCapabilities, ChromiumLikeCapabilities as _, DesiredCapabilities, LoggingPrefsLogLevel, TypingData,
    WebDriver,
};
use tokio::{runtime::Runtime, time::timeout};

use super::wait;

/// How long one step may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long it may take to start: the first one reads some 300 MB from a disk that others keep busy.
const START: Duration = Duration::from_secs(120);

/// A browser with one window.
pub struct Browser {
    driver: Option<WebDriver>,
    service: Child,
    profile: TempDir,
    runtime: Runtime,
}

impl Browser {
    pub fn start() -> Self {
        let profile = tempfile::tempdir().expect("a folder for the profile");
        let mut service = Command::new("chromedriver")
            .arg("--port=0")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver: run `bash tests/run`");
        let said = BufReader::new(service.stdout.take().expect("its output"));
        let port = said.lines().map_while(Result::ok).find_map(|line| {
            let (_, port) = line.split_once("started successfully on port ")?;
            port.trim_end_matches('.').parse::<u16>().ok()
        });
        let port = port.expect("chromedriver says its port");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut browser = Self { driver: None, service, profile, runtime };
        let capabilities = browser.capabilities();
        let url = format!("http://127.0.0.1:{port}");
        let driver =
            browser.runtime.block_on(async { timeout(START, WebDriver::new(url, capabilities)).await });
        browser.driver = Some(driver.expect("a browser in time").expect("a browser"));
        browser
    }

    fn capabilities(&self) -> ChromeCapabilities {
        let mut wanted = DesiredCapabilities::chrome();
        let profile = format!("--user-data-dir={}", self.profile.path().display());
        for argument in [
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-default-apps",
            "--disable-sync",
            "--no-first-run",
            "--no-proxy-server",
            "--window-size=1200,900",
            &profile,
        ] {
            wanted.add_arg(argument).expect("an argument");
        }
        wanted.set_browser_log_level(LoggingPrefsLogLevel::All).expect("a log");
        wanted
    }

    fn driver(&self) -> &WebDriver {
        self.driver.as_ref().expect("it runs")
    }

    fn wait<T, E: std::fmt::Debug>(&self, what: &str, work: impl Future<Output = Result<T, E>>) -> T {
        let done = self.runtime.block_on(async { timeout(PATIENCE, work).await });
        let done = done.unwrap_or_else(|_| panic!("{what}: not in time"));
        done.unwrap_or_else(|error| panic!("{what}: {error:?}, at {}", self.place_or_nothing()))
    }

    fn place_or_nothing(&self) -> String {
        let place = self.runtime.block_on(async { timeout(PATIENCE, self.driver().current_url()).await });
        place.ok().and_then(Result::ok).map(|url| url.to_string()).unwrap_or_default()
    }

    /// Goes to a place and waits until it is loaded.
    pub fn open(&self, url: &str) {
        self.wait(url, self.driver().goto(url));
    }

    /// Where it is: path and query.
    pub fn place(&self) -> String {
        let url = self.wait("the place", self.driver().current_url());
        match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        }
    }

    pub fn title(&self) -> String {
        self.wait("the title", self.driver().title())
    }

    /// Waits until what was set going by the keyboard has led to this page.
    pub fn wait_for_title(&self, title: &str) {
        wait::within(PATIENCE, title, || (self.title() == title).then_some(()));
        wait::within(PATIENCE, "the page to be loaded", || {
            (self.script("return document.readyState").as_str() == Some("complete")).then_some(())
        });
    }

    /// What a person reads.
    pub fn text(&self) -> String {
        self.script("return document.body.innerText").as_str().unwrap_or_default().to_owned()
    }

    /// Runs a script as the test, not as the page: no policy of the page holds for it.
    pub fn script(&self, script: &str) -> Value {
        let done = self.wait("a script", self.driver().execute(script, Vec::new()));
        done.json().clone()
    }

    /// Types into whatever has the focus, as a keyboard would.
    pub fn keys(&self, keys: impl Into<TypingData>) {
        let actions = self.driver().action_chain().send_keys(keys);
        self.wait("the keyboard", actions.perform());
    }

    /// What has the focus: its id, else its text.
    pub fn focused(&self) -> String {
        let script = "const e = document.activeElement; return e.id || e.innerText || e.tagName";
        self.script(script).as_str().unwrap_or_default().to_owned()
    }

    /// Light or dark, as its person likes it.
    pub fn prefers(&self, scheme: &str) {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.wait("a colour scheme", self.driver().cdp().send_raw("Emulation.setEmulatedMedia", features));
    }

    /// What the browser complained of since it was last asked: refused by a policy, not found, not run.
    pub fn complaints(&self) -> Vec<String> {
        let log = self.wait("the log", self.driver().browser_log());
        log.into_iter().map(|entry| format!("{}: {}", entry.level, entry.message)).collect()
    }

    /// Looks at the page with axe-core, in light and in dark; every violation with where it is.
    pub fn violations(&self) -> Vec<String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let axe = root.join("target/test-node/node_modules/axe-core/axe.min.js");
        let axe = fs::read_to_string(axe).expect("axe-core: run `bash tests/run`");
        let mut found = Vec::new();
        for scheme in ["light", "dark"] {
            self.prefers(scheme);
            self.script(&format!("{axe}; window.axe = axe;"));
            let script = "const done = arguments[arguments.length - 1]; \
                          window.axe.run(document, { resultTypes: ['violations'] }).then(r => done( \
                          r.violations.flatMap(v => v.nodes.map(n => v.id + ' ' + n.target.join(' ') + ' ' + n.failureSummary)) \
                          .concat(r.passes.length ? [] : ['nothing was looked at'])), e => done([String(e)]))";
            let seen = self.wait("axe", self.driver().execute_async(script, Vec::new()));
            let seen: Vec<String> = serde_json::from_value(seen.json().clone()).expect("texts");
            found.extend(seen.into_iter().map(|violation| format!("{scheme}: {violation}")));
        }
        self.prefers("light");
        found
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(driver) = self.driver.take() {
            let _ = self.runtime.block_on(async { timeout(Duration::from_secs(5), driver.quit()).await });
        }
        let _ = self.service.kill();
        let _ = self.service.wait();
        // Whatever is left of the browser names the profile that was made for it.
        let profile = self.profile.path().to_string_lossy().into_owned();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
                continue;
            };
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&line).contains(&profile)
                && let Some(pid) = rustix::process::Pid::from_raw(pid)
            {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
}
