//! A client of HTTP/2 that sends exactly the frames it is told, right or wrong, and records what comes back.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::wait::PATIENCE;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;
pub const PRIORITIZED: u8 = 32;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// What became of a stream, or of the connection under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Answered to the end.
    Answered(Answer),
    /// RST_STREAM with this code, before the end of an answer.
    Reset(u32),
    /// GOAWAY with this code.
    GoAway(u32),
    /// The connection ended without a word.
    Closed,
    /// Nothing came within our patience.
    Silent,
}

/// An answer: its status, the bytes of its header block and trailers as they stood, its body.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
    /// Header blocks behind the first: trailers.
    pub trailers: usize,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// `200`, or status and code, as an answer in HTTP/1.
    pub fn verdict(&self) -> String {
        if self.status < 400 {
            return self.status.to_string();
        }
        let problem: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        format!("{} {}", self.status, problem["code"].as_str().unwrap_or("-"))
    }
}

impl Fate {
    /// In one word: `200`, `401 credential_missing`, `reset 1`, `goaway 1`, `closed`, `silent`.
    pub fn word(&self) -> String {
        match self {
            Self::Answered(answer) => answer.verdict(),
            Self::Reset(code) => format!("reset {code}"),
            Self::GoAway(code) => format!("goaway {code}"),
            Self::Closed => "closed".to_owned(),
            Self::Silent => "silent".to_owned(),
        }
    }
}

/// One connection.
#[derive(Debug)]
pub struct Wire {
    pub stream: TcpStream,
    buffer: Vec<u8>,
    pub patience: Duration,
    /// Everything that came, but what was answered by itself (SETTINGS, PING).
    pub seen: Vec<Frame>,
    pub acked: usize,
}

impl Wire {
    /// Preface and empty SETTINGS are sent; the rest of the greeting comes as it comes.
    pub fn connect(address: SocketAddr) -> Self {
        let mut wire = Self::silent(address);
        wire.bytes(PREFACE).frame(SETTINGS, 0, 0, &[]);
        wire
    }

    /// Only the connection.
    pub fn silent(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect_timeout(&address, PATIENCE).expect("connect to the gateway"))
    }

    /// A server's side, once the preface is read: its empty SETTINGS are sent.
    pub fn accepted(stream: TcpStream) -> Self {
        let mut wire = Self::over(stream);
        wire.frame(SETTINGS, 0, 0, &[]);
        wire
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("nodelay");
        stream.set_write_timeout(Some(PATIENCE)).expect("a write timeout");
        Self { stream, buffer: Vec::new(), patience: PATIENCE, seen: Vec::new(), acked: 0 }
    }

    /// Bytes as they are. The gateway may have closed already: what came back counts.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        let _ = self.stream.write_all(bytes);
        self
    }

    pub fn try_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    pub fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> &mut Self {
        self.bytes(&frame(kind, flags, stream, payload))
    }

    /// A request without a body.
    pub fn get(&mut self, stream: u32, fields: &[(&str, &str)]) -> &mut Self {
        self.frame(HEADERS, END_STREAM | END_HEADERS, stream, &block(fields))
    }

    /// The head of a request whose body is still to come.
    pub fn open(&mut self, stream: u32, fields: &[(&str, &str)]) -> &mut Self {
        self.frame(HEADERS, END_HEADERS, stream, &block(fields))
    }

    pub fn data(&mut self, stream: u32, flags: u8, bytes: &[u8]) -> &mut Self {
        self.frame(DATA, flags, stream, bytes)
    }

    /// The next frame; SETTINGS and PING are answered on the way. None at the end of the connection.
    pub fn next(&mut self) -> io::Result<Option<Frame>> {
        let until = Instant::now() + self.patience;
        loop {
            if let Some(frame) = self.whole_frame() {
                match (frame.kind, frame.flags & ACK) {
                    (SETTINGS, 0) => {
                        self.frame(SETTINGS, ACK, 0, &[]);
                    }
                    (PING, 0) => {
                        self.frame(PING, ACK, 0, &frame.payload);
                    }
                    (SETTINGS, _) => self.acked += 1,
                    _ => {
                        self.seen.push(frame.clone());
                        return Ok(Some(frame));
                    }
                }
                continue;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left))?;
            let mut chunk = [0; 16 << 10];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Ok(None),
                Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    fn whole_frame(&mut self) -> Option<Frame> {
        let head = self.buffer.get(..9)?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
        let payload = self.buffer.get(9..9 + length)?.to_vec();
        self.buffer.drain(..9 + length);
        Some(Frame { kind, flags, stream, payload })
    }

    /// Reads on until this stream or the connection has ended. Windows are kept open.
    pub fn fate(&mut self, stream: u32) -> Fate {
        let mut answer = Answer::default();
        loop {
            let frame = match self.next() {
                Ok(Some(frame)) => frame,
                Ok(None) => return Fate::Closed,
                Err(_) => return Fate::Silent,
            };
            match frame.kind {
                GOAWAY => {
                    let code = u32::from_be_bytes(frame.payload[4..8].try_into().expect("a code"));
                    let last = u32::from_be_bytes(frame.payload[..4].try_into().expect("a stream"));
                    // A kind goodbye: what is under way is finished.
                    if code != 0 || last < stream {
                        return Fate::GoAway(code);
                    }
                }
                RST_STREAM if frame.stream == stream => {
                    let code = u32::from_be_bytes(frame.payload[..4].try_into().expect("a code"));
                    return Fate::Reset(code);
                }
                HEADERS if frame.stream == stream => {
                    if answer.status >= 200 {
                        answer.trailers += 1;
                    } else {
                        answer.status = status(&frame.payload);
                    }
                    if frame.flags & END_STREAM != 0 {
                        return Fate::Answered(answer);
                    }
                }
                DATA if frame.stream == stream => {
                    answer.body.extend_from_slice(&frame.payload);
                    if answer.status == 0 {
                        let problem: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                        let status = problem["status"].as_u64().unwrap_or_default();
                        answer.status = u16::try_from(status).unwrap_or_default();
                    }
                    let ended = frame.flags & END_STREAM != 0;
                    let more = u32::try_from(frame.payload.len()).expect("a length").to_be_bytes();
                    if more != [0; 4] {
                        self.frame(WINDOW_UPDATE, 0, 0, &more);
                        if !ended {
                            self.frame(WINDOW_UPDATE, 0, stream, &more);
                        }
                    }
                    if ended {
                        return Fate::Answered(answer);
                    }
                }
                _ => {}
            }
        }
    }

    /// The answer to a stream; fails the test when there is none.
    pub fn answer(&mut self, stream: u32) -> Answer {
        match self.fate(stream) {
            Fate::Answered(answer) => answer,
            fate => panic!("stream {stream} was not answered: {fate:?}; {:?}", self.seen),
        }
    }

    /// Whether the gateway ends the connection, with or without a word, within our patience.
    pub fn ends(&mut self) -> bool {
        loop {
            match self.next() {
                Ok(None) => return true,
                Ok(Some(_)) => {}
                Err(_) => return false,
            }
        }
    }

    pub fn patience(&mut self, patience: Duration) -> &mut Self {
        self.patience = patience;
        self
    }

    pub fn half_close(&mut self) -> &mut Self {
        self.stream.shutdown(Shutdown::Write).expect("half close");
        self
    }
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame's length").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header block in the plainest way: every field literal, nothing remembered (RFC 7541 section 6.2.2).
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    raw_block(&fields)
}

pub fn raw_block(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            length(&mut bytes, text.len());
            bytes.extend_from_slice(text);
        }
    }
    bytes
}

/// A length of seven bits and more (RFC 7541 section 5.1).
fn length(bytes: &mut Vec<u8>, length: usize) {
    if length < 127 {
        bytes.push(u8::try_from(length).expect("seven bits"));
        return;
    }
    bytes.push(127);
    let mut left = length - 127;
    while left >= 128 {
        bytes.push(u8::try_from(left % 128).expect("seven bits") | 128);
        left /= 128;
    }
    bytes.push(u8::try_from(left).expect("seven bits"));
}

/// The status, which comes first; zero where it is one that was sent before and is only referred to.
fn status(block: &[u8]) -> u16 {
    match block {
        [0x88, ..] => 200,
        [0x89, ..] => 204,
        [0x8a, ..] => 206,
        [0x8b, ..] => 304,
        [0x8c, ..] => 400,
        [0x8d, ..] => 404,
        [0x8e, ..] => 500,
        // A literal whose name is the eighth of the static table, its value in Huffman's code or plain.
        [0x48 | 0x08, length, rest @ ..] => {
            let text = &rest[..usize::from(length & 0x7f)];
            let digits: String =
                if length & 0x80 == 0 { String::from_utf8_lossy(text).into_owned() } else { digits(text) };
            digits.parse().unwrap_or_default()
        }
        _ => 0,
    }
}

/// Three digits in HPACK's Huffman code: 0 to 2 have five bits, the others six.
fn digits(bytes: &[u8]) -> String {
    let bits: Vec<u32> =
        bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| u32::from(byte >> at & 1))).collect();
    let (mut at, mut text) = (0, String::new());
    let take = |from: usize, count: usize| {
        bits.get(from..from + count).map_or(99, |bits| bits.iter().fold(0, |sum, bit| sum * 2 + bit))
    };
    while text.len() < 3 {
        let (short, long) = (take(at, 5), take(at, 6));
        let (digit, bits) = if short <= 2 { (short, 5) } else { (long.wrapping_sub(0b01_0110), 6) };
        at += bits;
        text.push(char::from_digit(digit, 10).unwrap_or('?'));
    }
    text
}
