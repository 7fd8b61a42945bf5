//! Where a client's requests end: in the same place however their bytes arrive, and in the same place for whoever they are
//! passed on to.

use http::{HeaderMap, Version};
use latchgate::proxy::wire::{Asked, Bounds, End, Whole};

pub(super) fn run(data: &[u8]) {
    let bounds = Bounds { bytes: 4 << 10, fields: 20 };
    let whole = Whole::read(data, usize::MAX, bounds);
    for piece in [1, 5, 100] {
        let pieces = Whole::read(data, piece, bounds);
        assert_eq!(whole.requests, pieces.requests, "requests do not depend on their packets");
        match (&whole.end, &pieces.end) {
            (End::Silence | End::Last | End::Flawed(_) | End::Broken(_), _)
                if !matches!(pieces.end, End::Refused(_)) =>
            {
                assert_eq!(whole.end, pieces.end);
            }
            // What is beyond the bounds, or ends before it is looked at again, is refused in one way or another.
            (whole, pieces) => {
                assert!(is_refused(whole) && is_refused(pieces), "{whole:?} is not {pieces:?}");
            }
        }
    }
    let bodies: usize = whole.requests.iter().map(|asked| asked.body.len()).sum();
    assert!(whole.requests.is_empty() || bodies < data.len(), "nothing is read that was not sent");
    for asked in &whole.requests {
        let all = |name: &str| asked.headers.get_all(name).iter().count();
        let (lengths, codings) = (all("content-length"), all("transfer-encoding"));
        assert!(lengths <= 1 && (lengths == 0 || codings == 0), "a request has one length");
        if lengths == 1 {
            let length = asked.headers["content-length"].to_str().ok().and_then(|length| length.parse().ok());
            assert_eq!(length, Some(asked.body.len()), "what it says is what it has");
        }
        assert!(lengths + codings > 0 || asked.body.is_empty(), "a body is announced");
        assert!(asked.trailers.is_none() || codings > 0, "trailers are behind chunks");
        assert!(codings == 0 || asked.version == Version::HTTP_11, "1.0 knows no codings");
    }
    let again: Vec<u8> = whole.requests.iter().flat_map(written).collect();
    if again.len() < 8 << 10 {
        let again = Whole::read(&again, usize::MAX, Bounds { bytes: 64 << 10, ..bounds });
        assert_eq!(
            again.requests, whole.requests,
            "what is written as it was read is read as it was written"
        );
    }
}

fn is_refused(end: &End) -> bool {
    !matches!(end, End::Silence | End::Last)
}

/// As somebody would pass it on.
fn written(asked: &Asked) -> Vec<u8> {
    let mut text = format!("{} {} {:?}\r\n", asked.method, asked.target, asked.version).into_bytes();
    fields(&mut text, &asked.headers);
    text.extend(b"\r\n");
    if !asked.headers.contains_key("transfer-encoding") {
        text.extend(&asked.body);
        return text;
    }
    if !asked.body.is_empty() {
        text.extend(format!("{:x}\r\n", asked.body.len()).into_bytes());
        text.extend(&asked.body);
        text.extend(b"\r\n");
    }
    text.extend(b"0\r\n");
    fields(&mut text, asked.trailers.as_ref().unwrap_or(&HeaderMap::new()));
    text.extend(b"\r\n");
    text
}

fn fields(text: &mut Vec<u8>, headers: &HeaderMap) {
    for (name, value) in headers {
        text.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
}
