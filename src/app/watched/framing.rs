//! Where requests begin and end in a client's bytes, as hyper reads them.
//!
//! This decides nothing about a request's body, which hyper reads for itself. It follows hyper's reading exactly
//! for everything that hyper accepts (lines of a head end in LF, with or without CR; those of chunks and trailers in
//! CR LF), and may lose its way in what hyper refuses, because then the connection is closed.

use crate::proxy::wire::Flaw;

/// Follows one connection.
#[derive(Debug)]
pub(super) struct Framing {
    /// The most bytes of a head.
    most: usize,
    /// A request line named a version that is not spoken here.
    strange_version: bool,
    state: State,
    /// The beginning of a line of a head whose end has not come yet.
    line: Vec<u8>,
    head: Head,
    /// How many heads have ended.
    heads: u64,
    /// Of the last request that has come whole, and whose length its head told, the number, from 1.
    whole: u64,
}

/// What was seen of a head so far.
#[derive(Debug, Default)]
struct Head {
    /// Whether the request line has come; empty lines before it do not count.
    begun: bool,
    fragment: bool,
    bytes: usize,
    /// 0 when it is none: hyper refuses that, unless a transfer coding outweighs it.
    length: Option<u64>,
    is_chunked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Head,
    /// So many bytes of a body still to come.
    Length(u64),
    Chunk(Chunk),
    /// hyper has refused what came.
    Lost,
}

/// The next byte of a chunked body is ...
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chunk {
    /// ... a digit of a size, the end of it, or of its line.
    Size(u64),
    /// ... something else on that line.
    Extension(u64),
    SizeLf(u64),
    Data(u64),
    DataCr,
    DataLf,
    /// ... the first of a line of the trailers.
    Trailers,
    Trailer,
    TrailerLf,
    EndLf,
}

impl Framing {
    /// From the first byte of a connection on whose heads have at most so many bytes.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            strange_version: false,
            state: State::Head,
            line: Vec::new(),
            head: Head::default(),
            heads: 0,
            whole: 0,
        }
    }

    /// Of the last request that has come whole the number, from 1; one whose body comes in chunks is never the last.
    pub(super) const fn whole(&self) -> u64 {
        self.whole
    }

    /// Whether a request line named a version that is not spoken here.
    pub(super) const fn saw_strange_version(&self) -> bool {
        self.strange_version
    }

    /// Whether nothing of another message has been read.
    pub(super) fn is_between_messages(&self) -> bool {
        self.state == State::Head && !self.head.begun && self.line.is_empty()
    }

    /// Reads on; tells the number of each request, from 0, that has a flaw.
    pub(super) fn read(&mut self, mut bytes: &[u8], mut flawed: impl FnMut(u64, Flaw)) {
        while !bytes.is_empty() {
            match &mut self.state {
                State::Head => bytes = self.head_lines(bytes, &mut flawed),
                State::Length(left) | State::Chunk(Chunk::Data(left)) => {
                    let taken = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= taken as u64;
                    bytes = &bytes[taken..];
                    if *left == 0 {
                        let in_chunk = matches!(self.state, State::Chunk(_));
                        self.state = if in_chunk { State::Chunk(Chunk::DataCr) } else { State::Head };
                        if !in_chunk {
                            self.whole = self.heads;
                        }
                    }
                }
                State::Chunk(chunk) => {
                    self.state = chunk.after(bytes[0]);
                    bytes = &bytes[1..];
                }
                State::Lost => return,
            }
        }
    }

    /// Reads lines until the head ends or nothing is left; gives back what follows.
    fn head_lines<'a>(&mut self, bytes: &'a [u8], flawed: &mut impl FnMut(u64, Flaw)) -> &'a [u8] {
        let mut begin = 0;
        for end in memchr::memchr_iter(b'\n', bytes) {
            let line = &bytes[begin..end];
            begin = end + 1;
            if self.line.is_empty() {
                self.head_line(line, flawed);
            } else {
                let mut whole = std::mem::take(&mut self.line);
                whole.extend_from_slice(line);
                self.head_line(&whole, flawed);
            }
            if self.state != State::Head {
                return &bytes[begin..];
            }
        }
        self.keep(&bytes[begin..]);
        &[]
    }

    /// Keeps the beginning of a line. A line that alone is too long is not kept whole: its head is refused for
    /// its size, however much of it still comes.
    fn keep(&mut self, bytes: &[u8]) {
        let room = self.most.saturating_sub(self.line.len());
        if bytes.len() > room {
            self.head.bytes = usize::MAX;
        }
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn head_line(&mut self, line: &[u8], flawed: &mut impl FnMut(u64, Flaw)) {
        let head = &mut self.head;
        head.bytes = head.bytes.saturating_add(line.len() + 1);
        if head.begun && has_no_framing(line) {
            return;
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            if head.begun {
                self.end_head(flawed);
            }
        } else if !head.begun {
            head.begun = true;
            let target = line.iter().position(|&byte| byte == b' ').unwrap_or(0);
            head.fragment = line[target..].contains(&b'#');
            self.strange_version = names_a_strange_version(line);
        } else if let Some(value) = value_of(line, CONTENT_LENGTH) {
            let length = str::from_utf8(value.trim_ascii()).ok().and_then(|digits| digits.parse().ok());
            head.length.get_or_insert(length.unwrap_or(0));
        } else if value_of(line, TRANSFER_ENCODING).is_some() {
            head.is_chunked = true;
        }
    }

    fn end_head(&mut self, flawed: &mut impl FnMut(u64, Flaw)) {
        let head = std::mem::take(&mut self.head);
        if head.is_chunked && head.length.is_some() {
            flawed(self.heads, Flaw::TwoLengths);
        } else if head.bytes > self.most {
            flawed(self.heads, Flaw::HeadTooLarge);
        } else if head.fragment {
            flawed(self.heads, Flaw::Fragment);
        }
        self.heads += 1;
        self.state = match head.length {
            _ if head.is_chunked => State::Chunk(Chunk::Size(0)),
            Some(length) if length > 0 => State::Length(length),
            _ => {
                self.whole = self.heads;
                State::Head
            }
        };
    }
}

/// `HTTP/` with another number than 1.0 and 1.1 at the end of a request line (RFC 9112 section 2.3).
fn names_a_strange_version(line: &[u8]) -> bool {
    let version = line.rsplit(|&byte| byte == b' ').next().and_then(|last| last.strip_prefix(b"HTTP/"));
    matches!(version, Some([major, b'.', minor]) if major.is_ascii_digit() && minor.is_ascii_digit())
        && !matches!(version, Some(b"1.0" | b"1.1"))
}

/// Whether a line is some other field, as nearly all are: neither the end of a head nor one of the two that frame a
/// body, by its first letter and where its colon would be.
#[inline]
fn has_no_framing(line: &[u8]) -> bool {
    match line.first() {
        None | Some(b'\r') => false,
        Some(b'c' | b'C') => line.get(CONTENT_LENGTH.len() - 1) != Some(&b':'),
        Some(b't' | b'T') => line.get(TRANSFER_ENCODING.len() - 1) != Some(&b':'),
        Some(_) => true,
    }
}

const CONTENT_LENGTH: &[u8] = b"content-length:";
const TRANSFER_ENCODING: &[u8] = b"transfer-encoding:";

/// The value of a header line with this name and colon. hyper refuses white space before the colon.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, value) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then_some(value)
}

impl Chunk {
    fn after(self, byte: u8) -> State {
        let next = match (self, byte) {
            (Self::Size(size) | Self::Extension(size), b'\r') => Self::SizeLf(size),
            (Self::Size(size), b';' | b' ' | b'\t') => Self::Extension(size),
            (Self::Size(size), digit) => {
                let digit = char::from(digit).to_digit(16);
                match digit.and_then(|digit| size.checked_mul(16)?.checked_add(u64::from(digit))) {
                    Some(size) => Self::Size(size),
                    None => return State::Lost,
                }
            }
            (Self::Extension(_), b'\n') => return State::Lost,
            (Self::Extension(size), _) => Self::Extension(size),
            (Self::SizeLf(0) | Self::TrailerLf, b'\n') => Self::Trailers,
            (Self::SizeLf(size), b'\n') => Self::Data(size),
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::Size(0),
            (Self::Trailers, b'\r') => Self::EndLf,
            (Self::Trailer, b'\r') => Self::TrailerLf,
            (Self::Trailers | Self::Trailer, _) => Self::Trailer,
            (Self::EndLf, b'\n') => return State::Head,
            _ => return State::Lost,
        };
        State::Chunk(next)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The flaws found, how many requests there were, and whether the last one has ended; whatever the pieces.
    fn read(bytes: &[u8], piece: usize) -> (Vec<(u64, Flaw)>, u64, bool) {
        let (mut framing, mut flaws) = (Framing::new(usize::MAX), Vec::new());
        for piece in bytes.chunks(piece) {
            framing.read(piece, |number, flaw| flaws.push((number, flaw)));
        }
        (flaws, framing.heads, framing.is_between_messages())
    }

    fn flaws(text: &str) -> Vec<(u64, Flaw)> {
        let whole = read(text.as_bytes(), usize::MAX);
        for piece in [1, 2, 3, 7] {
            assert_eq!(read(text.as_bytes(), piece), whole, "{text:?} in pieces of {piece}");
        }
        whole.0
    }

    #[test]
    fn two_lengths_are_seen_in_any_order_and_spelling() {
        for lines in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "transfer-encoding: chunked\r\nX: y\r\nCONTENT-LENGTH: 0",
            "Transfer-Encoding:chunked\nContent-Length:x",
            "Transfer-Encoding: chunked\r\nContent-Length:",
        ] {
            let request = format!("POST / HTTP/1.1\r\n{lines}\r\n\r\n0\r\n\r\n");
            assert_eq!(flaws(&request), [(0, Flaw::TwoLengths)], "{lines}");
        }
        let alone = "POST / HTTP/1.1\r\nX-Content-Length: 5\r\nTransfer-Encoding: chunked\r\nContent-Lengthy: 1\r\n\r\n";
        assert_eq!(flaws(alone), []);
    }

    #[test]
    fn a_fragment_is_one_only_in_a_target() {
        assert_eq!(flaws("GET /admin/x#/public/ HTTP/1.1\r\n\r\n"), [(0, Flaw::Fragment)]);
        assert_eq!(flaws("\r\n\nGET /?a#b HTTP/1.1\n\n"), [(0, Flaw::Fragment)]);
        assert_eq!(flaws("G#T / HTTP/1.1\r\nX: #\r\n\r\n#\r\n"), []);
    }

    #[test]
    fn bodies_hide_nothing_and_pretend_nothing() {
        let evil = "GET /#x HTTP/1.1\r\n\r\n";
        let in_length = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{evil}", evil.len());
        let in_chunk = format!(
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{:x};a=b\r\n{evil}\r\n1 \r\n#\r\n0\r\nX: a\n\r\n\r\n",
            evil.len()
        );
        assert_eq!(flaws(&in_length), []);
        assert_eq!(flaws(&in_chunk), []);
        let all = [in_length.as_str(), &in_chunk, "\r\n", evil, &in_length, evil].concat();
        assert_eq!(flaws(&all), [(2, Flaw::Fragment), (4, Flaw::Fragment)]);
    }

    #[test]
    fn a_line_without_end_is_neither_kept_nor_forgiven() {
        let (mut framing, mut flaws) = (Framing::new(1000), Vec::new());
        let mut read = |bytes: &[u8]| {
            framing.read(bytes, |number, flaw| flaws.push((number, flaw)));
            framing.line.capacity()
        };
        read(b"GET / HTTP/1.1\r\nX: ");
        for _ in 0..1000 {
            assert!(read(&[b'a'; 999]) <= 4000);
        }
        read(b"\r\n\r\nGET / HTTP/1.1\r\n\r\n");
        assert_eq!(flaws, [(0, Flaw::HeadTooLarge)]);
    }

    #[test]
    fn a_message_ends_where_it_ends() {
        for (text, ended) in [
            ("", true),
            ("\r\n", true),
            ("G", false),
            ("GET / HTTP/1.1\r\n", false),
            ("GET / HTTP/1.1\r\n\r\n", true),
            ("POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nx", false),
            ("POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nxx", true),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n", false),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", true),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\nx", false),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", false),
        ] {
            assert_eq!(read(text.as_bytes(), 1).2, ended, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics_and_pieces_do_not_matter(bytes in prop::collection::vec(any::<u8>(), 0..200), piece in 1_usize..9) {
            let start = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
            let bytes = [start.as_slice(), &bytes].concat();
            prop_assert_eq!(read(&bytes, piece), read(&bytes, usize::MAX));
        }
    }
}
