//! Whole connections, of clients of all kinds.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::{server::Server, *};

/// A client that says this, piece by piece, and then nothing more. What was asked, and the answers.
async fn talk(pieces: impl IntoIterator<Item: AsRef<[u8]>>) -> (Vec<String>, String) {
    let server = Server::default();
    let (near, mut far) = duplex(1 << 20);
    let client = async {
        for piece in pieces {
            far.write_all(piece.as_ref()).await.unwrap();
            tokio::task::yield_now().await;
        }
        far.shutdown().await.unwrap();
        let mut answers = String::new();
        far.read_to_string(&mut answers).await.unwrap();
        answers
    };
    let (outcome, answers) = tokio::join!(server.serve(near), client);
    outcome.unwrap();
    (server.asked.into_inner(), answers)
}

/// A client that says this at once.
async fn say(said: &str) -> (Vec<String>, String) {
    talk([said]).await
}

/// The head and the body of the one answer to a request.
async fn ask(said: &str) -> (String, String) {
    let (_, answers) = say(said).await;
    let (head, body) = answers.split_once("\r\n\r\n").expect("an answer");
    (format!("{}\r\n", head.to_lowercase()), body.to_owned())
}

#[tokio::test]
async fn a_hundred_requests_at_once_are_answered_in_their_order() {
    let request = |n: u32| format!("POST /{n} HTTP/1.1\r\nContent-Length: 3\r\n\r\n{n:03}");
    let said = (0..100).map(request).collect::<Vec<_>>().concat();
    let (asked, answers) = say(&said).await;
    assert_eq!(asked, (0..100).map(|n| format!("POST /{n} {n:03}")).collect::<Vec<_>>());
    let bodies: Vec<&str> =
        answers.split("HTTP/1.1 200 OK\r\n").skip(1).map(|answer| &answer[answer.len() - 3..]).collect();
    assert_eq!(bodies, (0..100).map(|n| format!("{n:03}")).collect::<Vec<_>>());
    assert!(!answers.contains("connection"), "none of them is the last");
}

#[tokio::test]
async fn answers_do_not_depend_on_packets() {
    let said = "GET /a HTTP/1.1\r\n\r\nPOST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\
        PUT /early HTTP/1.1\r\nContent-Length: 0\r\n\r\nGET /c HTTP/1.1\r\nConnection: close\r\n\r\n";
    let whole = say(said).await;
    assert_eq!(whole.0, ["GET /a ", "POST /b abc", "PUT /early", "GET /c "]);
    for at in 1..said.len() {
        assert_eq!(talk([&said[..at], &said[at..]]).await, whole, "{at}");
    }
    assert_eq!(talk(said.as_bytes().chunks(1)).await, whole, "byte by byte");
}

#[tokio::test]
async fn nothing_is_read_behind_what_is_no_request() {
    for bad in ["GET / HTTP/1.1\r\nX : y\r\n\r\n", "\0", "GET / HTTP/1.1\r\nContent-Length: a\r\n\r\n"] {
        let (asked, answers) = say(&format!("GET /a HTTP/1.1\r\n\r\n{bad}GET /b HTTP/1.1\r\n\r\n")).await;
        assert_eq!(asked, ["GET /a "], "{bad:?}");
        let (_, refusal) = answers.split_once("HTTP/1.1 400 Bad Request\r\n").expect("a refusal");
        assert!(refusal.contains("connection: close\r\n") && refusal.ends_with("\r\n\r\nno"), "{answers}");
    }
    let broken =
        "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\nGET /b HTTP/1.1\r\n\r\n";
    let (asked, answers) = say(broken).await;
    assert_eq!(asked, ["POST /a broken"]);
    assert!(answers.contains("connection: close\r\n"), "{answers}");
}

/// What comes back within what is sent, until it is this long.
async fn receive(far: &mut DuplexStream, end: &str) -> String {
    let mut seen = Vec::new();
    while !seen.ends_with(end.as_bytes()) {
        assert_ne!(far.read_buf(&mut seen).await.unwrap(), 0, "{:?}", String::from_utf8_lossy(&seen));
    }
    String::from_utf8(seen).unwrap()
}

async fn with(said: &str, client: impl AsyncFnOnce(DuplexStream)) -> Vec<String> {
    let server = Server::default();
    let (near, mut far) = duplex(1 << 16);
    far.write_all(said.as_bytes()).await.unwrap();
    let (outcome, ()) = tokio::join!(server.serve(near), client(far));
    outcome.unwrap();
    server.asked.into_inner()
}

const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

#[tokio::test]
async fn whoever_waits_for_a_word_hears_it_when_somebody_wants_the_body() {
    let length = "POST /a HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n";
    let chunks = "POST /a HTTP/1.1\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (head, body) in [(length, "abc"), (chunks, "3\r\nabc\r\n0\r\n\r\n")] {
        let asked = with(head, async |mut far| {
            assert_eq!(receive(&mut far, "\r\n\r\n").await, CONTINUE);
            far.write_all(body.as_bytes()).await.unwrap();
            let answer = receive(&mut far, "abc").await;
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && !answer.contains("connection"), "{answer}");
            // The next one does not expect anything.
            far.write_all(b"POST /b HTTP/1.1\r\nContent-Length: 1\r\n\r\n").await.unwrap();
            tokio::task::yield_now().await;
            far.write_all(b"d").await.unwrap();
            assert!(receive(&mut far, "\r\n\r\nd").await.starts_with("HTTP/1.1 200 OK\r\n"));
        })
        .await;
        assert_eq!(asked, ["POST /a abc", "POST /b d"]);
        // Nor does one whose body is there.
        let (_, answers) = say(&[head, body].concat()).await;
        assert!(answers.starts_with("HTTP/1.1 200 OK\r\n"), "{answers}");
    }
    let refused = length.replace("/a", "/early");
    let (head, _) = ask(&refused).await;
    assert!(head.starts_with("http/1.1 200") && head.contains("connection: close\r\n"), "{head}");
    for said in [
        "POST /a HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
        "POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
        "POST /a HTTP/1.1\r\nExpect: 200-ok\r\nContent-Length: 3\r\n\r\n",
        "GET /a HTTP/1.1\r\nExpect: 100-continue\r\n\r\n",
    ] {
        let (_, answers) = say(said).await;
        assert!(!answers.contains("100 Continue"), "{said:?}: {answers}");
    }
}

#[tokio::test]
async fn a_client_of_http_1_0_is_answered_in_its_own_words() {
    let (head, body) =
        ask("GET /chunks HTTP/1.0\r\nConnection: keep-alive\r\nTE: trailers\r\n\r\nGET /b HTTP/1.0\r\n\r\n")
            .await;
    assert_eq!(body, "abc", "until the end, and nothing behind it");
    assert!(head.starts_with("http/1.0 200 ok\r\n"), "{head}");
    for name in ["transfer-encoding", "content-length", "trailer", "connection"] {
        assert!(!head.contains(name), "{head}");
    }
    let (asked, answers) = say("POST /a HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\naGET /b HTTP/1.0\r\n\r\nGET /c HTTP/1.1\r\n\r\n").await;
    assert_eq!(asked, ["POST /a a", "GET /b "]);
    let answers: Vec<&str> = answers.split("HTTP/1.0 200 OK\r\n").skip(1).collect();
    assert!(
        answers[0].contains("connection: keep-alive\r\n") && !answers[1].contains("connection"),
        "{answers:?}"
    );
}

#[tokio::test]
async fn an_answer_has_a_body_where_it_may_have_one() {
    for (said, body, line) in [
        ("GET /status/200", "body", "content-length: 4\r\n"),
        ("HEAD /status/200", "", "content-length: 77\r\n"),
        ("GET /status/304", "", "content-length: 77\r\n"),
        ("HEAD /status/304", "", "content-length: 77\r\n"),
        ("GET /status/404", "body", "content-length: 4\r\n"),
    ] {
        let (head, sent) = ask(&format!("{said} HTTP/1.1\r\n\r\n")).await;
        assert_eq!(sent, body, "{said}");
        assert!(head.contains(line) && head.matches("content-length").count() == 1, "{said}: {head}");
    }
    for said in ["GET /status/204", "HEAD /status/204", "GET /status/101", "GET /status/103", "HEAD /chunks"]
    {
        let (head, sent) = ask(&format!("{said} HTTP/1.1\r\n\r\n")).await;
        assert_eq!(sent, "", "{said}");
        assert!(!head.contains("content-length:") && !head.contains("transfer-encoding:"), "{said}: {head}");
    }
    // Whatever has no body is followed by the next answer at once.
    let (_, answers) = say("HEAD /chunks HTTP/1.1\r\n\r\nGET /status/204 HTTP/1.1\r\n\r\nPOST /x HTTP/1.1\r\nContent-Length: 1\r\n\r\nx").await;
    assert_eq!(answers.matches("HTTP/1.1 20").count(), 3, "{answers}");
    assert!(answers.ends_with("\r\n\r\nx"));
}

#[tokio::test]
async fn trailers_are_for_those_who_take_them() {
    let (head, body) = ask("GET /chunks HTTP/1.1\r\nTE: deflate, Trailers\r\n\r\n").await;
    assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
    assert_eq!(body, "2\r\nab\r\n1\r\nc\r\n0\r\nx-t: 1\r\n\r\n", "those that were announced");
    for te in ["", "TE: gzip\r\n", "TE: trailers;q=0\r\n", "Trailer: x-t\r\n"] {
        let (_, body) = ask(&format!("GET /chunks HTTP/1.1\r\n{te}\r\n")).await;
        assert_eq!(body, "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", "{te:?}");
    }
}

#[tokio::test]
async fn either_side_may_say_that_it_was_the_last() {
    for said in ["GET /close HTTP/1.1\r\n\r\n", "GET /a HTTP/1.1\r\nConnection: x,close\r\n\r\n"] {
        let (asked, answers) = say(&format!("{said}GET /b HTTP/1.1\r\n\r\n")).await;
        assert_eq!((asked.len(), answers.matches("HTTP/1.1").count()), (1, 1), "{answers}");
        assert_eq!(answers.to_lowercase().matches("close\r\n").count(), 1, "{answers}");
    }
}

#[tokio::test]
async fn an_answer_that_does_not_wait_for_the_body_reaches_a_client_that_goes_on_sending() {
    let asked = with("POST /early HTTP/1.1\r\nContent-Length: 1000000\r\n\r\nbegin", async |mut far| {
        let answer = receive(&mut far, "\r\n\r\n").await;
        assert!(answer.contains("connection: close\r\n"), "{answer}");
        // Twice what the connection holds: somebody takes it.
        far.write_all(&vec![b'x'; 200_000]).await.unwrap();
        far.write_all(b"GET /b HTTP/1.1\r\n\r\n").await.unwrap();
        far.shutdown().await.unwrap();
        let mut rest = Vec::new();
        far.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"", "nothing behind the last answer");
    })
    .await;
    assert_eq!(asked, ["POST /early"]);
    // A body that has come whole is no reason to end.
    let (asked, answers) = say(
        "POST /early HTTP/1.1\r\nContent-Length: 18\r\n\r\nGET /x HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n",
    )
    .await;
    assert_eq!(asked, ["POST /early", "GET /b "]);
    assert!(!answers.contains("connection"), "{answers}");
    // In chunks it is one: nobody has looked where they end.
    let (asked, answers) =
        say("POST /early HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /b HTTP/1.1\r\n\r\n")
            .await;
    assert_eq!(asked, ["POST /early"]);
    assert!(answers.contains("connection: close\r\n"), "{answers}");
}

#[tokio::test]
async fn a_client_that_leaves_is_missed() {
    for said in ["GET /gone HTTP/1.1\r\n\r\n", "POST /gone HTTP/1.1\r\nContent-Length: 9\r\n\r\n"] {
        let asked = with(said, async |mut far| {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            far.shutdown().await.unwrap();
        })
        .await;
        assert_eq!(asked, ["gone"], "{said:?}");
    }
}

#[tokio::test]
async fn whoever_waits_holds_no_room() {
    let half = format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(5000));
    for said in [
        "",
        "G",
        &*half,
        "GET /a HTTP/1.1\r\n\r\n",
        "POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /b",
        "\r\n",
    ] {
        let server = Server::default();
        let (near, mut far) = duplex(1 << 16);
        far.write_all(said.as_bytes()).await.unwrap();
        let client = async {
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            assert!(room::is_free(), "{said:?}");
            drop(far);
        };
        let (outcome, ()) = tokio::join!(server.serve(near), client);
        outcome.unwrap();
    }
}

/// A connection whose bytes are with the client when they are flushed, which takes two goes.
struct Buffered {
    said: &'static [u8],
    flushes: Rc<Cell<u32>>,
}

impl Stream for Buffered {}

impl AsyncRead for Buffered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.said.is_empty() {
            return Poll::Pending;
        }
        buffer.put_slice(std::mem::take(&mut self.said));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Buffered {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flushes.set(self.flushes.get() + 1);
        if self.flushes.get() < 2 { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_word_is_not_said_before_it_has_left() {
    let flushes = Rc::<Cell<u32>>::default();
    let said = b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n";
    let wire = Wire::new(Box::new(Buffered { said, flushes: Rc::clone(&flushes) }), Bytes::new());
    let head = wire.head(BOUNDS).await.unwrap().unwrap().unwrap();
    let _content = wire.begin(head.reading, head.expects);
    for expected in [1, 2, 2] {
        assert!(wire.poll_content(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(flushes.get(), expected);
    }
}
