//! Answers as a client of HTTP/2 reads them.

use bytes::Bytes;
use h2::client;
use http::{HeaderMap, Request, Response};
use tokio::net::TcpStream;

use crate::support::{
    program::{Program, Site},
    rawup::{Answer, Upstream},
    setup::Setup,
};

fn ask(program: &Program, method: &str, path: &str) -> Response<Bytes> {
    let asking = async {
        let stream = TcpStream::connect(program.gateway().0).await.expect("a connection");
        let (mut sender, connection) = client::handshake(stream).await.expect("HTTP/2");
        let request = Request::builder().method(method).uri(format!("http://gw{path}")).body(());
        let (answer, _) = sender.send_request(request.expect("a request"), true).expect("room");
        let reading = async {
            let mut answer = answer.await.expect("an answer");
            let mut body = Vec::new();
            while let Some(data) = answer.body_mut().data().await {
                body.extend_from_slice(&data.expect("a whole answer"));
            }
            answer.map(|_| Bytes::from(body))
        };
        tokio::select! {
            _ = connection => unreachable!("the connection ended first"),
            answer = reading => answer,
        }
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(asking)
}

fn said<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    headers.get_all(name).iter().map(|value| value.to_str().expect("text")).collect()
}

/// An answer says when it was made and how long it is, where that is known, and nothing about a connection of HTTP/1.1
/// (RFC 9110 sections 6.6.1 and 8.6, RFC 9113 section 8.2.2).
#[test]
fn an_answer_says_its_date_and_its_length_and_nothing_of_connections() {
    let upstream = Upstream::start(|request| {
        Answer::bytes(match request.target.as_str() {
            "/public/dated" => {
                "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:07 GMT\r\nContent-Length: 5\r\n\r\nhello"
            }
            "/public/chunked" => {
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
            }
            "/public/empty" => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            _ => {
                "HTTP/1.1 200 OK\r\nConnection: keep-alive, x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
                 Proxy-Connection: x\r\nUpgrade: h2c\r\nTE: trailers\r\nContent-Length: 5\r\n\r\nhello"
            }
        })
    });
    let program = Site::new(Setup::offload(&upstream)).serve();
    for (path, body, length) in [
        ("/public/x", "hello", Some("5")),
        ("/public/dated", "hello", Some("5")),
        ("/public/chunked", "hello", None),
        ("/public/empty", "", Some("0")),
    ] {
        let answer = ask(&program, "GET", path);
        assert_eq!((answer.status().as_u16(), answer.body().as_ref()), (200, body.as_bytes()), "{path}");
        assert_eq!(said(answer.headers(), "content-length"), Vec::from_iter(length), "{path}");
        assert_eq!(said(answer.headers(), "date").len(), 1, "{path}");
        for name in
            ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "te", "x-hop"]
        {
            assert_eq!(said(answer.headers(), name), [""; 0], "{path} {name}");
        }
    }
    let dated = ask(&program, "GET", "/public/dated");
    assert_eq!(said(dated.headers(), "date"), ["Thu, 01 Jan 1970 00:00:07 GMT"]);
    let (refused, to_head) = (ask(&program, "GET", "/api/x"), ask(&program, "HEAD", "/api/x"));
    let length = refused.body().len().to_string();
    for answer in [&refused, &to_head] {
        assert_eq!(answer.status(), 401);
        assert_eq!(said(answer.headers(), "content-length"), [length.as_str()]);
        assert_eq!(said(answer.headers(), "date").len(), 1);
    }
    assert!(!refused.body().is_empty() && to_head.body().is_empty());
}
