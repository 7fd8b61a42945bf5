//! Debian's nginx and Python's `http.server`, unmodified, behind the gateway.

use std::{fs, thread};

use crate::support::{
    program::Site,
    rawup::{pattern, pattern_sum, write_pattern},
    setup::Setup,
    tools::{Backend, output},
};

/// nginx: files, ranges, validators, uploads; it learns the tenant and never the key.
#[test]
fn nginx_behind_the_gateway() {
    let nginx = Backend::nginx();
    let site = Site::new(Setup::bare("offload").upstream("app", &nginx.url()).route("name = \"api\"\npath = \"/api/{*rest}\"\nupstream = \"app\"\nrequire = { GET = \"scan:read\", PUT = \"scan:trigger\" }"));
    let key = site.key(&["--scopes", "scan:read,scan:trigger"]);
    let tenant = site.org();
    let program = site.serve();
    let files = nginx.folder.path().join("www/files");
    fs::write(files.join("hello.txt"), "hello from nginx").expect("write");
    let caller = program.key(&key.text);
    let answer = caller.get("/api/files/hello.txt");
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello from nginx"));
    let etag = answer.header("etag").expect("a validator").to_owned();
    assert_eq!(
        caller.request("GET", "/api/files/hello.txt").header("If-None-Match", &etag).send().status,
        304
    );
    let part = caller.request("GET", "/api/files/hello.txt").header("Range", "bytes=6-9").send();
    assert_eq!((part.status, part.text().as_str()), (206, "from"));
    assert_eq!(caller.get("/api/files/absent").status, 404, "its own 404");
    assert_eq!(caller.get("/api/who").text(), format!("{tenant} {} ", key.prefix));
    let uploaded = caller.request("PUT", "/api/files/../x").body("x").send();
    assert_eq!(uploaded.verdict(), "400 path_ambiguous");
    assert_eq!(program.anonymous().verdict("/api/files/hello.txt"), "401 credential_missing");
}

/// "1 GiB up and down through it": nginx serves and takes a gibibyte by way of curl; the gateway's memory stays flat.
#[test]
fn a_gibibyte_through_nginx() {
    const LENGTH: u64 = 1 << 30;
    let nginx = Backend::nginx();
    let site = Site::new(Setup::bare("offload").upstream("app", &nginx.url()).route("name = \"api\"\npath = \"/api/{*rest}\"\nupstream = \"app\"\nrequire = { GET = \"scan:read\", PUT = \"scan:trigger\" }"));
    let key = site.key(&["--scopes", "scan:read,scan:trigger"]);
    let program = site.serve();
    let files = nginx.folder.path().join("www/files");
    let mut file = std::io::BufWriter::new(fs::File::create(files.join("big")).expect("create"));
    write_pattern(&mut file, LENGTH).expect("write a gibibyte");
    drop(file);
    assert_eq!(program.key(&key.text).get("/api/who").status, 200);
    let before = program.memory_kib("VmHWM");
    let answer = program.key(&key.text).get("/api/files/big");
    assert_eq!((answer.body.length, answer.body.sum.finalize()), (LENGTH, pattern_sum(LENGTH)));
    let url = format!("http://{}/api/upload/copy", program.gateway().0);
    let big = files.join("big");
    output(
        "curl",
        &["-fsS", "-H", &format!("X-API-Key: {}", key.text), "-T", big.to_str().expect("a path"), &url],
    );
    assert_eq!(fs::metadata(files.join("copy")).expect("the copy").len(), LENGTH);
    let grown = program.memory_kib("VmHWM") - before;
    assert!(grown < 16 << 10, "memory grew by {grown} KiB");
}

/// Python's `http.server`: HTTP/1.0 answers, closed after each; many at once.
#[test]
fn python_http_server_behind_the_gateway() {
    let backend = Backend::python();
    fs::create_dir(backend.folder.path().join("api")).expect("a folder");
    fs::write(backend.folder.path().join("api/pattern"), pattern()).expect("write");
    let site = Site::new(
        Setup::bare("offload")
            .upstream("app", &backend.url())
            .route("name = \"api\"\npath = \"/api/{*rest}\"\nupstream = \"app\"\nrequire = \"scan:read\""),
    );
    let key = site.key(&["--scopes", "scan:read"]);
    let program = site.serve();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = program.gateway().connect();
                for _ in 0..10 {
                    let answer = program.key(&key.text).request("GET", "/api/pattern").on(&mut client);
                    assert_eq!((answer.status, answer.body.length), (200, 65_521));
                }
            });
        }
    });
    assert_eq!(program.key(&key.text).get("/api/absent").status, 404);
    assert_eq!(
        program.key(&key.text).post("/api/pattern", "x").status,
        501,
        "what the backend cannot, it says itself"
    );
}
