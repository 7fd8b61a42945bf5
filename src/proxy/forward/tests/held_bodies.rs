//! Bodies that are read whole before anything of them is forwarded.

use super::*;

const HOLDING: Settings = Settings { hold: true, ..SETTINGS };

/// An upstream that notes what came until this text, then answers, as often as that happens.
async fn noting(seen: &Seen, end: &'static str) -> SocketAddr {
    let seen = seen.clone();
    upstream(move |_, mut wire| {
        let seen = seen.clone();
        async move {
            loop {
                let all = wire.until(end).await;
                if !all.ends_with(end) {
                    return;
                }
                seen.note(all);
                wire.send(OK).await;
            }
        }
    })
    .await
}

#[test]
fn a_held_body_is_forwarded_whole_and_framed_anew() {
    worker(async {
        for (framing, sent, told, received) in [
            ("Content-Length: 5", "hello", "content-length: 5", "hello"),
            ("Transfer-Encoding: chunked", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", "content-length: 5", "hello"),
            (
                "Transfer-Encoding: chunked",
                "5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-Tenant-Id: B\r\n\r\n",
                "transfer-encoding: chunked",
                "5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n",
            ),
        ] {
            let seen = Seen::default();
            let gateway = gateway(&[noting(&seen, received).await], HOLDING).await;
            let trailer = if sent.contains("X-Sum") { "Trailer: X-Sum\r\n" } else { "" };
            let head =
                format!("POST /x HTTP/1.1\r\nHost: gw\r\nConnection: close\r\n{trailer}{framing}\r\n\r\n");
            assert!(gateway.ask(&format!("{head}{sent}")).await.ends_with("hello"), "{framing} {sent}");
            let all = seen.all().concat().to_lowercase();
            assert!(all.contains(told) && !all.contains("tenant"), "{told}: {all}");
            let lengths = ["content-length", "transfer-encoding"].map(|name| all.matches(name).count());
            assert_eq!(lengths.iter().sum::<usize>(), 1, "{all}");
            assert_eq!(gateway.ended()[0].bytes_in, 5);
        }
    });
}

#[test]
fn a_body_of_nothing_is_held_too() {
    worker(async {
        for (method, rest) in [
            ("GET", "\r\n"),
            ("POST", "Content-Length: 0\r\n\r\n"),
            ("POST", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ] {
            let seen = Seen::default();
            let gateway = gateway(&[noting(&seen, "\r\n\r\n").await], HOLDING).await;
            let request = format!("{method} /x HTTP/1.1\r\nHost: gw\r\nConnection: close\r\n{rest}");
            assert!(gateway.ask(&request).await.ends_with("hello"), "{request}");
        }
    });
}

#[test]
fn nothing_of_a_body_that_cannot_be_held_is_forwarded() {
    worker(async {
        let most = 1 << 20;
        let chunk = format!("{:x}\r\n{}\r\n", most, "x".repeat(most));
        let cases = [
            (HOLDING, format!("Content-Length: {}\r\n\r\nx", most + 1), "TooLarge"),
            (HOLDING, format!("Transfer-Encoding: chunked\r\n\r\n{chunk}1\r\nx\r\n"), "TooLarge"),
            (Settings { most: 4, ..HOLDING }, "Content-Length: 5\r\n\r\nhello".to_owned(), "TooLarge"),
            (Settings { silence: SOON, ..HOLDING }, "Content-Length: 5\r\n\r\nhell".to_owned(), "Stalled"),
            (HOLDING, "Transfer-Encoding: chunked\r\n\r\nzz\r\n".to_owned(), "Broken"),
        ];
        for (settings, rest, expected) in cases {
            let seen = Seen::default();
            let gateway = gateway(&[noting(&seen, "hello").await], settings).await;
            let mut client = gateway.client().await;
            client.send(format!("POST /x HTTP/1.1\r\nHost: gw\r\n{rest}")).await;
            let answer = client.until(expected).await;
            assert!(answer.ends_with(expected), "{expected}: {answer}");
            assert!(seen.all().is_empty());
        }
    });
}

/// As long as is allowed is not too long.
#[test]
fn a_mebibyte_is_held() {
    worker(async {
        let seen = Seen::default();
        let gateway = gateway(&[noting(&seen, "end").await], HOLDING).await;
        let body = format!("{}end", "x".repeat((1 << 20) - 3));
        let head = format!(
            "POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            1 << 20
        );
        assert!(gateway.ask(&format!("{head}{body}")).await.ends_with("hello"));
        assert!(seen.all().concat().ends_with(&body));
    });
}

/// Clients that send slowly occupy the places; others are told so at once, and get them back.
#[test]
fn so_many_are_held_and_no_more() {
    worker(async {
        let seen = Seen::default();
        let gateway = gateway(&[noting(&seen, "hello").await], HOLDING).await;
        let mut slow = Vec::new();
        for _ in 0..64 {
            let mut client = gateway.client().await;
            client
                .send("POST /x HTTP/1.1\r\nHost: gw\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
                .await;
            assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
            client.send("hel").await;
            slow.push(client);
        }
        let request = "POST /x HTTP/1.1\r\nHost: gw\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello";
        assert!(gateway.ask(request).await.ends_with("Crowded"));
        let mut patient = slow.pop().unwrap();
        patient.send("lo").await;
        assert!(patient.until("hello").await.ends_with("hello"));
        slow.pop().unwrap().reset();
        drop(slow);
        let mut answer = gateway.ask(request).await;
        while answer.ends_with("Crowded") {
            answer = gateway.ask(request).await;
        }
        assert!(answer.ends_with("hello"), "{answer}");
    });
}
