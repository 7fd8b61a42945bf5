//! Where a request ends: nothing that two programs could read differently is forwarded (RFC 9112 section 6).

use std::time::{Duration, Instant};

use super::house::House;
use crate::support::{
    rawc::{End, exchange},
    rawup::Request,
    wrong::Wrong,
};

/// B31 to B33, B41 to B43: a length and an encoding, or an encoding that is not one `chunked`, is no framing.
#[test]
fn two_ways_to_end_are_none() {
    let house = House::new();
    let mut wrong = Wrong::default();
    let cases: &[&[u8]] = &[
        b"POST /api/e HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\nGET /admin/pwn HTTP/1.1\r\n{HEAD}\r\n0\r\n\r\n",
        b"POST /api/e HTTP/1.1\r\n{HEAD}Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n20\r\nGET /admin/pwn HTTP/1.1\r\n{HEAD}\r\n",
        b"POST /api/e HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /api/e HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        b"POST /api/e HTTP/1.1\r\n{HEAD}Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /api/e HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        b"POST /api/e HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"POST /api/e HTTP/1.1\r\n{HEAD}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST /api/e HTTP/1.1\r\n{HEAD}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        b"POST /api/e HTTP/1.1\r\n{HEAD}Transfer-Encoding:\r\n\r\n0\r\n\r\n",
        b"POST /api/e HTTP/1.0\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ];
    for case in cases {
        house.refuses(case, &[400, 501], &mut wrong);
    }
    house.refuses(
        b"POST /api/e HTTP/1.1\r\n{HEAD}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        &[400, 501],
        &mut wrong,
    );
    // RFC 9112 section 6.3 would let a gateway forward the encoding alone; nothing is gained by guessing.
    let smuggled: &[u8] = b"POST /api/e HTTP/1.1\r\n{HEAD}Content-Length: 13\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /admin/pwn HTTP/1.1\r\n{HEAD}\r\n";
    house.refuses(smuggled, &[400], &mut wrong);
    wrong.none("framing");
}

/// B36, B37: a length that is no plain number is no length.
#[test]
fn odd_lengths_are_refused() {
    let house = House::new();
    let mut wrong = Wrong::default();
    let digits = "1".repeat(40);
    for length in [
        "+5",
        "-5",
        "0x5",
        "5_0",
        "5a",
        "5 5",
        "1Z",
        "",
        "\x0b5",
        "18446744073709551616",
        &digits,
        "5,6",
        "5;5",
    ] {
        let case = format!("POST /api/e HTTP/1.1\r\n{{HEAD}}Content-Length: {length}\r\n\r\nhello");
        house.refuses(case.as_bytes(), &[400, 413], &mut wrong);
    }
    let twice: &[&[u8]] = &[
        b"POST /api/e HTTP/1.1\r\n{HEAD}content-length: \r\ncontent-length: 59\r\n\r\nPOST /admin/pwn HTTP/1.1\r\n{HEAD}\r\n",
        b"POST /api/e HTTP/1.1\r\n{HEAD}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    ];
    for case in twice {
        house.refuses(case, &[400], &mut wrong);
    }
    wrong.none("a length");
}

/// B34, B38: a length said twice, or with zeros before it, means the same to everyone or is refused.
#[test]
fn repeated_and_padded_lengths_mean_one_thing() {
    let house = House::new();
    let mut wrong = Wrong::default();
    let one_length = |length: u64| {
        move |seen: &Request| {
            seen.header("content-length") == Some(length.to_string().as_str()) && seen.body.length == length
        }
    };
    house.refuses_or(b"POST /api/e HTTP/1.1\r\n{HEAD}Connection: close\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", &mut wrong, one_length(5));
    house.refuses_or(
        b"POST /api/e HTTP/1.1\r\n{HEAD}Connection: close\r\nContent-Length: 5, 5\r\n\r\nhello",
        &mut wrong,
        one_length(5),
    );
    house.refuses_or(
        b"POST /api/e HTTP/1.1\r\n{HEAD}Connection: close\r\nContent-Length: 010\r\n\r\n0123456789",
        &mut wrong,
        one_length(10),
    );
    wrong.none("a length");
}

/// B44: aliases of the framing headers frame nothing, here or behind us.
#[test]
fn alias_framing_headers_frame_nothing() {
    let house = House::new();
    let mut wrong = Wrong::default();
    for alias in ["Transfer_Encoding: chunked", "Transfer.Encoding: chunked", "Content_Length: 40"] {
        let case = format!(
            "GET /api/e HTTP/1.1\r\n{{HEAD}}Connection: close\r\n{alias}\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        );
        house.refuses_or(case.as_bytes(), &mut wrong, |seen| {
            let folds = |name: &str| seen.fields.folding_to(name).is_empty();
            seen.body.length == 0 && folds("transfer-encoding") && folds("content-length")
        });
    }
    wrong.none("an alias");
}

/// B56 to B59, B62: chunks that are not exactly chunks end the connection; the upstream never sees the request whole.
#[test]
fn crooked_chunks_end_the_connection() {
    let house = House::new();
    let mut wrong = Wrong::default();
    let flood = format!("2;{}\r\nab\r\n0\r\n\r\n", "e".repeat(64 << 10));
    let trailers = format!("0\r\n{}\r\n", "X-T: 1\r\n".repeat(200));
    let long_trailer = format!("0\r\nX-T: {}\r\n\r\n", "t".repeat(40 << 10));
    let bodies: &[&[u8]] = &[
        b"fffffffffffffffff\r\nabc",
        b"10000000000000000\r\nabc",
        b"-1\r\nabc\r\n0\r\n\r\n",
        b"0x3\r\nabc\r\n0\r\n\r\n",
        b" 3\r\nabc\r\n0\r\n\r\n",
        b"\r\nabc\r\n0\r\n\r\n",
        b"5;\nxx\r\nhello\r\n0\r\n\r\n",
        b"41;a=b\r\rXX\r\n0\r\n\r\n",
        b"2\r\r;a\r\nab\r\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\nhello\n0\n\n",
        b"3\r\nabc\r\nzz\r\n",
        flood.as_bytes(),
        trailers.as_bytes(),
        long_trailer.as_bytes(),
    ];
    for body in bodies {
        let case = [b"POST /api/e HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n", *body].concat();
        let heard = house.ask(&case);
        let complete = house.upstream.requests().iter().any(|seen| seen.complete);
        let answered_well = heard.responses.iter().all(|answer| answer.status >= 400);
        wrong.unless(heard.end != End::Open && !complete && answered_well, || {
            let shown: String = String::from_utf8_lossy(body).chars().take(40).collect();
            format!("{shown:?}: {:?}, complete at the upstream: {complete}", heard.story())
        });
    }
    wrong.none("a chunk");
}

/// B63: a body where none is expected is forwarded as a body, never read as a request.
#[test]
fn a_body_is_a_body_on_any_method() {
    let house = House::new();
    let smuggled = house.bytes(b"GET /admin/pwn HTTP/1.1\r\n{HEAD}\r\n");
    for method in ["GET", "DELETE", "OPTIONS"] {
        let head = format!(
            "{method} /api/e HTTP/1.1\r\n{{HEAD}}Connection: close\r\nContent-Length: {}\r\n\r\n",
            smuggled.len()
        );
        let heard = house.ask(&[head.as_bytes(), &smuggled].concat());
        assert_eq!(heard.responses.len(), 1, "{method}: {:?}", heard.story());
        let seen = house.upstream.requests();
        assert!(seen.iter().all(|seen| seen.target == "/api/e"), "{method}: {seen:?}");
    }
}

/// B64, B66: a refused request's body is never read as a request, and an endless one ends the connection.
#[test]
fn the_body_of_a_refused_request_is_no_request() {
    let house = House::new();
    let smuggled = house.bytes(b"GET /admin/pwn HTTP/1.1\r\n{HEAD}\r\n");
    let head = format!("POST /api/e HTTP/1.1\r\nHost: gw\r\nContent-Length: {}\r\n\r\n", smuggled.len());
    let heard = exchange(
        house.program.gateway().0,
        [head.as_bytes(), &smuggled].concat(),
        Duration::from_millis(700),
    );
    assert_eq!(heard.responses.len(), 1, "{:?}", heard.story());
    assert_eq!(heard.responses[0].verdict(), "401 credential_missing");

    let mut client = house.program.gateway().connect();
    client.send("POST /api/e HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(client.receive().verdict(), "401 credential_missing");
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let started = Instant::now();
    while client.try_send(chunk.as_bytes()).is_ok() {
        assert!(started.elapsed() < Duration::from_secs(10), "an endless body is read without end");
    }
    assert_eq!(house.upstream.count(), 0);
}

/// B83, B84: half a body is never a whole request.
#[test]
fn a_truncated_body_is_never_whole() {
    let house = House::new();
    for body in
        [&b"Content-Length: 100\r\n\r\nonly this"[..], b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"]
    {
        house.upstream.forget();
        let mut client = house.program.gateway().connect();
        client.send(house.bytes(&[b"POST /api/e HTTP/1.1\r\n{HEAD}", body].concat())).half_close();
        let (end, rest) = client.until_closed();
        assert_ne!(end, End::Open);
        assert!(!String::from_utf8_lossy(&rest).contains("200 OK"), "{:?}", String::from_utf8_lossy(&rest));
        assert!(house.upstream.requests().iter().all(|seen| !seen.complete));
    }
}
