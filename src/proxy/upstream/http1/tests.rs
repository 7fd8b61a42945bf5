//! Answers of honest and hostile upstreams, and hyper's client beside ours.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::AsyncWriteExt as _;

use super::Whole;

/// What comes of an answer, however its bytes are cut.
fn read(answer: &[u8], to_head: bool) -> Result<Whole, String> {
    let tell = |piece| Whole::read(answer, piece, to_head).map_err(|error| format!("{error:?}"));
    let whole = tell(usize::MAX);
    for piece in [1, 2, 3, 7, 64] {
        match (&whole, tell(piece)) {
            (Err(_), Err(_)) => {}
            (whole, pieces) => {
                assert_eq!(*whole, pieces, "in pieces of {piece}: {:?}", String::from_utf8_lossy(answer));
            }
        }
    }
    whole
}

/// Body, bytes behind it, and whether the connection lives on; or the kind of error.
fn told(answer: &str) -> String {
    match read(answer.as_bytes(), false) {
        Ok(Whole { status, body, surplus, keeps, .. }) => {
            format!("{status} {} {surplus} {keeps}", String::from_utf8_lossy(&body))
        }
        Err(error) => error.split('(').next().unwrap_or_default().to_owned(),
    }
}

#[test]
fn each_answer_ends_where_its_framing_says() {
    for (answer, expected) in [
        ("200 OK\r\nContent-Length: 5\r\n\r\nhello", "200 hello 0 true"),
        ("200 OK\r\nContent-Length: 0\r\n\r\n", "200  0 true"),
        ("200 OK\r\nContent-Length: 005\r\n\r\nhello", "200 hello 0 true"),
        ("200 OK\r\nContent-Length: 5\r\n\r\nhello, world", "200 hello 7 false"),
        ("200 OK\r\ncontent-length:5\r\nCONNECTION: x ,\tClose\r\n\r\nhello", "200 hello 0 false"),
        (
            "200 OK\r\nContent-Length: 5\r\nConnection: close\r\nConnection: keep-alive\r\n\r\nhello",
            "200 hello 0 false",
        ),
        ("200 OK\r\nContent-Length: 5\r\n\r\nhell", "Cut"),
        ("200 OK\r\n\r\nhello", "200 hello 0 false"),
        ("200 OK\r\n\r\n", "200  0 false"),
        ("204 No Content\r\n\r\n", "204  0 true"),
        ("204 No Content\r\nContent-Length: 5\r\n\r\nhello", "204  5 false"),
        ("304 Not Modified\r\nContent-Length: 5\r\n\r\n", "304  0 true"),
        ("304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", "304  0 true"),
        ("101 Switching\r\nUpgrade: x\r\n\r\nhello", "101  5 false"),
        (
            "100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
            "200 x 0 true",
        ),
        ("100 Continue\r\nContent-Length: 5\r\n\r\nhello", "Malformed"),
        ("103 Early Hints\r\n\r\n", "Cut"),
        ("200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "200 hello 0 true"),
        ("200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nHTTP", "200 hello 4 false"),
        ("200\r\nContent-Length: 0\r\n\r\n", "200  0 true"),
        ("999 What\r\nContent-Length: 0\r\n\r\n", "999  0 true"),
    ] {
        assert_eq!(told(&format!("HTTP/1.1 {answer}")), expected, "{answer}");
    }
    assert_eq!(
        told("HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello"),
        "200 hello 0 false"
    );
    let head = read(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true).unwrap();
    assert!(head.keeps && head.body.is_empty());
    let head = read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", true).unwrap();
    assert!(head.keeps && head.body.is_empty());
    assert!(!read(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", true).unwrap().keeps);
}

#[test]
fn what_has_two_ends_or_none_is_refused() {
    for (fields, expected) in [
        ("Content-Length: 5\r\nContent-Length: 5", "Length"),
        ("Content-Length: 5\r\nContent-Length: 6", "Length"),
        ("Content-Length: 5, 5", "Length"),
        ("Content-Length: 5,", "Length"),
        ("Content-Length: +5", "Length"),
        ("Content-Length: -5", "Length"),
        ("Content-Length: 0x5", "Length"),
        ("Content-Length: 5 5", "Length"),
        ("Content-Length: 5;", "Length"),
        ("Content-Length: \"5\"", "Length"),
        ("Content-Length:", "Length"),
        ("Content-Length: 5.0", "Length"),
        ("Content-Length: 18446744073709551615", "Length"),
        ("Content-Length: 18446744073709551621", "Length"),
        ("Content-Length: 99999999999999999999999999", "Length"),
        ("Content-Length: \u{665}", "Length"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5", "TwoLengths"),
        ("Content-Length: 5\r\nTransfer-Encoding: identity", "TwoLengths"),
        ("Content-Length: x\r\nTransfer-Encoding: chunked", "TwoLengths"),
        ("Transfer-Encoding: gzip", "Coding"),
        ("Transfer-Encoding: gzip, chunked", "Coding"),
        ("Transfer-Encoding: chunked, chunked", "Coding"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "Coding"),
        ("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", "Coding"),
        ("Transfer-Encoding: chunked;q=1", "Coding"),
        ("Transfer-Encoding: xchunked", "Coding"),
        ("Transfer-Encoding: \"chunked\"", "Coding"),
        ("Transfer-Encoding:", "Coding"),
        ("Transfer-Encoding: chunked\u{b}", "Malformed"),
        ("Transfer-Encoding : chunked", "Malformed"),
        ("Transfer-Encoding\r\n: chunked", "Malformed"),
        ("Content-Length: 1\r\n 0", "Malformed"),
        ("X: a\r\n\tb", "Malformed"),
        (" X: a", "Malformed"),
        ("X: a\0b", "Malformed"),
        ("X: a\rb", "Malformed"),
        ("X\u{e9}: a", "Malformed"),
        (": a", "Malformed"),
        ("no colon", "Malformed"),
    ] {
        for status in ["200 OK", "500 No"] {
            let answer = format!("HTTP/1.1 {status}\r\n{fields}\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
            assert_eq!(told(&answer), expected, "{fields}");
        }
    }
    // Not even where there is no body: whoever reads it next may see one.
    assert!(read(b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", true).is_err());
    assert_eq!(told("HTTP/1.1 204 No\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"), "Length");
    assert_eq!(told("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), "Coding");
}

#[test]
fn what_is_no_head_is_refused() {
    for head in [
        "",
        "HTTP/1.1 200 OK\r\nX: y",
        "garbage\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.2 200 OK\r\n\r\n",
        "HTTP/0.9 200 OK\r\n\r\n",
        "http/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1 -20 OK\r\n\r\n",
        "HTTP/1.1\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n",
        "xHTTP/1.1 200 OK\r\n\r\n",
        " HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 O\0K\r\n\r\n",
        "HTTP/1.1 200 OK\rX: y\r\n\r\n",
    ] {
        assert!(read(head.as_bytes(), false).is_err(), "{head:?}");
    }
}

#[test]
fn heads_have_bounds() {
    let with = |field: &str, times: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", field.repeat(times));
    assert_eq!(told(&with("X: y\r\n", 100)), "200  0 false");
    assert_eq!(told(&with("X: y\r\n", 101)), "Malformed");
    let long = |length| with(&format!("X: {}\r\n", "y".repeat(length)), 1);
    assert_eq!(told(&long((32 << 10) - 30)), "200  0 false");
    assert_eq!(told(&long(33 << 10)), "TooLong");
    assert_eq!(told(&"HTTP/1.1 103 x\r\n\r\n".repeat(101)), "Interim");
    let patient = "HTTP/1.1 103 x\r\n\r\n".repeat(100);
    assert_eq!(told(&format!("{patient}HTTP/1.1 204 x\r\n\r\n")), "204  0 true");
}

#[test]
fn chunks_are_exactly_chunks() {
    for (chunks, expected) in [
        ("5\r\nhello\r\n0\r\n\r\n", "hello"),
        ("05\r\nhello\r\n000\r\n\r\n", "hello"),
        ("3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", "hello"),
        ("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789"),
        ("5;a=b;c=\"d\"\r\nhello\r\n0;x\r\n\r\n", "hello"),
        ("5 \t\r\nhello\r\n0 ;x\r\n\r\n", "hello"),
        ("0\r\nX: y\r\n\r\n", ""),
        ("0000000000000005\r\nhello\r\n0\r\n\r\n", "hello"),
        // Broken.
        ("", "Cut"),
        ("5", "Cut"),
        ("5\r\nhel", "Cut"),
        ("5\r\nhello", "Cut"),
        ("5\r\nhello\r\n", "Cut"),
        ("5\r\nhello\r\n0\r\n", "Cut"),
        ("5\r\nhello\r\n0\r\n\r", "Cut"),
        ("5\r\nhello\r\n0\r\nX: y\r\n", "Cut"),
        ("5\nhello\n0\n\n", "Chunk"),
        ("5\r\nhello\n0\r\n\r\n", "Chunk"),
        ("5\r\nhello0\r\n\r\n", "Chunk"),
        ("4\r\nhello\r\n0\r\n\r\n", "Chunk"),
        ("\r\n5\r\nhello\r\n0\r\n\r\n", "Chunk"),
        (" 5\r\nhello\r\n0\r\n\r\n", "Chunk"),
        ("+5\r\nhello\r\n0\r\n\r\n", "Chunk"),
        ("-5\r\nhello\r\n0\r\n\r\n", "Chunk"),
        ("0x5\r\nhello\r\n0\r\n\r\n", "Chunk"),
        ("5 5\r\nhello\r\n0\r\n\r\n", "Chunk"),
        ("g\r\nhello\r\n0\r\n\r\n", "Chunk"),
        (";x\r\nhello\r\n0\r\n\r\n", "Chunk"),
        ("5\r hello\r\n0\r\n\r\n", "Chunk"),
        ("5;x\nhello\r\n0\r\n\r\n", "Chunk"),
        ("5;x\rhello\r\n0\r\n\r\n", "Chunk"),
        ("fffffffffffffffff\r\nhello\r\n0\r\n\r\n", "Chunk"),
        ("10000000000000005\r\nhello\r\n0\r\n\r\n", "Chunk"),
        ("00000000000000000005\r\nhello\r\n0\r\n\r\n", "Chunk"),
        ("0\r\nX: y\n\r\n", "Chunk"),
        ("0\r\nX: y\rZ: z\r\n\r\n", "Chunk"),
        ("0\r\n\n\r\n", "Chunk"),
        ("0\r\nno colon\r\n\r\n", "Malformed"),
        ("0\r\nX: y\r\n z\r\n\r\n", "Malformed"),
        ("0\r\nX : y\r\n\r\n", "Malformed"),
        ("0\r\nX: a\0b\r\n\r\n", "Malformed"),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        let told = told(&answer);
        let body = told.strip_prefix("200 ").and_then(|told| told.strip_suffix(" 0 true"));
        assert_eq!(body.unwrap_or(&told), expected, "{chunks:?}");
    }
}

#[test]
fn what_stands_between_chunks_has_bounds() {
    let body =
        |chunks: String| told(&format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"));
    assert_eq!(body(format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(17 << 10))), "Chunk");
    assert_eq!(body(format!("{}0\r\n\r\n", "1;eeeeeee\r\nx\r\n".repeat(3 << 10))), "Chunk");
    assert_eq!(body(format!("0\r\nX: {}\r\n\r\n", "y".repeat(17 << 10))), "TooLong");
    assert_eq!(body(format!("0\r\n{}\r\n", "X: y\r\n".repeat(101))), "Malformed");
    let trailers =
        read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: 1\r\nb:2 \r\n\r\n", false);
    let trailers = trailers.unwrap().trailers.unwrap();
    assert_eq!(
        (&trailers["a"], &trailers["b"], trailers.len()),
        (&"1".parse().unwrap(), &"2".parse().unwrap(), 2)
    );
}

/// What hyper's client makes of an answer.
async fn by_hyper(
    answer: &[u8],
    to_head: bool,
) -> Option<(u16, http::HeaderMap, Vec<u8>, Option<http::HeaderMap>)> {
    let (near, mut far) = tokio::io::duplex(1 << 20);
    let handshake = http1::Builder::new().max_buf_size(32 << 10).handshake(TokioIo::new(near)).await;
    let (mut sender, driver) = handshake.unwrap();
    let method = if to_head { "HEAD" } else { "GET" };
    let request = Request::builder().method(method).header("host", "x").body(Empty::<Bytes>::new()).unwrap();
    let talk = async {
        let response = sender.send_request(request).await.ok()?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.ok()?;
        let trailers = body.trailers().cloned();
        Some((parts.status.as_u16(), parts.headers, body.to_bytes().to_vec(), trailers))
    };
    let other = async {
        let mut asked = [0; 512];
        let _ = tokio::io::AsyncReadExt::read(&mut far, &mut asked).await;
        let _ = far.write_all(answer).await;
        let _ = far.shutdown().await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        told = async { tokio::join!(talk, async { let _ = driver.await; }).0 } => told,
        () = other => None,
    }
}

fn answers() -> impl Strategy<Value = Vec<u8>> {
    let start = prop::sample::select(vec![
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.0 200 OK\r\n",
        "HTTP/1.1 204 No\r\n",
        "HTTP/1.1 304 No\r\n",
        "HTTP/1.1 404 \r\n",
        "HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200\n",
        "\r\nHTTP/1.1 200 OK\r\n",
    ]);
    let field = prop::sample::select(vec![
        "Content-Length: 5\r\n",
        "Content-Length: 05\r\n",
        "Content-Length: 4\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: Chunked \r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Connection: close\r\n",
        "X-A:\r\n",
        "X-A: \u{e9} \"\t'\r\n",
        "Set-Cookie: a=b\r\n",
        "set-cookie: c\n",
        "Content-Length: 5,5\r\n",
        "X-B: c\rd\r\n",
        "x y: z\r\n",
    ]);
    let body = prop::sample::select(vec![
        "hello",
        "hell",
        "",
        "5\r\nhello\r\n0\r\n\r\n",
        "5;x=\"\n\"\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\nX-T: 1\r\n\r\n",
        "0\r\nX: a\r\nY: b\r\n\r\nmore",
        "1\r\na\r\n1\r\nb\r\n00\r\n\r\n",
        "5\r\nhello\r\n0\r\nX T: 1\r\n\r\n",
    ]);
    let spoilt = prop::option::weighted(0.4, (any::<prop::sample::Index>(), any::<u8>(), 0..3_u8));
    (start, prop::collection::vec(field, 0..4), body, spoilt).prop_map(|(start, fields, body, spoilt)| {
        let mut answer = format!("{start}{}\r\n{body}", fields.concat()).into_bytes();
        if let Some((at, byte, how)) = spoilt {
            let at = at.index(answer.len());
            match how {
                0 => answer[at] = byte,
                1 => answer.insert(at, byte),
                _ => drop(answer.remove(at)),
            }
        }
        answer
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// What we take for an answer, hyper takes for the same answer.
    #[test]
    fn nobody_reads_an_answer_that_hyper_would_not(answer in answers(), to_head: bool) {
        let ours = read(&answer, to_head);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let theirs = runtime.block_on(by_hyper(&answer, to_head));
        if let Ok(ours) = ours {
            prop_assert_eq!(Some((ours.status, ours.headers, ours.body, ours.trailers)), theirs);
        } else if let Some((_, headers, ..)) = theirs {
            // Stricter on purpose: lengths and codings that two readers may understand differently, sizes of chunks.
            let odd = |name: &str| headers.get_all(name).iter().count() > 0;
            prop_assert!(odd("content-length") || odd("transfer-encoding"), "{:?}", ours);
        }
    }
}
