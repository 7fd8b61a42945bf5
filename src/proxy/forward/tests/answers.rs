//! Answers: early, odd, cut short, too late, too much.

use super::*;

/// What a client sees of this answer, after which the upstream closes.
async fn passed(request: &str, answer: &'static str) -> (String, Gateway) {
    let backend = upstream(move |_, mut wire| async move {
        wire.head().await;
        wire.send(answer).await;
    })
    .await;
    let gateway = gateway(&[backend], Settings { retries: 0, ..SETTINGS }).await;
    (gateway.ask(request).await, gateway)
}

#[test]
fn ordinary_answers_pass() {
    worker(async {
        for (answer, expected) in [
            (OK, "hello"),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                "5\r\nhello\r\n0\r\n\r\n",
            ),
            ("HTTP/1.1 200 OK\r\n\r\nhello", "5\r\nhello\r\n0\r\n\r\n"),
            ("HTTP/1.0 200 OK\r\n\r\nhello", "5\r\nhello\r\n0\r\n\r\n"),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
                "",
            ),
            ("HTTP/1.1 204 No Content\r\n\r\n", ""),
            ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", ""),
        ] {
            let (seen, gateway) = passed(GET, answer).await;
            let (head, body) = seen.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 "), "{seen}");
            assert_eq!(body, expected, "{answer}");
            assert_eq!(gateway.how(), [End::Complete], "{answer}");
        }
    });
}

#[test]
fn head_has_a_length_and_no_body() {
    worker(async {
        let (seen, gateway) = passed(
            "HEAD /x HTTP/1.1\r\nHost: gw\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        )
        .await;
        assert!(seen.contains("content-length: 5\r\n") && seen.ends_with("\r\n\r\n"), "{seen}");
        assert_eq!(gateway.how(), [End::Complete]);
    });
}

#[test]
fn trailers_come_back_to_who_wants_them() {
    worker(async {
        let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Grpc-Status, X-Tenant-Id\r\n\r\n\
                      5\r\nhello\r\n0\r\nGrpc-Status: 0\r\nX-Tenant-Id: B\r\nSet-Cookie: a=b\r\n\r\n";
        let request = "GET /x HTTP/1.1\r\nHost: gw\r\nConnection: close, te\r\nTE: trailers\r\n\r\n";
        let (seen, _) = passed(request, answer).await;
        assert!(seen.ends_with("5\r\nhello\r\n0\r\ngrpc-status: 0\r\n\r\n"), "{seen}");
        let (seen, _) = passed(GET, answer).await;
        assert!(seen.ends_with("5\r\nhello\r\n0\r\n\r\n"), "{seen}");
    });
}

#[test]
fn what_is_no_answer_is_refused() {
    worker(async {
        for answer in [
            "",
            "garbage\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            "HTTP/2.0 200 OK\r\n\r\n",
        ] {
            let (seen, gateway) = passed(GET, answer).await;
            assert!(seen.ends_with("Protocol"), "{answer}: {seen}");
            assert_eq!(gateway.failures(), ["Protocol"]);
        }
    });
}

#[test]
fn half_an_answer_never_looks_whole() {
    worker(async {
        for (answer, reset) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello", false),
            ("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello", true),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", false),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhello", true),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n\r\n", false),
            ("HTTP/1.1 200 OK\r\n\r\nhello", true),
        ] {
            let go_on = Rc::new(tokio::sync::Notify::new());
            let told = Rc::clone(&go_on);
            let backend = upstream(move |_, mut wire| {
                let told = Rc::clone(&told);
                async move {
                    wire.head().await;
                    wire.send(answer).await;
                    told.notified().await;
                    if reset {
                        wire.reset();
                    }
                }
            })
            .await;
            let gateway = gateway(&[backend], SETTINGS).await;
            let mut client = gateway.client().await;
            client.send("GET /x HTTP/1.1\r\nHost: gw\r\n\r\n").await;
            let start = client.until("hello").await;
            go_on.notify_one();
            let rest = client.rest().await;
            assert!(start.contains("200 OK"), "{start}");
            assert!(!rest.ends_with("0\r\n\r\n"), "{answer}: {rest}");
            assert!(start.contains("content-length: 100") || start.contains("transfer-encoding: chunked"));
            assert_eq!(gateway.how(), [End::UpstreamBroke], "{answer}");
        }
    });
}

#[test]
fn an_upstream_that_does_not_answer_is_given_up() {
    worker(async {
        let silent = upstream(|_, mut wire| async move {
            wire.rest().await;
        })
        .await;
        let timeouts = Timeouts { response: SOON, ..SETTINGS.timeouts };
        let gateway = gateway(&[silent, silent], Settings { timeouts, ..SETTINGS }).await;
        assert!(gateway.ask(GET).await.ends_with("Timeout"));
        let put = "PUT /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 1\r\n\r\nx";
        assert!(gateway.ask(put).await.ends_with("Timeout"));
        // One that takes nothing of a body that is there.
        let deaf = upstream(|_, wire| async move {
            std::future::pending::<()>().await;
            drop(wire);
        })
        .await;
        let gateway = super::gateway(&[deaf], Settings { timeouts, ..SETTINGS }).await;
        let mut client = gateway.client().await;
        client.send("PUT /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 999999999\r\n\r\n").await;
        let (mut read, mut write) = client.stream.into_split();
        spawn_local(async move { while write.write_all(&[b'x'; 8192]).await.is_ok() {} });
        let mut start = [0; 12];
        read.read_exact(&mut start).await.unwrap();
        assert_eq!(&start, b"HTTP/1.1 500");
    });
}

#[test]
fn an_upstream_that_stops_in_the_middle_is_given_up() {
    worker(async {
        let half = upstream(|_, mut wire| async move {
            wire.head().await;
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello").await;
            wire.rest().await;
        })
        .await;
        let timeouts = Timeouts { response: SOON, ..SETTINGS.timeouts };
        let gateway = gateway(&[half], Settings { timeouts, ..SETTINGS }).await;
        assert!(gateway.ask(GET).await.ends_with("\r\n\r\nhello"));
        assert_eq!(gateway.how(), [End::UpstreamStalled]);
    });
}

#[test]
fn an_answer_may_come_before_the_request_ends() {
    worker(async {
        let seen = Seen::default();
        let noted = seen.clone();
        let early = upstream(move |number, mut wire| {
            let seen = noted.clone();
            async move {
                wire.head().await;
                wire.send("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno").await;
                let rest = wire.rest().await;
                seen.note(format!("{number}: {rest}"));
            }
        })
        .await;
        let timeouts = Timeouts { idle: SOON, ..SETTINGS.timeouts };
        let gateway = gateway(&[early], Settings { timeouts, ..SETTINGS }).await;
        let mut client = gateway.client().await;
        client.send("POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 100\r\n\r\nhello").await;
        assert!(client.until("no").await.starts_with("HTTP/1.1 413"));
        until(|| gateway.upstream.in_flight() == 0).await;
        // The connection still owes 95 bytes: nobody else may have it.
        assert!(gateway.ask(GET).await.starts_with("HTTP/1.1 413"));
        drop(client);
        let rest = seen.at_least(2).await;
        assert!(rest.contains(&"1: ".to_owned()), "{rest:?}");
        assert!(rest.iter().all(|rest| !rest.contains("GET")), "{rest:?}");
    });
}

#[test]
fn a_client_that_leaves_takes_the_upstream_along() {
    worker(async {
        let seen = Seen::default();
        let noted = seen.clone();
        let endless = upstream(move |_, mut wire| {
            let seen = noted.clone();
            async move {
                wire.head().await;
                wire.send("HTTP/1.1 200 OK\r\n\r\n").await;
                while wire.stream.write_all(&[b'x'; 8192]).await.is_ok() {}
                seen.note("closed");
            }
        })
        .await;
        let gateway = gateway(&[endless], SETTINGS).await;
        let mut client = gateway.client().await;
        client.send(GET).await;
        client.until("xxxx").await;
        client.reset();
        assert_eq!(seen.at_least(1).await, ["closed"]);
        assert_eq!(gateway.how(), [End::ClientLeft]);
        assert_eq!(gateway.upstream.in_flight(), 0);
    });
}
