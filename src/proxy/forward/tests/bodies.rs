//! Request bodies: whole, cut short, too long, too slow.

use super::*;

/// An upstream that notes everything until the connection ends or this text has come, then answers.
async fn noting(seen: &Seen, end: &'static str) -> SocketAddr {
    let seen = seen.clone();
    upstream(move |_, mut wire| {
        let seen = seen.clone();
        async move {
            let all = wire.until(end).await;
            let whole = all.ends_with(end);
            seen.note(all);
            if whole {
                wire.send(OK).await;
                wire.rest().await;
            }
        }
    })
    .await
}

fn body_of(request: &str) -> &str {
    request.split_once("\r\n\r\n").unwrap_or_default().1
}

#[test]
fn a_body_passes_as_it_was_framed() {
    worker(async {
        for (method, framing, body) in [
            ("POST", "Content-Length: 5", "01end"),
            ("GET", "Content-Length: 5", "01end"),
            ("DELETE", "Content-Length: 5", "01end"),
            ("POST", "Transfer-Encoding: chunked", "5\r\n01end\r\n0\r\n\r\n"),
            ("GET", "Transfer-Encoding: chunked", "5\r\n01end\r\n0\r\n\r\n"),
        ] {
            let seen = Seen::default();
            let end = if framing.starts_with('C') { "01end" } else { "0\r\n\r\n" };
            let gateway = gateway(&[noting(&seen, end).await], SETTINGS).await;
            let request =
                format!("{method} /x HTTP/1.1\r\nHost: gw\r\nConnection: close\r\n{framing}\r\n\r\n{body}");
            assert!(gateway.ask(&request).await.ends_with("hello"));
            let all = seen.all().concat();
            assert_eq!(body_of(&all), body, "{method} {framing}");
            assert!(all.to_lowercase().contains(&framing.to_lowercase()), "{all}");
            assert_eq!(gateway.ended(), [Ended { bytes_in: 5, bytes_out: 5, how: End::Complete }]);
        }
    });
}

#[test]
fn half_a_body_never_looks_whole() {
    worker(async {
        for (framing, half) in [
            ("Content-Length: 99", "fifty"),
            ("Transfer-Encoding: chunked", "5\r\nfifty\r\n"),
            ("Transfer-Encoding: chunked", "ff\r\nfifty"),
            ("Transfer-Encoding: chunked", "5\r\nfifty\r\n0\r\nX:"),
            ("Transfer-Encoding: chunked", "5\r\nfifty\r\nzz\r\n"),
            ("Transfer-Encoding: chunked", "5\r\nfifty0\r\n\r\n"),
            ("Transfer-Encoding: chunked", "5\r\nfifty\r\nfffffffffffffffff\r\n"),
        ] {
            let seen = Seen::default();
            let gateway = gateway(&[noting(&seen, "0\r\n\r\n").await], SETTINGS).await;
            let mut client = gateway.client().await;
            client.send(format!("POST /x HTTP/1.1\r\nHost: gw\r\n{framing}\r\n\r\n{half}")).await;
            client.stream.shutdown().await.unwrap();
            client.rest().await;
            let all = seen.at_least(1).await.concat();
            assert!(!all.ends_with("0\r\n\r\n"), "{framing} {half}: {all}");
            assert!(gateway.ended().is_empty());
        }
    });
}

#[test]
fn a_body_that_is_too_long_is_not_even_begun() {
    worker(async {
        let seen = Seen::default();
        let settings = Settings { most: 4, ..SETTINGS };
        let gateway = gateway(&[noting(&seen, "hello").await], settings).await;
        let answer = gateway.ask("POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 5\r\n\r\nhello").await;
        assert!(answer.ends_with("BodyTooLarge"), "{answer}");
        assert_eq!(seen.all(), [""; 0]);
        let fits =
            gateway.ask("POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 4\r\nConnection: close\r\n\r\nhell");
        // The upstream waits for a fifth byte that must not come.
        assert!(timeout(SOON, fits).await.is_err());
    });
}

#[test]
fn a_chunked_body_that_grows_too_long_is_broken_off() {
    worker(async {
        let seen = Seen::default();
        let settings = Settings { most: 6, ..SETTINGS };
        let gateway = gateway(&[noting(&seen, "0\r\n\r\n").await], settings).await;
        let answer = gateway
            .ask("POST /x HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n4\r\nfour\r\n0\r\n\r\n")
            .await;
        assert!(answer.ends_with("BodyTooLarge"), "{answer}");
        assert!(!seen.at_least(1).await.concat().ends_with("0\r\n\r\n"));
    });
}

#[test]
fn a_client_that_falls_silent_is_given_up() {
    worker(async {
        let seen = Seen::default();
        let settings = Settings { silence: SOON, ..SETTINGS };
        let gateway = gateway(&[noting(&seen, "hello").await], settings).await;
        let answer = gateway.ask("POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 5\r\n\r\nhell").await;
        assert!(answer.ends_with("ClientStalled"), "{answer}");
        assert!(seen.at_least(1).await.concat().ends_with("hell"));
    });
}

#[test]
fn a_slow_client_is_not_the_upstream_s_fault() {
    worker(async {
        let seen = Seen::default();
        let timeouts = Timeouts { response: SOON, ..SETTINGS.timeouts };
        let gateway = gateway(&[noting(&seen, "hello").await], Settings { timeouts, ..SETTINGS }).await;
        let mut client = gateway.client().await;
        client.send("POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 5\r\nConnection: close\r\n\r\n").await;
        for byte in ["h", "e", "l", "l", "o"] {
            sleep(SOON * 3 / 4).await;
            client.send(byte).await;
        }
        assert!(client.rest().await.ends_with("hello"));
    });
}

#[test]
fn trailers_pass_without_what_could_be_believed() {
    worker(async {
        let seen = Seen::default();
        let gateway = gateway(&[noting(&seen, "x-sum: 1\r\n\r\n").await], SETTINGS).await;
        let request = "POST /x HTTP/1.1\r\nHost: gw\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\
                       Trailer: X-Tenant-Id, X_Tenant_Id, X-Sum, Host\r\n\r\n5\r\nhello\r\n0\r\n\
                       X-Tenant-Id: B\r\nX_Tenant_Id: B\r\nX-Sum: 1\r\nHost: evil\r\nContent-Length: 9\r\n\r\n";
        assert!(gateway.ask(request).await.ends_with("hello"));
        let all = seen.all().concat().to_lowercase();
        assert!(all.contains("\r\ntrailer: x-sum\r\n"), "{all}");
        assert!(all.ends_with("0\r\nx-sum: 1\r\n\r\n"), "{all}");
        assert!(!all.contains("tenant") && !all.contains("evil"), "{all}");
    });
}

#[test]
fn nobody_is_told_to_continue_before_the_upstream_takes_the_body() {
    worker(async {
        let gateway = gateway(&[nobody().await], SETTINGS).await;
        let request = "POST /x HTTP/1.1\r\nHost: gw\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
        let answer = gateway.ask(request).await;
        assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");

        let seen = Seen::default();
        let gateway = super::gateway(&[noting(&seen, "hello").await], SETTINGS).await;
        let mut client = gateway.client().await;
        client.send(request).await;
        assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
        client.send("hello").await;
        assert!(client.until("hello").await.starts_with("HTTP/1.1 200"));
        assert!(!seen.all().concat().to_lowercase().contains("expect"));
    });
}

#[test]
fn a_refusal_is_heard_by_a_client_that_is_still_sending() {
    worker(async {
        let gateway = gateway(&[nobody().await], Settings { most: 1, ..SETTINGS }).await;
        let length = 4 << 20;
        for rest in [length, length / 2] {
            let mut client = gateway.client().await;
            client.send(format!("POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: {length}\r\n\r\n")).await;
            // As simple clients do: first everything is said, then listened.
            client.send(vec![b'x'; rest]).await;
            assert!(client.until("TooLarge").await.starts_with("HTTP/1.1 500"));
        }
    });
}
