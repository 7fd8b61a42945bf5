//! A real Prometheus on the shipped configuration, which scrapes a gateway of the test.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    thread,
};

use serde_json::Value;
use tempfile::TempDir;

use super::{shipped, text};
use crate::support::{program::Program, request::Door, wait};

/// Killed when dropped.
pub struct Prometheus {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Prometheus {
    /// Scrapes these gateways every second, and evaluates the shipped alerts as often.
    pub fn watch(programs: &[&Program]) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let config = folder.path().join("prometheus.yml");
        fs::write(&config, configuration(programs)).expect("write the configuration");
        let mut child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .args(["--web.listen-address=127.0.0.1:0", "--log.format=json"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("prometheus: run `bash tests/run`");
        let mut lines = BufReader::new(child.stderr.take().expect("stderr")).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .filter_map(|line| serde_json::from_str::<Value>(&line).ok())
            .find(|line| line["msg"] == "Listening on")
            .and_then(|line| line["address"].as_str()?.parse().ok())
            .expect("Prometheus says where it listens");
        // It stops where nobody reads what it says.
        thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let watching = Self { child, address, _folder: folder };
        wait::until("two scrapes", || {
            watching.door().get("/-/ready").status == 200
                && watching.values("count_over_time(up{job=\"latchgate\"}[1m]) > 1").len() == programs.len()
        });
        watching
    }

    /// The samples of a query now: labels and value each; fails the test when the query is wrong.
    pub fn values(&self, query: &str) -> Vec<(Value, f64)> {
        let answer = self.post("/api/v1/query", &format!("query={}", encoded(query)));
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        assert_eq!(answer["data"]["resultType"], "vector", "{query}: {answer}");
        let samples = answer["data"]["result"].as_array().expect("samples");
        let value = |sample: &Value| sample["value"][1].as_str().and_then(|text| text.parse().ok());
        samples.iter().map(|sample| (sample["metric"].clone(), value(sample).expect("a number"))).collect()
    }

    /// The rules that it evaluates.
    pub fn rules(&self) -> Vec<Value> {
        let answer = self.door().get("/api/v1/rules").json();
        let groups = answer["data"]["groups"].as_array().cloned().unwrap_or_default();
        groups.iter().flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default()).collect()
    }

    fn door(&self) -> crate::support::request::Caller {
        Door(self.address).anonymous()
    }

    fn post(&self, target: &str, body: &str) -> Value {
        let request = self.door().request("POST", target);
        request.header("Content-Type", "application/x-www-form-urlencoded").body(body).send().json()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The shipped configuration, but for these gateways and in a hurry.
fn configuration(programs: &[&Program]) -> String {
    let addresses: Vec<String> = programs.iter().map(|program| program.ops().0.to_string()).collect();
    let mut config = text("prometheus/prometheus.yml");
    let rules = shipped("prometheus/alerts.yml").display().to_string();
    for (theirs, ours) in [
        ("gateway:8082", addresses.join("\", \"").as_str()),
        ("15s", "1s"),
        ("- alerts.yml", &format!("- {rules}")),
    ] {
        assert!(config.contains(theirs), "{theirs} in {config}");
        config = config.replace(theirs, ours);
    }
    config
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
