//! The heads of HTTP/1.1 messages, as far as a bench needs them.

use memchr::{memchr, memmem};

/// The length of the head that `bytes` begin with, its empty line included.
pub fn length(bytes: &[u8]) -> Option<usize> {
    memmem::find(bytes, b"\r\n\r\n").map(|end| end + 4)
}

/// The value of a header field; `name` in lower case.
pub fn field<'a>(head: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut rest = head;
    while let Some(end) = memchr(b'\n', rest) {
        let (line, after) = rest.split_at(end + 1);
        rest = after;
        if line.len() > name.len() + 1
            && line[name.len()] == b':'
            && line[..name.len()].eq_ignore_ascii_case(name.as_bytes())
        {
            return Some(line[name.len() + 1..].trim_ascii());
        }
    }
    None
}

/// Status and length of the body of a response; no length means that it cannot be read here.
pub fn response(head: &[u8]) -> (u16, Option<usize>) {
    let number = |text: &[u8]| std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    let status = head.get(9..12).and_then(number).unwrap_or(0);
    let length = field(head, "content-length").and_then(number);
    (u16::try_from(status).unwrap_or(0), length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_and_length_are_found_in_any_spelling() {
        let head = b"HTTP/1.1 401 Unauthorized\r\nx: 1\r\ncontent-LENGTH: 27 \r\n\r\n";
        assert_eq!(length(head), Some(head.len()));
        assert_eq!(length(&head[..head.len() - 1]), None);
        assert_eq!(response(head), (401, Some(27)));
        assert_eq!(response(b"HTTP/1.1 200 OK\r\nx-content-length: 3\r\n\r\n"), (200, None));
        assert_eq!(field(b"GET / HTTP/1.1\r\nX-API-Key: abc\r\n\r\n", "x-api-key"), Some(&b"abc"[..]));
    }
}
