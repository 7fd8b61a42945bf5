//! curl, Python requests and Node's fetch, as CI pipelines call them.

use crate::support::{
    program::{Key, Program, Site},
    rawup::Upstream,
    setup::Setup,
    tools::{output, python},
};

struct House {
    program: Program,
    key: Key,
    upstream: Upstream,
}

impl House {
    fn new() -> Self {
        let upstream = Upstream::echo();
        let site = Site::new(Setup::offload(&upstream));
        let key = site.key(&["--preset", "ci_basic"]);
        Self { program: site.serve(), key, upstream }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.program.gateway().0)
    }
}

/// `R000_13`, `R000_15`, `R000_16`: curl with a CI key: reads, triggers, and is told no where it may not.
#[test]
fn curl_in_ci_style() {
    let house = House::new();
    let header = format!("X-API-Key: {}", house.key.text);
    let status = |arguments: &[&str]| {
        output(
            "curl",
            &[&["-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", &header], arguments].concat(),
        )
    };
    assert_eq!(status(&[&house.url("/api/scans")]), "200");
    assert_eq!(
        status(&[
            "-X",
            "POST",
            "-H",
            "Content-Type: application/json",
            "-d",
            "{\"branch\": \"main\"}",
            &house.url("/api/scans")
        ]),
        "200"
    );
    assert_eq!(house.upstream.last().body.text(), "{\"branch\": \"main\"}");
    assert_eq!(status(&["-X", "DELETE", &house.url("/api/scans/1")]), "403");
    assert_eq!(status(&["--http1.0", &house.url("/api/scans")]), "200");
    assert_eq!(status(&["-I", &house.url("/api/scans")]), "200");
    assert_eq!(status(&["-F", "file=@Cargo.toml", &house.url("/api/upload")]), "200");
    let refused = output("curl", &["-sS", &house.url("/api/scans")]);
    assert!(refused.contains("credential_missing"), "{refused}");
    let bearer = format!("Authorization: Bearer {}", house.key.text);
    assert_eq!(
        output(
            "curl",
            &["-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", &bearer, &house.url("/api/scans")]
        ),
        "200"
    );
}

/// A curl upload with `Expect: 100-continue` and one of unknown length arrive whole.
#[test]
fn curl_uploads_arrive_whole() {
    let house = House::new();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("big");
    std::fs::write(&file, crate::support::rawup::pattern().repeat(64)).expect("write");
    let file = format!("@{}", file.display());
    let header = format!("X-API-Key: {}", house.key.text);
    for more in [["-H", "Expect: 100-continue"], ["-H", "Transfer-Encoding: chunked"]] {
        output(
            "curl",
            &["-fsS", "-H", &header, more[0], more[1], "--data-binary", &file, &house.url("/api/upload")],
        );
        let seen = house.upstream.last();
        assert_eq!((seen.complete, seen.body.length), (true, 65_521 * 64));
    }
}

/// Python requests with a session: kept connections, streams, errors as JSON.
#[test]
fn python_requests_in_ci_style() {
    let house = House::new();
    let script = r#"
import json, sys, requests
url, key = sys.argv[1], sys.argv[2]
s = requests.Session()
s.headers["X-API-Key"] = key
out = []
for n in range(20):
    r = s.get(url + f"/api/scans/{n}?page={n}")
    assert r.status_code == 200 and r.json()["target"] == f"/api/scans/{n}?page={n}", r.text
r = s.post(url + "/api/scans", json={"branch": "main"})
assert r.status_code == 200, r.text
r = s.post(url + "/api/scans", data=(b"x" * 1000 for _ in range(100)))
assert r.status_code == 200 and r.json()["length"] == 100000, r.text
r = s.delete(url + "/api/scans/1")
assert r.status_code == 403 and r.json()["code"] == "scope_insufficient", r.text
assert r.headers["Content-Type"] == "application/problem+json"
r = requests.get(url + "/api/scans", headers={"X-API-Key": "osk_wrong"})
assert r.status_code == 401 and r.json()["code"] == "credential_malformed", r.text
print("passed")
"#;
    let said = output(&python(), &["-c", script, &house.url(""), &house.key.text]);
    assert_eq!(said.trim(), "passed");
}

/// Node's fetch: kept connections, streams both ways, parallel requests.
#[test]
fn node_fetch_in_ci_style() {
    let house = House::new();
    let script = r#"
const [url, key] = process.argv.slice(1);
const headers = { "X-API-Key": key };
const check = (ok, what) => { if (!ok) { console.error(what); process.exit(1); } };
(async () => {
  const many = await Promise.all([...Array(30).keys()].map(n => fetch(`${url}/api/scans/${n}`, { headers }).then(r => r.json())));
  many.forEach((echo, n) => check(echo.target === `/api/scans/${n}`, JSON.stringify(echo)));
  const posted = await fetch(`${url}/api/scans`, { method: "POST", headers: { ...headers, "Content-Type": "application/json" }, body: JSON.stringify({ branch: "main" }) });
  check(posted.status === 200, posted.status);
  async function* chunks() { for (let n = 0; n < 50; n++) yield new Uint8Array(2000); }
  const streamed = await fetch(`${url}/api/scans`, { method: "POST", headers, body: ReadableStream.from ? ReadableStream.from(chunks()) : chunks(), duplex: "half" });
  check((await streamed.json()).length === 100000, "streamed");
  const refused = await fetch(`${url}/api/scans/1`, { method: "DELETE", headers });
  check(refused.status === 403 && (await refused.json()).code === "scope_insufficient", "403");
  const missing = await fetch(`${url}/api/scans`);
  check(missing.status === 401 && missing.headers.get("www-authenticate"), "401");
  console.log("passed");
})();
"#;
    let said = output("node", &["-e", script, &house.url(""), &house.key.text]);
    assert_eq!(said.trim(), "passed");
}
