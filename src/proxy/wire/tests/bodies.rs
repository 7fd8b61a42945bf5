//! Bodies in chunks and by length, at their bounds, and cut anywhere.

use super::*;

/// A request in chunks, and another one behind it.
fn chunked(chunks: &str) -> String {
    format!("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}GET /b HTTP/1.1\r\n\r\n")
}

/// The body and its trailers if it has an end, and the next request is what it is.
fn taken(chunks: &str) -> Option<(String, Vec<String>)> {
    let whole = read(chunked(chunks));
    for piece in [1, 2, 3, 5, 64] {
        let pieces = Whole::read(chunked(chunks).as_bytes(), piece, BOUNDS);
        assert_eq!(pieces.requests, whole.requests, "{chunks:?} by {piece}");
    }
    let [first, second] = &*whole.requests else {
        assert!(matches!(whole.end, End::Broken(_)), "{chunks:?}: {whole:?}");
        return None;
    };
    assert_eq!((second.target.as_str(), &whole.end), ("/b", &End::Silence), "{chunks:?}");
    let trailers =
        first.trailers.iter().flatten().map(|(name, value)| format!("{name}={}", value.to_str().unwrap()));
    Some((String::from_utf8(first.body.clone()).unwrap(), trailers.collect()))
}

#[test]
fn chunks_are_read_to_their_end() {
    for (chunks, body, trailers) in [
        ("0\r\n\r\n", "", &[][..]),
        ("000\r\n\r\n", "", &[]),
        ("5\r\nhello\r\n0\r\n\r\n", "hello", &[]),
        ("1\r\nh\r\n00004\r\nello\r\n0\r\n\r\n", "hello", &[]),
        ("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789", &[]),
        ("5;a\r\nhello\r\n0;b=\"c;d\"\r\n\r\n", "hello", &[]),
        ("5 \t\r\nhello\r\n0 ;x\r\n\r\n", "hello", &[]),
        ("5;\0\x7f\r\nhello\r\n0\r\n\r\n", "hello", &[]),
        ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n", &[]),
        ("0000000000000005\r\nhello\r\n0\r\n\r\n", "hello", &[]),
        ("0\r\nX: y\r\nZ:\r\n\r\n", "", &["x=y", "z="]),
        ("1\r\na\r\n0\r\nX: 1\r\nx: 2\r\n\r\n", "a", &["x=1", "x=2"]),
    ] {
        let trailers = trailers.iter().map(ToString::to_string).collect();
        assert_eq!(taken(chunks), Some((body.to_owned(), trailers)), "{chunks:?}");
    }
}

#[test]
fn what_is_no_chunk_ends_the_connection() {
    for chunks in [
        "\r\n",
        "g\r\n",
        "-1\r\na\r\n",
        "+1\r\na\r\n",
        " 1\r\na\r\n",
        "\t1\r\na\r\n",
        "0x1\r\na\r\n0\r\n\r\n",
        "1h\r\na\r\n",
        "1,1\r\na\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhelloo\r\n0\r\n\r\n",
        "4\r\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5\r\rhello",
        "5;a\nhello\r\n0\r\n\r\n",
        "5;\"\n\"\r\nhello\r\n0\r\n\r\n",
        "5;a\rb\r\nhello\r\n0\r\n\r\n",
        "5 5\r\nhello",
        ";a\r\nhello",
        "\0\r\n",
        "10000000000000000\r\na",
        "00000000000000001\r\na\r\n0\r\n\r\n",
        "0\n\r\n",
        "0\r\n\n",
        "0\r\n\r\r\n",
        "0\r\nX y: z\r\n\r\n",
        "0\r\nX : z\r\n\r\n",
        "0\r\nX: a\r\n b\r\n\r\n",
        "0\r\n X: a\r\n\r\n",
        "0\r\nX\r\n\r\n",
        "0\r\nX: a\nY: b\r\n\r\n",
        "0\r\nX: a\rY: b\r\n\r\n",
        "0\r\nX: \0\r\n\r\n",
        "0\r\n: a\r\n\r\n",
        "0\r\n\rX: a\r\n\r\n",
        "0\r\nX\u{e9}: a\r\n\r\n",
    ] {
        assert_eq!(taken(chunks), None, "{chunks:?}");
    }
    // The longest size there is is no overflow.
    assert_eq!(
        read(chunked("ffffffffffffffff\r\nab")).end,
        End::Broken(format!("ab{}", "GET /b HTTP/1.1\r\n\r\n").into_bytes())
    );
}

#[test]
fn extensions_and_trailers_have_bounds() {
    let extension = |length: usize| format!("1;{}\r\na\r\n0\r\n\r\n", "e".repeat(length));
    assert!(taken(&extension(16 << 10)).is_some() && taken(&extension((16 << 10) + 1)).is_none());
    let many = |count: usize| format!("{}0\r\n\r\n", "1;ee\r\na\r\n".repeat(count));
    assert!(
        taken(&many(8 << 10)).is_some() && taken(&many((8 << 10) + 1)).is_none(),
        "of all chunks together"
    );
    let trailer = |length: usize| format!("0\r\nX: {}\r\n\r\n", "t".repeat(length - "X: \r\n".len()));
    assert!(taken(&trailer(16 << 10)).is_some() && taken(&trailer((16 << 10) + 1)).is_none());
    let fields = |count: usize| format!("0\r\n{}\r\n", "a: b\r\n".repeat(count));
    assert!(taken(&fields(MOST_FIELDS)).is_some() && taken(&fields(MOST_FIELDS + 1)).is_none());
}

#[test]
fn a_body_that_is_cut_anywhere_is_broken() {
    let requests = [
        "POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello".to_owned(),
        "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nX: y\r\n\r\n"
            .to_owned(),
    ];
    for said in requests {
        let head = said.find("\r\n\r\n").unwrap() + 4;
        for at in 0..said.len() {
            for piece in [1, 3, usize::MAX] {
                let whole = Whole::read(&said.as_bytes()[..at], piece, BOUNDS);
                assert_eq!(whole.requests, [], "{at} of {said:?}");
                match whole.end {
                    End::Silence => assert_eq!(at, 0),
                    End::Cut => assert!(at < head, "{at} of {said:?}"),
                    End::Broken(part) => {
                        assert!(at >= head && b"hello".starts_with(&part), "{at} of {said:?}");
                    }
                    other => panic!("{other:?} at {at} of {said:?}"),
                }
            }
        }
    }
}

#[test]
fn requests_that_follow_each_other_are_told_apart_wherever_they_are_cut() {
    let one = "GET /a HTTP/1.1\r\n\r\n\
        POST /b HTTP/1.1\r\nContent-Length: 18\r\n\r\nGET /x HTTP/1.1\r\n\r\
        PUT /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nGET /y \r\n0\r\nA: b\r\n\r\n";
    let said = one.repeat(34);
    let whole = read(&said);
    let seen: Vec<(&str, usize)> =
        whole.requests.iter().map(|asked| (&*asked.target, asked.body.len())).collect();
    assert_eq!(seen, [("/a", 0), ("/b", 18), ("/c", 7)].repeat(34));
    assert_eq!(whole.end, End::Silence);
    for piece in (1..200).chain([8191, 8192, 8193]) {
        assert_eq!(Whole::read(said.as_bytes(), piece, BOUNDS), whole, "by {piece}");
    }
}
