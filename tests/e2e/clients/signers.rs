//! Clients that others wrote and that know nothing of this gateway: libraries for RFC 9421, and the client libraries of
//! a platform whose keys it imitates.

use std::process::Command;

use crate::support::{
    program::{ADMIN, Key, Program, Site},
    rawup::Upstream,
    setup::Setup,
    tools::{node_modules, output, venv_python},
};

const SCOPES: [&str; 2] = ["--scopes", "scan:read,scan:trigger"];

struct House {
    program: Program,
    upstream: Upstream,
    shared: Key,
    /// The keyid of a key that signs with the pair in `private.pem`.
    pair: String,
}

impl House {
    fn new() -> Self {
        let upstream = Upstream::echo();
        let site = Site::new(Setup::offload(&upstream));
        let shared = site.key(&[&SCOPES[..], &["--security-level", "advanced"]].concat());
        let path = |name: &str| site.path(name).to_str().expect("a plain path").to_owned();
        let (private, public) = (path("private.pem"), path("public.pem"));
        // As a user would: the private half never leaves their machine.
        output("openssl", &["genpkey", "-algorithm", "ed25519", "-out", &private]);
        output("openssl", &["pkey", "-in", &private, "-pubout", "-out", &public]);
        let create = ["keys", "create", "--user", ADMIN, "--name", "pair", "--security-level", "advanced"];
        let created = site.cli(&[&create, &SCOPES[..], &["--public-key", &public]].concat()).json();
        let pair = created["prefix"].as_str().expect("a prefix").to_owned();
        Self { program: site.serve(), upstream, shared, pair }
    }

    fn arguments(&self) -> [String; 5] {
        [
            format!("http://{}", self.program.gateway().0),
            self.shared.prefix.clone(),
            self.shared.text.clone(),
            self.pair.clone(),
            self.program.site.path("private.pem").to_str().expect("a plain path").to_owned(),
        ]
    }

    fn run(&self, program: &str, script: [&str; 2]) {
        let arguments = self.arguments();
        let arguments: Vec<&str> = script.into_iter().chain(arguments.iter().map(String::as_str)).collect();
        assert_eq!(output(program, &arguments).trim(), "passed");
        let seen = self.upstream.requests();
        assert!(seen.len() >= 6, "{}", seen.len());
        assert!(seen.iter().all(|request| request.header("x-auth-method") == Some("signed")));
        assert!(seen.iter().all(|request| request.header("signature").is_none()));
    }
}

/// `R001_05`: `http-message-signatures` for Python with requests: both algorithms, with and without a body; a replay and
/// a changed body are refused.
#[test]
fn http_message_signatures_for_python() {
    let script = r#"
import sys, uuid, requests
from http_message_signatures import HTTPMessageSigner, HTTPSignatureKeyResolver, algorithms
url, shared, secret, pair, private = sys.argv[1:]
class Keys(HTTPSignatureKeyResolver):
    def resolve_private_key(self, key_id):
        return secret.encode() if key_id == shared else open(private, "rb").read()
    def resolve_public_key(self, key_id):
        raise NotImplementedError
session = requests.Session()
def prepared(method, path, key, algorithm, **more):
    request = session.prepare_request(requests.Request(method, url + path, **more))
    covered = ["@method", "@path", "@authority"] + (["@query"] if "?" in path else [])
    signer = HTTPMessageSigner(signature_algorithm=algorithm, key_resolver=Keys())
    body = {"body": request.body} if request.body else {}
    signer.sign(request, key_id=key, nonce=uuid.uuid4().hex, covered_component_ids=tuple(covered), **body)
    return request
for key, algorithm in [(shared, algorithms.HMAC_SHA256), (pair, algorithms.ED25519)]:
    for method, path, more in [
        ("GET", "/api/scans", {}),
        ("GET", "/api/scans?page=2&q=a%20b", {}),
        ("POST", "/api/scans?dry=1", {"data": b'{"branch": "main"}'}),
    ]:
        request = prepared(method, path, key, algorithm, **more)
        answer = session.send(request)
        assert answer.status_code == 200, (method, path, answer.text)
        assert answer.json()["target"] == path
        answer = session.send(request)
        assert answer.status_code == 401 and answer.json()["code"] == "replay_detected", answer.text
    request = prepared("POST", "/api/scans", key, algorithm, data=b"meant")
    request.prepare_body(b"moant", None)
    answer = session.send(request)
    assert answer.status_code == 401 and answer.json()["code"] == "signature_invalid", answer.text
print("passed")
"#;
    House::new().run(&venv_python(), ["-c", script]);
}

/// `R001_05`: `http-message-signatures` for Node with fetch: both algorithms, with and without a body.
#[test]
fn http_message_signatures_for_node() {
    let script = r#"
const [url, shared, secret, pair, private] = process.argv.slice(1);
const { createHash, createPrivateKey, randomUUID } = require("node:crypto");
const { readFileSync } = require("node:fs");
const { httpbis, createSigner } = require(process.env.MODULES + "/http-message-signatures");
const check = (ok, what) => { if (!ok) { console.error(what); process.exit(1); } };
(async () => {
  const keys = [
    createSigner(secret, "hmac-sha256", shared),
    createSigner(createPrivateKey(readFileSync(private)), "ed25519", pair),
  ];
  for (const key of keys) {
    for (const [method, path, body] of [
      ["GET", "/api/scans"], ["GET", "/api/scans?page=2"], ["POST", "/api/scans?dry=1", '{"branch": "main"}'],
    ]) {
      const fields = ["@method", "@path", "@authority"].concat(path.includes("?") ? ["@query"] : []);
      const headers = {};
      if (body) {
        headers["Content-Digest"] = `sha-256=:${createHash("sha256").update(body).digest("base64")}:`;
        fields.push("content-digest");
      }
      const signed = await httpbis.signMessage(
        { key, fields, params: ["created", "expires", "keyid", "alg", "nonce"], paramValues: { nonce: randomUUID() } },
        { method, url: url + path, headers },
      );
      const send = () => fetch(url + path, { method, headers: signed.headers, body });
      const answer = await send();
      const text = await answer.text();
      check(answer.status === 200 && JSON.parse(text).target === path, text);
      const again = await send();
      check(again.status === 401 && (await again.json()).code === "replay_detected", "again");
    }
  }
  console.log("passed");
})();
"#;
    let script = script.replace("process.env.MODULES", &format!("{:?}", node_modules()));
    House::new().run("node", ["-e", &script]);
}

/// A tenant of the platform that has such clients, and a key of each level.
struct Tenant {
    program: Program,
    upstream: Upstream,
    standard: Key,
    advanced: Key,
}

impl Tenant {
    fn new() -> Self {
        let upstream = Upstream::echo();
        let setup = Setup::bare("cortex").upstream("app", &upstream.url());
        let site = Site::new(setup.route("name = \"all\"\npath = \"/{*rest}\"\nupstream = \"app\""));
        let roles = ["--roles", "cli"];
        let standard = site.key(&roles);
        let advanced =
            site.key(&[&roles[..], &["--name", "advanced", "--security-level", "advanced"]].concat());
        Self { program: site.serve(), upstream, standard, advanced }
    }

    fn run(&self, script: &str, environment: &[(&str, &str)]) {
        let done = Command::new(venv_python())
            .args(["-c", script])
            .arg(format!("http://{}", self.program.gateway().0))
            .args([&self.standard.prefix, &self.standard.text, &self.advanced.prefix, &self.advanced.text])
            .envs(environment.iter().copied())
            .output()
            .expect("Python");
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success() && said.contains("passed"), "{done:?}");
    }

    /// What reached the backend says who asked, and nothing of how.
    fn judge(&self, by: &Key, method: &str) {
        let seen = self.upstream.last();
        assert_eq!(seen.header("x-credential-id"), Some(by.prefix.as_str()));
        assert_eq!(seen.header("x-auth-method"), Some(method));
        for name in ["authorization", "x-xdr-auth-id", "x-xdr-nonce", "x-xdr-timestamp"] {
            assert_eq!(seen.header(name), None, "{name}");
        }
    }
}

/// `R001_11`: the vendor's own client library, unchanged: a key as it is, and as its hash.
#[test]
fn demisto_py_calls_through_the_gateway() {
    let tenant = Tenant::new();
    let script = |level: &str| {
        format!(
            r#"
import sys, demisto_client
url, standard_id, standard, advanced_id, advanced = sys.argv[1:]
level = "{level}"
key = dict(api_key=standard, auth_id=standard_id) if level == "standard" else \
    dict(advanced_api_key=advanced, auth_id=advanced_id)
client = demisto_client.configure(base_url=url, verify_ssl=False, **key)
for number in range(3):
    body, status, _ = demisto_client.generic_request_func(
        self=client, path="/incidents/search", method="POST", body={{"filter": {{"page": number}}}})
    assert status == 200, (status, body)
print("passed")
"#
        )
    };
    tenant.run(&script("standard"), &[]);
    tenant.judge(&tenant.standard, "api_key");
    tenant.run(&script("advanced"), &[]);
    tenant.judge(&tenant.advanced, "signed");
    assert_eq!(tenant.upstream.count(), 6);
}

/// `R001_11`: another client library of that platform, unchanged. It insists on `https://api-<tenant>`, which a proxy
/// with a certificate of its own answers here and hands to the gateway.
#[test]
fn cortex_xdr_client_calls_through_the_gateway() {
    let tenant = Tenant::new();
    let path = |name: &str| tenant.program.site.path(name).to_str().expect("a plain path").to_owned();
    let (certificate, key) = (path("site.pem"), path("site.key"));
    output(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=api-tenant.test",
            "-addext",
            "subjectAltName=DNS:api-tenant.test",
            "-keyout",
            &key,
            "-out",
            &certificate,
        ],
    );
    let script = r#"
import os, socket, ssl, sys, threading
url, standard_id, standard, advanced_id, advanced = sys.argv[1:]
host, port = url.removeprefix("http://").split(":")
def pipe(source, sink):
    try:
        while part := source.recv(65536):
            sink.sendall(part)
    except OSError:
        pass
    finally:
        sink.close()
def serve(client):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += client.recv(1)
    client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.environ["SITE_CERTIFICATE"], os.environ["SITE_KEY"])
    client = context.wrap_socket(client, server_side=True)
    gateway = socket.create_connection((host, int(port)))
    threading.Thread(target=pipe, args=(client, gateway), daemon=True).start()
    pipe(gateway, client)
listener = socket.create_server(("127.0.0.1", 0))
def accept():
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
threading.Thread(target=accept, daemon=True).start()
os.environ["HTTPS_PROXY"] = os.environ["https_proxy"] = f"http://127.0.0.1:{listener.getsockname()[1]}"

from cortex_xdr_client.api.authentication import Authentication, AuthenticationType
from cortex_xdr_client.client import CortexXDRClient
for kind, key, name in [(AuthenticationType.STANDARD, standard, standard_id), (AuthenticationType.ADVANCED, advanced, advanced_id)]:
    client = CortexXDRClient(Authentication(api_key=key, api_key_id=int(name), auth_type=kind), "tenant.test")
    for number in range(3):
        answer = client.alerts_api.request("/public_api/v1/alerts/get_alerts", json_value={"request_data": {"search_from": number}})
        assert answer.status_code == 200, answer.text
        assert answer.json()["target"] == "/public_api/v1/alerts/get_alerts"
print("passed")
"#;
    let environment =
        [("SITE_CERTIFICATE", &*certificate), ("SITE_KEY", &*key), ("REQUESTS_CA_BUNDLE", &*certificate)];
    tenant.run(script, &environment);
    tenant.judge(&tenant.advanced, "signed");
    let methods: Vec<_> = tenant
        .upstream
        .requests()
        .iter()
        .map(|seen| seen.header("x-auth-method").unwrap_or_default().to_owned())
        .collect();
    assert_eq!(methods, ["api_key", "api_key", "api_key", "signed", "signed", "signed"]);
}
