//! Requests that other parsers would read differently: what hyper refuses, hides and passes on.
//!
//! These hold hyper to what `headers::authority` says about it. When one fails after an update of hyper, that page
//! has to change, and perhaps the checks with it.

use super::*;

/// What the client saw until the gateway closed the connection, and the heads that the upstream saw.
async fn outcome(request: &[u8]) -> (String, Vec<String>) {
    let seen = Seen::default();
    let noted = seen.clone();
    let backend = upstream(move |_, mut wire| {
        let seen = noted.clone();
        async move {
            loop {
                let head = wire.head().await;
                if !head.ends_with("\r\n\r\n") {
                    return;
                }
                if head != "0\r\n\r\n" {
                    seen.note(head.to_lowercase());
                }
                if wire.stream.write_all(OK.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    let gateway = gateway(&[backend], SETTINGS).await;
    let mut client = gateway.client().await;
    client.send(request).await;
    let answer = timeout(SOON * 20, client.rest()).await;
    let shown = String::from_utf8_lossy(request);
    (answer.unwrap_or_else(|_| panic!("the connection stays open after {shown:?}")), seen.all())
}

fn statuses(answer: &str) -> Vec<&str> {
    answer.split("HTTP/1.1 ").skip(1).filter_map(|part| part.get(..3)).collect()
}

#[test]
fn what_hyper_or_the_checks_refuse_never_reaches_the_upstream() {
    worker(async {
        let mut requests: Vec<Vec<u8>> = Vec::new();
        for lines in [
            // Lengths.
            "Content-Length: +5",
            "Content-Length: -5",
            "Content-Length: 0x5",
            "Content-Length: 5_0",
            "Content-Length: 5a",
            "Content-Length: 5 5",
            "Content-Length: ",
            "Content-Length: 18446744073709551616",
            "Content-Length: 5, 5",
            "Content-Length: 5\r\nContent-Length: 6",
            "Content-Length: \r\nContent-Length: 5",
            "Content-Length: 010",
            "Content-Length : 5",
            // Transfer codings.
            "Transfer-Encoding: gzip",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked, gzip",
            "Transfer-Encoding: identity",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding : chunked",
            "Transfer-\r\nEncoding: chunked",
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding: \x0bchunked",
            "Transfer-Encoding: \"chunked\"",
            // Lines.
            " X: folded",
            "\tX: folded",
            "X: a\r\n b",
            "X : a",
            ": x",
            "X",
            "X: a\rb",
            "X: a\0b",
            "X\u{e9}: a",
            "X\0: a",
            "Host: other",
        ] {
            requests.push(format!("POST /x HTTP/1.1\r\nHost: gw\r\n{lines}\r\n\r\n0\r\n\r\n").into());
        }
        for head in [
            "GET /x HTTP/1.1\r\n",
            "GET /x HTTP/1.1\r\nHost: a, b\r\n",
            "GET /x HTTP/1.1\r\nHost: \r\n",
            "GET /x HTTP/1.1\r\nHost: user@gw\r\n",
            "GET /x HTTP/1.1\r\nHost: gw/..\r\n",
            "GET /x HTTP/1.1\r\nHost: gw:99999\r\n",
            "GET foo HTTP/1.1\r\nHost: gw\r\n",
            "GET ?x HTTP/1.1\r\nHost: gw\r\n",
            "GET /a b HTTP/1.1\r\nHost: gw\r\n",
            "GET http:///x HTTP/1.1\r\nHost: gw\r\n",
            "GET http://u:p@gw/ HTTP/1.1\r\nHost: gw\r\n",
            "GET ftp://gw/ HTTP/1.1\r\nHost: gw\r\n",
            "GET /a\0b HTTP/1.1\r\nHost: gw\r\n",
            "GET /x HTTP/1.1\r\r\nHost: gw\r\n",
            "GET /x HTTP/3.0\r\nHost: gw\r\n",
            "GET /x\r\nHost: gw\r\n",
            "G=\"<>\" /x HTTP/1.1\r\nHost: gw\r\n",
            "\0 /x HTTP/1.1\r\nHost: gw\r\n",
            "GET  /x HTTP/1.1\r\nHost: gw\r\n",
            "GET /x  HTTP/1.1\r\nHost: gw\r\n",
            "POST /x HTTP/1.0\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n",
            "PRI * HTTP/2.0\r\n",
        ] {
            requests.push(format!("{head}\r\n").into());
        }
        for request in requests {
            let (answer, seen) = outcome(&request).await;
            let shown = String::from_utf8_lossy(&request).into_owned();
            assert_eq!(seen, [""; 0], "{shown:?} reached the upstream");
            assert!(statuses(&answer).len() <= 1 && !answer.contains("200 OK"), "{shown:?}: {answer}");
        }
    });
}

#[test]
fn what_hyper_hides_is_refused() {
    worker(async {
        for (lines, target) in [
            ("Content-Length: 13\r\nTransfer-Encoding: chunked", "/x"),
            ("Transfer-Encoding: chunked\r\nContent-Length: 4", "/x"),
            ("Content-Length: 0\r\nTransfer-Encoding: chunked", "/x"),
            ("X: y", "/admin/x#/public/"),
            ("X: y", "/x?a#b"),
        ] {
            let pipelined = "GET /pwn HTTP/1.1\r\nHost: gw\r\n\r\n";
            let request =
                format!("POST {target} HTTP/1.1\r\nHost: gw\r\n{lines}\r\n\r\n0\r\n\r\n{pipelined}");
            let (answer, seen) = outcome(request.as_bytes()).await;
            assert_eq!(statuses(&answer), ["400"], "{lines} {target}: {answer}");
            assert_eq!(seen, [""; 0], "{lines} {target}");
        }
    });
}

#[test]
fn two_equal_lengths_become_one() {
    worker(async {
        let (_, seen) =
            outcome(b"POST /x HTTP/1.1\r\nHost: gw\r\nConnection: close\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n").await;
        assert_eq!(seen.concat().matches("content-length").count(), 1);
    });
}

#[test]
fn lines_that_end_in_a_bare_line_feed_are_written_anew() {
    worker(async {
        let (_, seen) = outcome(b"GET /x HTTP/1.1\nHost: gw\nConnection: close\nX: y\n\n").await;
        assert!(seen.concat().contains("host: gw\r\nx: y\r\n"), "{seen:?}");
    });
}

#[test]
fn what_follows_an_upgrade_is_a_request() {
    worker(async {
        let (answer, seen) = outcome(
            b"GET /x HTTP/1.1\r\nHost: gw\r\nUpgrade: foo\r\nConnection: upgrade\r\n\r\nGET /y HTTP/1.1\r\n\r\n",
        )
        .await;
        assert_eq!(statuses(&answer), ["200", "400"], "{answer}");
        assert_eq!(seen.len(), 1);
        assert!(!seen[0].contains("upgrade"), "{seen:?}");
    });
}
