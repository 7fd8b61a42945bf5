//! Held against hyper's server, which many years have looked at: what we take for requests, it takes for the same ones.
//!
//! What we refuse and hyper takes, on purpose:
//! - a length beside a transfer coding, a target with a fragment, a head beyond `limits.header_bytes` ([`Flaw`]): hyper knows
//!   no bound but its buffer, believes the coding, and throws the fragment away;
//! - a chunk's size of more than sixteen digits, if the first ones are zeros;
//! - line feeds within trailers that do not stand behind a carriage return.

use std::cell::RefCell;

use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// The same as hyper reads it, which has to answer for that. The last one's body may be broken: then so much of it came.
async fn by_hyper(said: &[u8]) -> Vec<(Asked, bool)> {
    let asked = RefCell::new(Vec::new());
    let (near, mut far) = tokio::io::duplex(1 << 20);
    let service = service_fn(async |request: Request<Incoming>| {
        let (parts, mut incoming) = request.into_parts();
        let (mut body, mut trailers, mut is_whole) = (Vec::new(), None, true);
        while let Some(frame) = incoming.frame().await {
            match frame.map(http_body::Frame::into_data) {
                Ok(Ok(data)) => body.extend_from_slice(&data),
                Ok(Err(frame)) => trailers = frame.into_trailers().ok(),
                Err(_) => is_whole = false,
            }
        }
        let (method, target) = (parts.method, parts.uri.to_string());
        let (version, headers) = (parts.version, parts.headers);
        let one = Asked { method, target, version, headers, body, trailers, keeps: true };
        asked.borrow_mut().push((one, is_whole));
        // A connection on which a CONNECT succeeds is none of HTTP any more.
        Response::builder().status(StatusCode::NOT_FOUND).body(Empty::<Bytes>::new())
    });
    let connection = http1::Builder::new()
        .half_close(true)
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(near), service);
    let client = async {
        let _ = far.write_all(said).await;
        let _ = far.shutdown().await;
        let mut answers = Vec::new();
        let _ = far.read_to_end(&mut answers).await;
    };
    let _ = tokio::join!(connection, client);
    asked.into_inner()
}

/// What parsers have disagreed about.
const PIECES: [&[u8]; 58] = [
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\n\n",
    b"\r\r\n",
    b"\n\r\n",
    b"\0",
    b" ",
    b"  ",
    b"\t",
    b":",
    b",",
    b";",
    b"#",
    b"?",
    b"*",
    b"\x0b",
    b"\x0c",
    b"\x1f",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"0",
    b"00000000000000000",
    b"-1",
    b"0x",
    b"+",
    b"f",
    b"\r\n ",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: 5, 5\r\n",
    b"Content-Length: +5\r\n",
    b"content-length:18446744073709551615\r\n",
    b"Content-Length: \r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding : chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Transfer-Encoding:\x0bchunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding: \xffx, chunked\r\n",
    b"Transfer-Encoding: chunked,\r\n",
    b"transfer-encoding: \tCHUNKED \r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"Connection: \xff, keep-alive\r\n",
    b"Connection: close\xff\r\n",
    b"Expect: 100-continue\r\n",
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"HTTP/2.0",
    b"http/1.1",
    b"GET /x HTTP/1.1\r\n\r\n",
    b"GET /x\r\n",
    b"0\r\n\r\n",
    b"0\r\nX: y\r\n\r\n",
    b"5;a=\"b\"\r\nhello\r\n",
];

const SEEDS: [&str; 12] = [
    "GET /a HTTP/1.1\r\nHost: gw\r\n\r\nGET /b?c HTTP/1.1\r\nHost: gw\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: gw\r\nContent-Length: 29\r\n\r\nGET /c HTTP/1.1\r\nHost: gw\r\n\r\nGET /d HTTP/1.1\r\n\r\n",
    "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET /e HTTP/1.1\r\n\r\n",
    "PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nX-T: 1\r\nX-U:\r\n\r\nGET /f HTTP/1.1\r\n\r\n",
    "GET http://gw/a HTTP/1.1\r\nHost: gw\r\nConnection: keep-alive, x-a\r\nX-A: 1\r\nCookie: a=b\r\n\r\nGET /g HTTP/1.1\r\n\r\n",
    "HEAD /a HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\nGET /h HTTP/1.0\r\n\r\nGET /i HTTP/1.1\r\n\r\n",
    "CONNECT gw:443 HTTP/1.1\r\nHost: gw:443\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: gw\r\n\r\nGET /j HTTP/1.1\r\nUpgrade: foo\r\nConnection: upgrade\r\n\r\n",
    "\r\n\nGET /k HTTP/1.1\nHost: gw\nContent-Length: 2\n\nab\r\nGET /l HTTP/1.1\r\n\r\n",
    "POST /m HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\nX: caf\u{e9}\r\n\r\nabcGET /n HTTP/1.1\r\n\r\n",
    "POST /o HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\nGET /p HTTP/1.1\r\n\r\n",
    "POST /q HTTP/1.0\r\nContent-Length: 5\r\n\r\nhelloGET /r HTTP/1.0\r\n\r\n",
];

/// A seed with up to four accidents, as a client says it.
fn bent() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(PIECES.to_vec());
    let accident = (any::<prop::sample::Index>(), 0..7_u8, any::<u8>(), piece);
    let accidents = prop::collection::vec(accident, 0..5);
    (prop::sample::select(SEEDS.to_vec()), accidents).prop_map(|(seed, accidents)| {
        let mut said = seed.as_bytes().to_vec();
        for (at, how, byte, piece) in accidents {
            let at = at.index(said.len());
            match how {
                0 => drop(said.remove(at)),
                1 => said[at] = byte,
                2 => {
                    let again = said[at..(at + 1 + usize::from(byte % 40)).min(said.len())].to_vec();
                    drop(said.splice(at..at, again));
                }
                3 if said.len() > 40 => said.truncate(said.len() - at / 4),
                // Where a line begins, or what stands behind a colon.
                4 | 5 => {
                    let starts =
                        said[at..].iter().position(|&byte| byte == if how == 4 { b'\n' } else { b':' });
                    let at = starts.map_or(at, |count| at + count + 1);
                    drop(said.splice(at..at, piece.iter().copied()));
                }
                _ => drop(said.splice(at..at, piece.iter().copied())),
            }
        }
        said
    })
}

/// As hyper would have it, which says nothing about the connection.
fn plain(asked: &Asked) -> Asked {
    Asked { keeps: true, ..asked.clone() }
}

fn is_coded(headers: &HeaderMap) -> bool {
    headers.contains_key("transfer-encoding")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn nobody_reads_a_request_that_hyper_would_not(said in bent()) {
        let ours = read(&said);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let theirs = runtime.block_on(by_hyper(&said));
        let whole: Vec<Asked> = theirs.iter().filter(|(_, is_whole)| *is_whole).map(|(asked, _)| asked.clone()).collect();
        let mine: Vec<Asked> = ours.requests.iter().map(plain).collect();
        prop_assert!(whole.starts_with(&mine), "{:?} is not {:?}", ours, theirs);
        // A broken body is the beginning of what it takes for one.
        let next = theirs.get(mine.len()).map(|(asked, _)| asked);
        if let End::Broken(part) = &ours.end {
            prop_assert!(next.is_some_and(|next| next.body.starts_with(part)), "{:?} is not {:?}", ours, theirs);
        }
        if whole.len() > mine.len() {
            let next = &whole[mine.len()];
            let on_purpose = match &ours.end {
                End::Flawed(Flaw::TwoLengths) | End::Broken(_) => is_coded(&next.headers),
                End::Flawed(Flaw::Fragment) => said.contains(&b'#'),
                _ => false,
            };
            prop_assert!(on_purpose, "hyper reads on: {:?}, {:?}", ours, theirs);
        }
    }
}

#[test]
fn hyper_takes_the_seeds_as_we_do() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for seed in SEEDS {
        let ours = read(seed);
        let theirs = runtime.block_on(by_hyper(seed.as_bytes()));
        let whole: Vec<Asked> = theirs.into_iter().map(|(asked, _)| asked).collect();
        let mine: Vec<Asked> = ours.requests.iter().map(plain).collect();
        assert!(whole.starts_with(&mine), "{seed}: {ours:?} {whole:?}");
        assert!(!mine.is_empty() || ours.end == End::Flawed(Flaw::TwoLengths), "{seed}: {ours:?}");
    }
}

const CASES: u32 = 4000;
