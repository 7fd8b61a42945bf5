//! A client that sends exactly the bytes it is told, and records all that comes back.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use serde_json::Value;

use super::{
    http::{Body, Fields, Framing, Reader},
    wait::PATIENCE,
};

/// An answer, as it stood on the wire.
#[derive(Debug, Clone)]
pub struct Response {
    pub version: String,
    pub status: u16,
    pub fields: Fields,
    pub body: Body,
    pub trailers: Fields,
    /// The statuses of the interim (1xx) answers before it.
    pub interim: Vec<u16>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.fields.one(name)
    }

    pub fn text(&self) -> String {
        self.body.text()
    }

    pub fn json(&self) -> Value {
        self.body.json()
    }

    /// The stable code of a problem (RFC 9457); fails the test when this is none, or not a whole one.
    pub fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{problem}");
        for field in ["type", "title", "detail", "request_id"] {
            assert!(problem[field].is_string(), "a problem without {field}: {problem}");
        }
        assert_eq!(problem["request_id"].as_str(), self.header("x-request-id"), "{problem}");
        problem["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Status and code in one, for tables: `401 credential_missing`; a success is its status alone.
    pub fn verdict(&self) -> String {
        if self.status < 400 { self.status.to_string() } else { format!("{} {}", self.status, self.code()) }
    }
}

/// One connection to the gateway.
#[derive(Debug)]
pub struct Client<S = TcpStream> {
    reader: Reader<S>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).expect("connect to the gateway")
    }

    /// None when nobody listens there.
    pub fn try_connect(address: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
        stream.set_nodelay(true).expect("nodelay");
        stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a write timeout");
        Some(Self::over(stream))
    }

    /// Says that no more will be sent, and goes on listening.
    pub fn half_close(&mut self) -> &mut Self {
        self.reader.stream.shutdown(Shutdown::Write).expect("half close");
        self
    }

    /// Ends the connection with RST instead of FIN.
    pub fn reset(self) {
        socket2::SockRef::from(&self.reader.stream).set_linger(Some(Duration::ZERO)).expect("linger");
    }

    pub fn patience(&mut self, patience: Duration) -> &mut Self {
        self.reader.stream.set_read_timeout(Some(patience)).expect("a read timeout");
        self
    }
}

impl<S: Read + Write> Client<S> {
    /// A client on a connection that stands.
    pub fn over(stream: S) -> Self {
        Self { reader: Reader::new(stream) }
    }

    /// What it speaks through.
    pub fn stream(&mut self) -> &mut S {
        &mut self.reader.stream
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.try_send(bytes.as_ref()).expect("send to the gateway");
        self
    }

    /// As [`send`](Self::send), for the side that may already have closed.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.stream.write_all(bytes)
    }

    /// Each part in its own TCP segment, the next one only after the reader had time to see the last.
    pub fn send_parts<B: AsRef<[u8]>>(&mut self, parts: &[B]) -> &mut Self {
        for part in parts {
            self.send(part);
            thread::sleep(Duration::from_millis(2));
        }
        self
    }

    /// The next final answer; none when the connection ended before it.
    pub fn try_receive(&mut self, method: &str) -> io::Result<Option<Response>> {
        let mut interim = Vec::new();
        loop {
            let Some(head) = self.reader.head()? else { return Ok(None) };
            let mut words = head.first.splitn(3, ' ');
            let version = words.next().unwrap_or_default().to_owned();
            let status: u16 = words.next().and_then(|status| status.parse().ok()).ok_or_else(|| {
                io::Error::new(
                    ErrorKind::InvalidData,
                    format!("a status line was expected: {:?}", head.first),
                )
            })?;
            if (100..200).contains(&status) && status != 101 {
                interim.push(status);
                continue;
            }
            let bodiless = method == "HEAD" || matches!(status, 101 | 204 | 304);
            let framing =
                if bodiless { Framing::None } else { Framing::of(&head.fields, Framing::ToTheEnd)? };
            let mut body = Body::default();
            let trailers = self.reader.body(framing, &mut body)?;
            return Ok(Some(Response { version, status, fields: head.fields, body, trailers, interim }));
        }
    }

    pub fn receive(&mut self) -> Response {
        self.receive_to("GET")
    }

    /// The answer to a request with this method: HEAD's has no body.
    pub fn receive_to(&mut self, method: &str) -> Response {
        match self.try_receive(method) {
            Ok(Some(response)) => response,
            end => panic!("no answer: {end:?}; the record so far: {:?}", self.record()),
        }
    }

    /// Raw bytes as they come, at least one; empty at the end of the stream.
    pub fn receive_bytes(&mut self, count: usize) -> Vec<u8> {
        let mut body = Body::default();
        let outcome = self.reader.body(Framing::Length(count as u64), &mut body);
        assert!(outcome.is_ok(), "{count} bytes were expected: {outcome:?}, got {:?}", body.text());
        body.kept
    }

    /// Reads on until the gateway closes; how it did so, and what came before.
    pub fn until_closed(&mut self) -> (End, Vec<u8>) {
        let end = loop {
            match self.reader.fill() {
                Ok(0) => break End::Closed,
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    break End::Open;
                }
                Err(_) => break End::Reset,
            }
        };
        (end, self.reader.surplus().to_vec())
    }

    /// Fails the test unless the gateway closes now and sends nothing more.
    pub fn assert_closed(&mut self) {
        let (end, rest) = self.until_closed();
        assert!(end != End::Open, "the connection stays open");
        assert!(rest.is_empty(), "closed, but after {:?}", String::from_utf8_lossy(&rest));
    }

    pub fn record(&self) -> String {
        String::from_utf8_lossy(&self.reader.record).into_owned()
    }
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Closed,
    Reset,
    /// Not within our patience.
    Open,
}

/// What came back for some bytes sent on a new connection.
#[derive(Debug)]
pub struct Exchange {
    pub responses: Vec<Response>,
    pub end: End,
}

impl Exchange {
    /// The verdicts in order, then how the connection ended: `["400 request_malformed", "Closed"]`.
    pub fn story(&self) -> Vec<String> {
        let verdicts = self.responses.iter().map(Response::verdict);
        verdicts.chain([format!("{:?}", self.end)]).collect()
    }
}

/// Sends the bytes on a new connection and reads answers until the gateway closes, or says nothing for `quiet`.
pub fn exchange(address: SocketAddr, bytes: impl AsRef<[u8]>, quiet: Duration) -> Exchange {
    let mut client = Client::connect(address);
    client.patience(quiet);
    // The gateway may refuse before it has read all: the answer counts, not our write.
    let _ = client.try_send(bytes.as_ref());
    let mut responses = Vec::new();
    let end = loop {
        match client.try_receive("GET") {
            Ok(Some(response)) => responses.push(response),
            Ok(None) => break End::Closed,
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => break End::Open,
                ErrorKind::InvalidData => panic!("{error}: {:?}", client.record()),
                _ => break End::Reset,
            },
        }
    };
    Exchange { responses, end }
}
