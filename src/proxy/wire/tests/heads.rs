//! Heads that two programs could read differently, each class of RFC 9112 and RFC 9110, and heads at their bounds.

use super::*;

/// The requests and the end, in words.
fn verdict(whole: &Whole) -> String {
    let requests =
        whole.requests.iter().map(|asked| format!("{} {} {}", asked.method, asked.target, asked.body.len()));
    let end = match &whole.end {
        End::Refused(Unreadable::Malformed) => "malformed".to_owned(),
        End::Broken(part) => format!("broken {}", part.len()),
        other => format!("{other:?}"),
    };
    requests.chain([end]).collect::<Vec<_>>().join(", ")
}

fn table(rows: &[(&str, &str)]) {
    for (said, expected) in rows {
        assert_eq!(verdict(&read(said)), *expected, "{said:?}");
        for piece in 1..9 {
            let whole = Whole::read(said.as_bytes(), piece, BOUNDS);
            match whole.end {
                // What breaks off before it is looked at again is not judged.
                End::Cut => {}
                // A version that is not all there is no version.
                End::Refused(Unreadable::Malformed) if *expected == "Refused(Version)" => {}
                _ => assert_eq!(verdict(&whole), *expected, "{said:?} by {piece}"),
            }
        }
    }
}

#[test]
fn what_is_fine_is_read() {
    table(&[
        ("", "Silence"),
        ("\r\n\r\n", "Cut"),
        ("GET / HTTP/1.1\r\n\r\n", "GET / 0, Silence"),
        ("GET / HTTP/1.1\n\n", "GET / 0, Silence"),
        ("\r\n\nGET / HTTP/1.1\r\nHost: a\n\r\n", "GET / 0, Silence"),
        ("GET / HTTP/1.1\r\n\r\n\r\nGET /b HTTP/1.1\r\n\r\n", "GET / 0, GET /b 0, Silence"),
        ("get /a?b HTTP/1.1\r\nX:\r\nY: \t z \t\r\n\r\n", "get /a?b 0, Silence"),
        ("GET http://a:80/b?c HTTP/1.1\r\n\r\n", "GET http://a:80/b?c 0, Silence"),
        ("CONNECT a:443 HTTP/1.1\r\n\r\n", "CONNECT a:443 0, Silence"),
        ("OPTIONS * HTTP/1.1\r\n\r\n", "OPTIONS * 0, Silence"),
        (
            "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\n\r\n",
            "POST / 3, GET /b 0, Silence",
        ),
        ("POST / HTTP/1.1\r\nContent-Length: 0003\r\n\r\nabc", "POST / 3, Silence"),
        ("POST / HTTP/1.1\r\nTransfer-Encoding:\tChunKed \r\n\r\n3\r\nabc\r\n0\r\n\r\n", "POST / 3, Silence"),
        ("GET / HTTP/1.0\r\n\r\nGET /b HTTP/1.0\r\n\r\n", "GET / 0, Last"),
        (
            "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\nGET /b HTTP/1.0\r\n\r\n",
            "GET / 0, GET /b 0, Last",
        ),
        ("GET / HTTP/1.1\r\nConnection: x, Close\r\n\r\nGET /b HTTP/1.1\r\n\r\n", "GET / 0, Last"),
        (
            "GET / HTTP/1.1\r\nConnection: close\r\nConnection: keep-alive\r\n\r\nGET /b HTTP/1.1\r\n\r\n",
            "GET / 0, Last",
        ),
        ("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\nGET /b HTTP/1.1\r\n\r\n", "GET / 0, Last"),
        ("GET / HTTP/1.1\r\nConnection: closed, \"close\"\r\n\r\n", "GET / 0, Silence"),
        ("GET / HTTP/1.1\r\n", "Cut"),
        ("GET / HTTP/1.1\r\nHost", "Cut"),
    ]);
}

#[test]
fn a_body_has_one_length() {
    for length in [
        "",
        " ",
        "-1",
        "+1",
        "1,1",
        "1, 1",
        "1 1",
        "0x1",
        "1.0",
        "1e0",
        "a",
        "\"1\"",
        "1;",
        "18446744073709551614",
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999999",
        "\u{661}",
    ] {
        let said = format!("POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\na");
        assert_eq!(verdict(&read(said)), "malformed", "{length:?}");
    }
    let most = "POST / HTTP/1.1\r\nContent-Length: 18446744073709551613\r\n\r\na";
    assert_eq!(verdict(&read(most)), "broken 1");
    table(&[
        ("POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "malformed"),
        ("POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: x\r\n\r\na", "malformed"),
        ("POST / HTTP/1.1\r\nContent-Length: 1\r\ncontent-length: 01\r\n\r\na", "POST / 1, Silence"),
        ("POST / HTTP/1.1\r\nContent-Length : 1\r\n\r\na", "malformed"),
        ("POST / HTTP/1.1\r\n Content-Length: 1\r\n\r\na", "malformed"),
        ("POST / HTTP/1.1\r\nX: a\r\n Content-Length: 1\r\n\r\na", "malformed"),
        ("POST / HTTP/1.1\r\nContent-Length:\r\n 1\r\n\r\na", "malformed"),
        ("POST / HTTP/1.1\r\nContent_Length: 1\r\n\r\n", "POST / 0, Silence"),
    ]);
    let same = read("POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na");
    assert_eq!(same.requests[0].headers.get_all("content-length").iter().count(), 1, "one is passed on");
}

#[test]
fn a_coding_is_chunked_in_the_end_and_has_no_length_beside_it() {
    for coding in [
        "identity",
        "gzip",
        "chunked, gzip",
        "chunked,",
        "chunked, identity",
        "xchunked",
        "chunkedx",
        "chunked;q=1",
        "\"chunked\"",
        "",
        ",",
        "chunked\u{a0}",
        "\u{e9}, chunked",
        "chunked chunked",
        "c\u{212a}unked",
        "'chunked'",
    ] {
        let said = format!("POST / HTTP/1.1\r\nTransfer-Encoding: {coding}\r\n\r\n0\r\n\r\n");
        assert_eq!(verdict(&read(said)), "malformed", "{coding:?}");
    }
    table(&[
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
            "malformed",
        ),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", "malformed"),
        ("POST / HTTP/1.1\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", "malformed"),
        ("POST / HTTP/1.1\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", "malformed"),
        ("POST / HTTP/1.1\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", "malformed"),
        ("POST / HTTP/1.1\r\nX: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "malformed"),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "malformed"),
        (
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "Flawed(TwoLengths)",
        ),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: x\r\n\r\n0\r\n\r\n",
            "Flawed(TwoLengths)",
        ),
        ("POST / HTTP/1.1\r\nContent-Length: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "malformed"),
        ("POST / HTTP/1.1\r\nContent-Length: 0\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n", "malformed"),
    ]);
}

#[test]
fn lines_are_lines_and_names_are_names() {
    table(&[
        ("GET / HTTP/1.1\r\nX: a\r\n b\r\n\r\n", "malformed"),
        ("GET / HTTP/1.1\r\nX: a\r\n\tb\r\n\r\n", "malformed"),
        ("GET / HTTP/1.1\r\nX: a\rb\r\n\r\n", "malformed"),
        ("GET / HTTP/1.1\r\nX: a\r\r\n\r\n", "malformed"),
        ("GET / HTTP/1.1\r\nX: a\0b\r\n\r\n", "malformed"),
        ("GET / HTTP/1.1\r\nX: a\x7fb\r\n\r\n", "malformed"),
        ("GET / HTTP/1.1\r\nX: a\x01b\r\n\r\n", "malformed"),
        ("GET / HTTP/1.1\r\nX : a\r\n\r\n", "malformed"),
        ("GET / HTTP/1.1\r\nX\t: a\r\n\r\n", "malformed"),
        ("GET / HTTP/1.1\r\nX Y: a\r\n\r\n", "malformed"),
        ("GET / HTTP/1.1\r\nX\0: a\r\n\r\n", "malformed"),
        ("GET / HTTP/1.1\r\nX\u{e9}: a\r\n\r\n", "malformed"),
        ("GET / HTTP/1.1\r\n: a\r\n\r\n", "malformed"),
        ("GET / HTTP/1.1\r\nX\r\n\r\n", "malformed"),
        ("GET / HTTP/1.1\r\nGET / HTTP/1.1\r\n\r\n", "malformed"),
        ("GET / HTTP/1.1\r\n X: a\r\n\r\n", "malformed"),
        ("GET / HTTP/1.1\r X: a\r\n\r\n", "malformed"),
        ("G\0T / HTTP/1.1\r\n\r\n", "malformed"),
        ("G(T / HTTP/1.1\r\n\r\n", "malformed"),
        (" GET / HTTP/1.1\r\n\r\n", "malformed"),
        ("\tGET / HTTP/1.1\r\n\r\n", "malformed"),
        ("\rGET / HTTP/1.1\r\n\r\n", "malformed"),
        ("\0GET / HTTP/1.1\r\n\r\n", "malformed"),
        ("GET\t/ HTTP/1.1\r\n\r\n", "malformed"),
        ("GET /\tHTTP/1.1\r\n\r\n", "malformed"),
        ("GET  / HTTP/1.1\r\n\r\n", "malformed"),
        ("GET /  HTTP/1.1\r\n\r\n", "malformed"),
        ("GET / HTTP/1.1 \r\n\r\n", "malformed"),
        ("GET /a b HTTP/1.1\r\n\r\n", "malformed"),
        ("GET /a\0 HTTP/1.1\r\n\r\n", "malformed"),
        ("GET /a\x7f HTTP/1.1\r\n\r\n", "malformed"),
        ("GET HTTP/1.1\r\n\r\n", "malformed"),
        ("GET  HTTP/1.1\r\n\r\n", "malformed"),
        ("/ HTTP/1.1\r\n\r\n", "malformed"),
        ("GET a HTTP/1.1\r\n\r\n", "GET a 0, Silence"),
        ("GET a/b HTTP/1.1\r\n\r\n", "malformed"),
        ("GET ?a HTTP/1.1\r\n\r\n", "malformed"),
        ("GET http:// HTTP/1.1\r\n\r\n", "malformed"),
        // Authorities are judged with the `Host` beside them.
        ("GET http://a@b:c/ HTTP/1.1\r\n\r\n", "GET http://a@b:c/ 0, Silence"),
        ("GET /a#b HTTP/1.1\r\n\r\n", "Flawed(Fragment)"),
        ("GET http://a/#b HTTP/1.1\r\n\r\n", "Flawed(Fragment)"),
        ("GET # HTTP/1.1\r\n\r\n", "malformed"),
    ]);
}

#[test]
fn other_versions_are_told_from_nonsense() {
    let version = "Refused(Version)";
    table(&[
        ("GET / HTTP/1.2\r\n\r\n", version),
        ("GET / HTTP/2.0\r\n\r\n", version),
        ("GET / HTTP/0.9\r\n\r\n", version),
        ("GET / HTTP/3.0\r\nX: y\r\n\r\n", version),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", version),
        ("GET / HTTP/1.10\r\n\r\n", "malformed"),
        ("GET /  HTTP/1.0\r\n\r\n", "malformed"),
        ("GET / HTTP/11\r\n\r\n", "malformed"),
        ("GET / HTTP/2\r\n\r\n", "malformed"),
        ("GET / http/1.1\r\n\r\n", "malformed"),
        ("GET / HTTP/1,1\r\n\r\n", "malformed"),
        ("GET / HTTP /1.1\r\n\r\n", "malformed"),
        ("GET / HTTPS/1.1\r\n\r\n", "malformed"),
        ("GET / ICY/1.0\r\n\r\n", "malformed"),
        ("GET /\r\n\r\n", "malformed"),
        ("GET / \r\n\r\n", "malformed"),
        ("GET /\r\nHost: a\r\n\r\n", "malformed"),
        ("GET\r\n\r\n", "malformed"),
        ("\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03", "malformed"),
    ]);
}

#[test]
fn a_head_may_be_as_long_as_it_may_be_and_no_byte_longer() {
    let head = |length: usize| {
        let (begin, end) = ("GET / HTTP/1.1\r\nX: ", "\r\n\r\n");
        format!("{begin}{}{end}", "a".repeat(length - begin.len() - end.len()))
    };
    let bounds = Bounds { bytes: 1000, fields: MOST_FIELDS };
    for piece in [1, 7, 999, 1000, 1001, usize::MAX] {
        let read = |said: &str| Whole::read(said.as_bytes(), piece, bounds).end;
        assert_eq!(read(&head(1000)), End::Silence, "{piece}");
        assert!(
            matches!(
                read(&head(1001)),
                End::Flawed(Flaw::HeadTooLarge) | End::Refused(Unreadable::HeadTooLarge)
            ),
            "{piece}"
        );
        // Without an end, and without a line.
        assert_eq!(read(&head(5000)[..4000]), End::Refused(Unreadable::HeadTooLarge), "{piece}");
        assert_eq!(read(&"a".repeat(4000)), End::Refused(Unreadable::HeadTooLarge), "{piece}");
        assert_eq!(read(&"\r\n".repeat(2000)), End::Refused(Unreadable::HeadTooLarge), "{piece}");
        assert_eq!(
            read(&format!("GET /{}", "a".repeat(4000))),
            End::Refused(Unreadable::HeadTooLarge),
            "{piece}"
        );
    }
    let target = |length: usize| format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(length - 1));
    let wide = Bounds { bytes: 1 << 20, ..BOUNDS };
    for (length, end) in [
        (65_534, End::Silence),
        (65_535, End::Refused(Unreadable::TargetTooLong)),
        (70_000, End::Refused(Unreadable::TargetTooLong)),
    ] {
        assert_eq!(Whole::read(target(length).as_bytes(), 4096, wide).end, end, "{length}");
    }
    let long_method = format!("{} / HTTP/1.1\r\n\r\n", "M".repeat(20_000));
    assert_eq!(read(long_method).requests.len(), 1, "it is a token");
}

#[test]
fn a_head_may_have_as_many_fields_as_it_may_have_and_not_one_more() {
    for most in [0, 1, 99, 100, 101, 300] {
        let head = |count| format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(count));
        let bounds = Bounds { bytes: 32 << 10, fields: most };
        let read = |said: &str, piece| Whole::read(said.as_bytes(), piece, bounds);
        for piece in [1, 50, usize::MAX] {
            let fine = read(&head(most), piece);
            assert_eq!((fine.requests.len(), fine.end), (1, End::Silence), "{most} by {piece}");
            let many = read(&head(most + 1), piece);
            assert_eq!(many.end, End::Refused(Unreadable::HeadTooLarge), "{most} by {piece}");
        }
    }
}

#[test]
fn nothing_of_one_request_is_seen_in_the_next() {
    let said = "GET /a HTTP/1.1\r\nX-A: 1\r\nExpect: 100-continue\r\n\r\nGET /b HTTP/1.1\r\n\r\nGET /c HTTP/1.0\r\nX-C: 2\r\n\r\n";
    let whole = read(said);
    let names = |at: usize| whole.requests[at].headers.keys().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        (names(0), names(1), names(2)),
        (vec!["x-a".into(), "expect".into()], vec![], vec!["x-c".to_owned()])
    );
}
