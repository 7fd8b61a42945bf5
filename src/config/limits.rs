//! `[limits]`: what one client may take.

use std::{
    num::{NonZeroU32, NonZeroU64},
    time::Duration,
};

use super::{
    quantity::{ByteSize, size, timeout},
    raw::{Item, Problem, Section},
};

/// Bounds of the gateway port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections served at a time; more wait in the kernel's backlog.
    pub max_connections: NonZeroU32,
    /// Connections of one address at a time; none: no bound. More are closed at once.
    pub connections_per_ip: Option<NonZeroU32>,
    /// Requests under way at a time; none: no bound.
    pub max_requests: Option<NonZeroU32>,
    /// Request line and headers together, in bytes.
    pub header_bytes: ByteSize,
    /// Header lines.
    pub header_count: u16,
    /// Requests at a time on one connection of HTTP/2.
    pub h2_streams: NonZeroU32,
    /// The longest request body, in bytes; none: no bound.
    pub body_bytes: Option<NonZeroU64>,
    /// From the first byte of a request to the end of its headers.
    pub header_timeout: Duration,
    /// From the end of its headers to the head of the answer.
    pub request_timeout: Duration,
    /// How long a client may take none of an answer that waits for it.
    pub send_timeout: Duration,
    /// Bytes in a second that a client has to send of a body, or to take of an answer, while it is waited for; 0: any.
    pub min_rate: ByteSize,
    /// How long running requests may take to finish after SIGTERM.
    pub drain_timeout: Duration,
}

impl Limits {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let mut span = |key, example, default| {
            section.read(key, example, timeout).unwrap_or(Duration::from_secs(default))
        };
        let header_timeout = span("header_timeout", r#""10s""#, 10);
        let request_timeout = span("request_timeout", r#""60s""#, 60);
        let send_timeout = span("send_timeout", r#""60s""#, 60);
        let drain_timeout = span("drain_timeout", r#""30s""#, 30);
        Self {
            max_connections: section
                .read("max_connections", "10000", |item| item.number(1..=10_000_000))
                .and_then(NonZeroU32::new)
                .unwrap_or(MAX_CONNECTIONS),
            connections_per_ip: bound(section, "connections_per_ip", "100"),
            max_requests: bound(section, "max_requests", "5000"),
            header_bytes: section.read("header_bytes", r#""32KiB""#, header_bytes).unwrap_or(HEADER_BYTES),
            header_count: section.read("header_count", "100", |item| item.number(1..=1_000)).unwrap_or(100),
            h2_streams: section
                .read("h2_streams", "100", |item| item.number(1..=10_000))
                .and_then(NonZeroU32::new)
                .unwrap_or(H2_STREAMS),
            body_bytes: section
                .read("body_bytes", r#""10MiB""#, size)
                .and_then(|size| NonZeroU64::new(size.0)),
            header_timeout,
            request_timeout,
            send_timeout,
            min_rate: section.read("min_rate", r#""240B""#, size).unwrap_or(MIN_RATE),
            drain_timeout,
        }
    }
}

/// A number, of which 0 is none.
fn bound(section: &mut Section<'_>, key: &'static str, example: &str) -> Option<NonZeroU32> {
    section.read(key, example, |item| item.number(0..=10_000_000)).and_then(NonZeroU32::new)
}

/// Below 8 KiB the parser has no room for an ordinary request, above 1 MiB each connection could hold too much.
fn header_bytes(item: &Item) -> Result<ByteSize, Problem> {
    let size = size(item)?;
    if (LEAST_HEADER_BYTES..=MOST_HEADER_BYTES).contains(&size) {
        Ok(size)
    } else {
        Err(format!("{size} is not from {LEAST_HEADER_BYTES} to {MOST_HEADER_BYTES}"))
    }
}

const MAX_CONNECTIONS: NonZeroU32 = NonZeroU32::MIN.saturating_add(9_999);
const H2_STREAMS: NonZeroU32 = NonZeroU32::MIN.saturating_add(99);
const HEADER_BYTES: ByteSize = ByteSize(32 << 10);
const MIN_RATE: ByteSize = ByteSize(240);
const LEAST_HEADER_BYTES: ByteSize = ByteSize(8 << 10);
const MOST_HEADER_BYTES: ByteSize = ByteSize(1 << 20);
