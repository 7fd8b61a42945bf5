//! Connections: kept, not kept, refused, tried again.

use super::*;

const POST: &str = "POST /x HTTP/1.1\r\nHost: gw\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx";

/// Answers with this on each connection as often as it is asked, noting which connection that was.
async fn counting(seen: &Seen, answer: &'static str) -> SocketAddr {
    let seen = seen.clone();
    upstream(move |number, mut wire| {
        let seen = seen.clone();
        async move {
            while wire.head().await.ends_with("\r\n\r\n") {
                seen.note(number.to_string());
                if wire.stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
            seen.note(format!("{number} closed"));
        }
    })
    .await
}

#[test]
fn a_connection_is_used_again_after_a_clean_end() {
    worker(async {
        for (answer, method) in [
            (OK, "GET"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "GET"),
            ("HTTP/1.1 204 No Content\r\n\r\n", "GET"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD"),
        ] {
            let seen = Seen::default();
            let gateway = gateway(&[counting(&seen, answer).await], SETTINGS).await;
            for _ in 0..3 {
                gateway.ask(&GET.replace("GET", method)).await;
            }
            assert_eq!(seen.all(), ["0", "0", "0"], "{answer}");
        }
    });
}

#[test]
fn a_connection_is_not_used_again_after_anything_else() {
    worker(async {
        for answer in [
            // More than one answer, or more than its length.
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, world",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
            "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nevil",
            // Asked to close, and kept open all the same.
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\nConnection: x, Close\r\n\r\nhello",
            "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        ] {
            let seen = Seen::default();
            let gateway = gateway(&[counting(&seen, answer).await], SETTINGS).await;
            for _ in 0..3 {
                let answer = gateway.ask(GET).await;
                assert!(!answer.contains("evil") && !answer.contains("world"), "{answer}");
            }
            let used: Vec<_> = seen.all().into_iter().filter(|note| !note.contains("closed")).collect();
            assert_eq!(used, ["0", "1", "2"], "{answer}");
        }
    });
}

#[test]
fn a_connection_that_is_somebody_s_is_nobody_else_s() {
    worker(async {
        let challenge = "HTTP/1.1 401 No\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n";
        let proof = GET.replace("Host", "Authorization: Negotiate YII=\r\nHost");
        for (answer, request) in [(challenge, GET), (OK, proof.as_str())] {
            let seen = Seen::default();
            let gateway = gateway(&[counting(&seen, answer).await], SETTINGS).await;
            gateway.ask(request).await;
            gateway.ask(GET).await;
            let used: Vec<_> = seen.all().into_iter().filter(|note| !note.contains("closed")).collect();
            assert_eq!(used, ["0", "1"], "{request}");
        }
    });
}

#[test]
fn surplus_bytes_that_come_late_are_no_answer() {
    worker(async {
        let backend = upstream(|_, mut wire| async move {
            while wire.head().await.ends_with("\r\n\r\n") {
                wire.send(OK).await;
                wire.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil").await;
            }
        })
        .await;
        let gateway = gateway(&[backend], SETTINGS).await;
        for _ in 0..200 {
            assert!(gateway.ask(GET).await.ends_with("hello"));
        }
    });
}

#[test]
fn a_connection_that_was_closed_while_idle_costs_no_request() {
    worker(async {
        let once = upstream(|_, mut wire| async move {
            let request = wire.head().await;
            if request.starts_with("POST") {
                wire.until("x").await;
            }
            wire.send(OK).await;
        })
        .await;
        let gateway = gateway(&[once], Settings { retries: 0, ..SETTINGS }).await;
        for _ in 0..50 {
            assert!(gateway.ask(POST).await.ends_with("hello"));
        }
        assert_eq!(gateway.failures(), [""; 0]);
    });
}

#[test]
fn only_what_may_be_repeated_is_repeated() {
    worker(async {
        for (request, expected) in [(GET, 2), (POST, 1)] {
            let seen = Seen::default();
            let noted = seen.clone();
            // Reads a request and closes without an answer: it may have acted on it.
            let crashing = upstream(move |_, mut wire| {
                let seen = noted.clone();
                async move {
                    seen.note(wire.head().await);
                }
            })
            .await;
            let gateway = gateway(&[crashing, crashing, crashing], SETTINGS).await;
            assert!(gateway.ask(request).await.ends_with("Protocol"));
            assert_eq!(seen.all().len(), expected, "{request}");
        }
    });
}

#[test]
fn a_target_that_refuses_is_passed_over() {
    worker(async {
        let gateway = gateway(&[nobody().await, answering(OK).await], SETTINGS).await;
        for _ in 0..5 {
            assert!(gateway.ask(POST).await.ends_with("hello"));
        }
        let alone = super::gateway(&[nobody().await], SETTINGS).await;
        assert!(alone.ask(GET).await.ends_with("Unreachable"));
        let targets = [nobody().await, nobody().await, nobody().await, answering(OK).await];
        let impatient = super::gateway(&targets, Settings { retries: 0, ..SETTINGS }).await;
        for _ in 0..5 {
            assert!(impatient.ask(POST).await.ends_with("hello"), "a refusal is not a retry");
        }
    });
}

#[test]
fn no_more_connections_than_allowed_are_open() {
    worker(async {
        let open = Rc::new(Cell::new(0));
        let (counted, go_on) = (Rc::clone(&open), Rc::new(tokio::sync::Notify::new()));
        let told = Rc::clone(&go_on);
        let slow = upstream(move |_, mut wire| {
            let (open, go_on) = (Rc::clone(&counted), Rc::clone(&told));
            async move {
                open.set(open.get() + 1);
                while wire.head().await.ends_with("\r\n\r\n") {
                    go_on.notified().await;
                    wire.send(OK).await;
                }
            }
        })
        .await;
        let timeouts = Timeouts { connect: SOON, ..SETTINGS.timeouts };
        let gateway =
            gateway(&[slow], Settings { timeouts, max_connections: 1, retries: 0, ..SETTINGS }).await;
        let mut first = gateway.client().await;
        first.send(GET).await;
        until(|| open.get() == 1).await;
        assert!(gateway.ask(GET).await.ends_with("Overloaded"));
        go_on.notify_one();
        assert!(first.rest().await.ends_with("hello"));
        go_on.notify_one();
        assert!(gateway.ask(GET).await.ends_with("hello"));
        assert_eq!(open.get(), 1);
    });
}

/// `timeouts.response` is the time of whoever was asked, not of those who wait before anybody is.
#[test]
fn whoever_waited_for_a_connection_waits_for_the_answer_as_long_as_others() {
    worker(async {
        let slow = upstream(|_, mut wire| async move {
            while wire.head().await.ends_with("\r\n\r\n") {
                sleep(SOON * 2).await;
                wire.send(OK).await;
            }
        })
        .await;
        let timeouts = Timeouts { response: SOON * 8, ..SETTINGS.timeouts };
        let settings = Settings { timeouts, max_connections: 1, retries: 0, ..SETTINGS };
        let gateway = gateway(&[slow], settings).await;
        let mut clients = Vec::new();
        // The last waits for ten of them, eight before it is its turn.
        for _ in 0..5 {
            let mut client = gateway.client().await;
            client.send(GET).await;
            clients.push(client);
        }
        for mut client in clients {
            let answer = client.rest().await;
            assert!(answer.ends_with("hello"), "{answer}");
        }
        assert_eq!(gateway.failures(), [""; 0]);
    });
}

#[test]
fn an_idle_connection_is_closed_in_time() {
    worker(async {
        let seen = Seen::default();
        let timeouts = Timeouts { idle: SOON, ..SETTINGS.timeouts };
        let gateway = gateway(&[counting(&seen, OK).await], Settings { timeouts, ..SETTINGS }).await;
        gateway.ask(GET).await;
        assert_eq!(seen.at_least(2).await, ["0", "0 closed"]);
    });
}

#[test]
fn an_upstream_that_is_the_gateway_itself_ends_at_once() {
    worker(async {
        // The gateway learns its own address only after it listens, so a relay leads back to it.
        let back = Rc::new(Cell::new(None));
        let found = Rc::clone(&back);
        let relay = upstream(move |_, wire| {
            let back = Rc::clone(&found);
            async move {
                let mut there = TcpStream::connect(back.get().unwrap()).await.unwrap();
                let mut here = wire.stream;
                let _ = tokio::io::copy_bidirectional(&mut here, &mut there).await;
            }
        })
        .await;
        let gateway = gateway(&[relay], SETTINGS).await;
        back.set(Some(gateway.address));
        assert!(gateway.ask(GET).await.starts_with("HTTP/1.1 508"));
    });
}

#[test]
fn a_request_without_host_gets_the_target_s() {
    worker(async {
        let seen = Seen::default();
        let noted = seen.clone();
        let backend = upstream(move |_, mut wire| {
            let seen = noted.clone();
            async move {
                seen.note(wire.head().await);
                wire.send(OK).await;
            }
        })
        .await;
        let gateway = gateway(&[backend], SETTINGS).await;
        let answer = gateway.ask("GET /x?a=%2F HTTP/1.0\r\n\r\n").await;
        assert!(answer.ends_with("hello"), "{answer}");
        let request = seen.all().concat();
        assert!(request.starts_with("GET /x?a=%2F HTTP/1.1\r\n"), "{request}");
        assert!(request.contains(&format!("host: {backend}\r\n")), "{request}");
    });
}
