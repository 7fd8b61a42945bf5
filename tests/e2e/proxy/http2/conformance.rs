//! B93: the rules of RFC 9113 and RFC 7541 that a server must hold a client to, case by case, as frames by hand.
//!
//! A case says what is sent and what may come of it. `reset N` and `goaway N` name the error: 1 PROTOCOL_ERROR, 3
//! FLOW_CONTROL_ERROR, 5 STREAM_CLOSED, 6 FRAME_SIZE_ERROR, 9 COMPRESSION_ERROR. Where the RFC asks for a connection
//! error, a connection that is simply closed is one too; and the library says PROTOCOL_ERROR for errors of size and of
//! compression, which end the connection all the same.

use std::time::Duration;

use super::head;
use crate::{
    proxy::house::House,
    support::{
        frames::{
            ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING, PREFACE,
            PRIORITIZED, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, Wire, block, raw_block,
        },
        wrong::Wrong,
    },
};

type Case = (&'static str, fn(&mut Wire, &Blocks), &'static [&'static str]);

/// Header blocks of requests that are well formed.
struct Blocks {
    get: Vec<u8>,
    post: Vec<u8>,
    fields: Vec<(String, String)>,
}

impl Blocks {
    /// The block of a GET with these fields more.
    fn with(&self, more: &[(&str, &str)]) -> Vec<u8> {
        let mut fields: Vec<(&str, &str)> =
            self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        fields.extend(more);
        block(&fields)
    }

    /// Without the pseudo-header of this name.
    fn without(&self, name: &str) -> Vec<u8> {
        let kept = self.fields.iter().filter(|(field, _)| field != name);
        block(&kept.map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>())
    }

    fn instead(&self, name: &str, value: &str) -> Vec<u8> {
        let fields = self
            .fields
            .iter()
            .map(|(field, old)| (field.as_str(), if field == name { value } else { old.as_str() }));
        block(&fields.collect::<Vec<_>>())
    }
}

const ES: u8 = END_STREAM;
const EH: u8 = END_HEADERS;
const WHOLE: u8 = END_STREAM | END_HEADERS;
const OK: &[&str] = &["200"];
const PROTOCOL: &[&str] = &["goaway 1", "closed"];
const MALFORMED: &[&str] = &["reset 1", "goaway 1", "400", "closed"];
/// The library drops what it knows of such a field, and nobody sees it.
const MALFORMED_OR_DROPPED: &[&str] = &["reset 1", "goaway 1", "400", "200"];
const SIZE: &[&str] = &["goaway 6", "goaway 1", "closed"];
const STREAM_SIZE: &[&str] = &["reset 6", "goaway 6", "goaway 1", "closed"];
const CLOSED: &[&str] = &["reset 5", "goaway 5", "goaway 1", "closed"];
const FLOW: &[&str] = &["reset 3", "goaway 3", "goaway 1", "closed"];
const COMPRESSION: &[&str] = &["goaway 9", "goaway 1", "closed"];

/// What is spoken as it should be.
const GENERIC: &[Case] = &[
    (
        "a GET",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &b.get);
        },
        OK,
    ),
    (
        "a POST with DATA",
        |w, b| {
            w.frame(HEADERS, EH, 1, &b.post).frame(DATA, ES, 1, b"test");
        },
        OK,
    ),
    (
        "a POST with padded DATA",
        |w, b| {
            w.frame(HEADERS, EH, 1, &b.post).frame(DATA, ES | PADDED, 1, b"\x02hi\0\0");
        },
        OK,
    ),
    (
        "a POST with several DATA",
        |w, b| {
            w.frame(HEADERS, EH, 1, &b.post)
                .frame(DATA, 0, 1, b"a")
                .frame(DATA, 0, 1, b"b")
                .frame(DATA, ES, 1, b"");
        },
        OK,
    ),
    (
        "HEADERS with padding",
        |w, b| {
            let p = [&[3][..], &b.get, &[0; 3]].concat();
            w.frame(HEADERS, WHOLE | PADDED, 1, &p);
        },
        OK,
    ),
    (
        "HEADERS with a priority",
        |w, b| {
            let p = [&[0, 0, 0, 0, 15][..], &b.get].concat();
            w.frame(HEADERS, WHOLE | PRIORITIZED, 1, &p);
        },
        OK,
    ),
    (
        "a block in a CONTINUATION",
        |w, b| {
            let (x, y) = b.get.split_at(7);
            w.frame(HEADERS, ES, 1, x).frame(CONTINUATION, EH, 1, y);
        },
        OK,
    ),
    (
        "a block in three CONTINUATIONs",
        |w, b| {
            let (x, y) = b.get.split_at(7);
            let (y, z) = y.split_at(9);
            w.frame(HEADERS, ES, 1, x).frame(CONTINUATION, 0, 1, y).frame(CONTINUATION, 0, 1, &[]).frame(
                CONTINUATION,
                EH,
                1,
                z,
            );
        },
        OK,
    ),
    (
        "trailers",
        |w, b| {
            w.frame(HEADERS, EH, 1, &b.post).frame(DATA, 0, 1, b"x").frame(
                HEADERS,
                WHOLE,
                1,
                &block(&[("x-sum", "1")]),
            );
        },
        OK,
    ),
    (
        "a PRIORITY before the request",
        |w, b| {
            w.frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 15]).frame(HEADERS, WHOLE, 1, &b.get);
        },
        OK,
    ),
    (
        "a PRIORITY of a stream long over",
        |w, b| {
            w.frame(HEADERS, WHOLE, 3, &b.get).frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 15]);
            w.fate(3);
            w.frame(HEADERS, WHOLE, 5, &b.get);
            w.fate(5);
            w.frame(HEADERS, WHOLE, 7, &b.get);
        },
        &["silent", "200"],
    ),
    (
        "a WINDOW_UPDATE of the connection",
        |w, b| {
            w.frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]).frame(HEADERS, WHOLE, 1, &b.get);
        },
        OK,
    ),
    (
        "a WINDOW_UPDATE of a stream",
        |w, b| {
            w.frame(HEADERS, EH, 1, &b.post)
                .frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])
                .frame(DATA, ES, 1, b"x");
        },
        OK,
    ),
    (
        "a PING",
        |w, b| {
            w.frame(PING, 0, 0, b"abcdefgh").frame(HEADERS, WHOLE, 1, &b.get);
        },
        OK,
    ),
    (
        "an unknown frame",
        |w, b| {
            w.frame(0x99, 0xff, 0, b"x").frame(HEADERS, WHOLE, 1, &b.get);
        },
        OK,
    ),
    (
        "an unknown setting",
        |w, b| {
            w.frame(SETTINGS, 0, 0, &[0, 0xff, 0, 0, 0, 1]).frame(HEADERS, WHOLE, 1, &b.get);
        },
        OK,
    ),
    (
        "unknown flags of a PING",
        |w, b| {
            w.frame(PING, 0x16, 0, &[0; 8]).frame(HEADERS, WHOLE, 1, &b.get);
        },
        OK,
    ),
    (
        "a reserved bit",
        |w, b| {
            w.frame(PING, 0, 0x8000_0000, &[0; 8]).frame(HEADERS, WHOLE, 1, &b.get);
        },
        OK,
    ),
    (
        "an empty DATA that ends",
        |w, b| {
            w.frame(HEADERS, EH, 1, &b.post).frame(DATA, ES, 1, b"");
        },
        OK,
    ),
    (
        "two settings, the last counts",
        |w, b| {
            w.frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0]).frame(HEADERS, WHOLE, 1, &b.get);
        },
        OK,
    ),
    (
        "a stream number that skips",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &b.get);
            w.fate(1);
            w.frame(HEADERS, WHOLE, 7, &b.get);
            assert_eq!(w.fate(7).word(), "200");
            w.frame(PING, 0, 0, &[1; 8]);
        },
        &["silent"],
    ),
];

/// The connection: preface, frames as such, settings, ping, goaway, flow control (sections 3.4, 4, 6.5 to 6.9).
const CONNECTION: &[Case] = &[
    (
        "no SETTINGS behind the preface",
        |w, _| {
            w.frame(PING, 0, 0, &[0; 8]);
        },
        &["silent", "goaway 1", "closed"],
    ),
    (
        "a frame larger than allowed: DATA",
        |w, b| {
            w.frame(HEADERS, EH, 1, &b.post).frame(DATA, ES, 1, &[0; 16_385]);
        },
        STREAM_SIZE,
    ),
    (
        "a frame larger than allowed: HEADERS",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &[&b.get[..], &[0; 16_385]].concat());
        },
        SIZE,
    ),
    (
        "SETTINGS on a stream",
        |w, _| {
            w.frame(SETTINGS, 0, 1, &[0, 3, 0, 0, 0, 100]);
        },
        PROTOCOL,
    ),
    (
        "SETTINGS of a strange length",
        |w, _| {
            w.frame(SETTINGS, 0, 0, &[0, 3, 0]);
        },
        SIZE,
    ),
    (
        "a SETTINGS answer with a payload",
        |w, _| {
            w.frame(SETTINGS, ACK, 0, &[0]);
        },
        SIZE,
    ),
    (
        "ENABLE_PUSH neither 0 nor 1",
        |w, _| {
            w.frame(SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 2]);
        },
        PROTOCOL,
    ),
    (
        "INITIAL_WINDOW_SIZE too large",
        |w, _| {
            w.frame(SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0]);
        },
        FLOW,
    ),
    (
        "MAX_FRAME_SIZE too small",
        |w, _| {
            w.frame(SETTINGS, 0, 0, &[0, 5, 0, 0, 0x3f, 0xff]);
        },
        PROTOCOL,
    ),
    (
        "MAX_FRAME_SIZE too large",
        |w, _| {
            w.frame(SETTINGS, 0, 0, &[0, 5, 1, 0, 0, 0]);
        },
        PROTOCOL,
    ),
    (
        "a PING on a stream",
        |w, _| {
            w.frame(PING, 0, 1, &[0; 8]);
        },
        PROTOCOL,
    ),
    (
        "a PING of a strange length",
        |w, _| {
            w.frame(PING, 0, 0, &[0; 6]);
        },
        SIZE,
    ),
    (
        "a GOAWAY on a stream",
        |w, _| {
            w.frame(GOAWAY, 0, 1, &[0; 8]);
        },
        PROTOCOL,
    ),
    (
        "a GOAWAY too short",
        |w, _| {
            w.frame(GOAWAY, 0, 0, &[0; 7]);
        },
        SIZE,
    ),
    (
        "WINDOW_UPDATE of nothing, connection",
        |w, _| {
            w.frame(WINDOW_UPDATE, 0, 0, &[0; 4]);
        },
        PROTOCOL,
    ),
    (
        "WINDOW_UPDATE of nothing, stream",
        |w, b| {
            w.frame(HEADERS, EH, 1, &b.post).frame(WINDOW_UPDATE, 0, 1, &[0; 4]);
        },
        MALFORMED,
    ),
    (
        "WINDOW_UPDATE of a strange length",
        |w, _| {
            w.frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1]);
        },
        SIZE,
    ),
    (
        "the connection's window beyond its bound",
        |w, _| {
            w.frame(WINDOW_UPDATE, 0, 0, &[0x7f, 255, 255, 255]).frame(
                WINDOW_UPDATE,
                0,
                0,
                &[0x7f, 255, 255, 255],
            );
        },
        FLOW,
    ),
    (
        "a stream's window beyond its bound",
        |w, b| {
            w.frame(HEADERS, EH, 1, &b.post).frame(WINDOW_UPDATE, 0, 1, &[0x7f, 255, 255, 255]).frame(
                WINDOW_UPDATE,
                0,
                1,
                &[0x7f, 255, 255, 255],
            );
        },
        FLOW,
    ),
    (
        "a PUSH_PROMISE from a client",
        |w, b| {
            w.frame(HEADERS, EH, 1, &b.post).frame(
                PUSH_PROMISE,
                EH,
                1,
                &[&[0, 0, 0, 2][..], &b.get].concat(),
            );
        },
        PROTOCOL,
    ),
    (
        "a window that grows by SETTINGS beyond its bound",
        |w, b| {
            w.frame(HEADERS, EH, 1, &b.post).frame(WINDOW_UPDATE, 0, 1, &[0x7f, 255, 0, 0]).frame(
                SETTINGS,
                0,
                0,
                &[0, 4, 0x7f, 255, 255, 255],
            );
        },
        FLOW,
    ),
];

/// Streams: states, numbers, priorities (sections 5.1, 5.3, 6.1 to 6.4, 6.10).
const STREAMS: &[Case] = &[
    (
        "idle: DATA",
        |w, _| {
            w.frame(DATA, ES, 1, b"x");
        },
        PROTOCOL,
    ),
    (
        "idle: RST_STREAM",
        |w, _| {
            w.frame(RST_STREAM, 0, 1, &[0; 4]);
        },
        PROTOCOL,
    ),
    (
        "idle: WINDOW_UPDATE",
        |w, _| {
            w.frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]);
        },
        PROTOCOL,
    ),
    (
        "idle: CONTINUATION",
        |w, b| {
            w.frame(CONTINUATION, EH, 1, &b.get);
        },
        PROTOCOL,
    ),
    (
        "half closed: DATA",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &b.get).frame(DATA, ES, 1, b"x");
        },
        CLOSED,
    ),
    (
        "half closed: HEADERS",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &b.get).frame(HEADERS, WHOLE, 1, &b.get);
        },
        CLOSED,
    ),
    (
        "half closed: CONTINUATION",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &b.get).frame(CONTINUATION, EH, 1, &b.get);
        },
        CLOSED,
    ),
    (
        "reset: DATA",
        |w, b| {
            w.frame(HEADERS, EH, 1, &b.post).frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]).frame(DATA, ES, 1, b"x");
        },
        &["reset 5", "goaway 5", "closed", "silent"],
    ),
    (
        "reset: HEADERS",
        |w, b| {
            w.frame(HEADERS, EH, 1, &b.post)
                .frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])
                .frame(HEADERS, WHOLE, 1, &b.get);
        },
        &["reset 5", "goaway 5", "goaway 1", "closed", "silent"],
    ),
    (
        "ended: DATA",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &b.get);
            w.fate(1);
            w.frame(DATA, ES, 1, b"x");
        },
        CLOSED,
    ),
    (
        "ended: HEADERS",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &b.get);
            w.fate(1);
            w.frame(HEADERS, WHOLE, 1, &b.get);
        },
        CLOSED,
    ),
    (
        "an even number",
        |w, b| {
            w.frame(HEADERS, WHOLE, 2, &b.get);
        },
        PROTOCOL,
    ),
    (
        "a number below the last",
        |w, b| {
            w.frame(HEADERS, WHOLE, 5, &b.get);
            w.fate(5);
            w.frame(HEADERS, WHOLE, 3, &b.get);
        },
        &["reset 5", "goaway 1", "goaway 5", "closed"],
    ),
    (
        "HEADERS of no stream",
        |w, b| {
            w.frame(HEADERS, WHOLE, 0, &b.get);
        },
        PROTOCOL,
    ),
    (
        "DATA of no stream",
        |w, _| {
            w.frame(DATA, ES, 0, b"x");
        },
        PROTOCOL,
    ),
    (
        "RST_STREAM of no stream",
        |w, _| {
            w.frame(RST_STREAM, 0, 0, &[0; 4]);
        },
        PROTOCOL,
    ),
    (
        "PRIORITY of no stream",
        |w, _| {
            w.frame(PRIORITY, 0, 0, &[0, 0, 0, 0, 1]);
        },
        PROTOCOL,
    ),
    (
        "CONTINUATION of no stream",
        |w, b| {
            let (x, y) = b.get.split_at(7);
            w.frame(HEADERS, ES, 1, x).frame(CONTINUATION, EH, 0, y);
        },
        PROTOCOL,
    ),
    (
        "RST_STREAM of a strange length",
        |w, b| {
            w.frame(HEADERS, EH, 1, &b.post).frame(RST_STREAM, 0, 1, &[0; 3]);
        },
        SIZE,
    ),
    (
        "PRIORITY of a strange length",
        |w, _| {
            w.frame(PRIORITY, 0, 1, &[0; 4]);
        },
        STREAM_SIZE,
    ),
    (
        "a stream that depends on itself: HEADERS",
        |w, b| {
            w.frame(HEADERS, WHOLE | PRIORITIZED, 1, &[&[0, 0, 0, 1, 15][..], &b.get].concat());
        },
        &["reset 1", "goaway 1", "closed", "200"],
    ),
    (
        "a stream that depends on itself: PRIORITY",
        |w, b| {
            w.frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 15]).frame(HEADERS, WHOLE, 1, &b.get);
        },
        &["reset 1", "goaway 1", "closed", "200"],
    ),
    (
        "padding longer than DATA",
        |w, b| {
            w.frame(HEADERS, EH, 1, &b.post).frame(DATA, ES | PADDED, 1, b"\x09abc");
        },
        PROTOCOL,
    ),
    (
        "padding longer than HEADERS",
        |w, b| {
            w.frame(HEADERS, WHOLE | PADDED, 1, &[&[255][..], &b.get[..20]].concat());
        },
        PROTOCOL,
    ),
    (
        "another frame inside a block: PING",
        |w, b| {
            w.frame(HEADERS, ES, 1, &b.get[..7]).frame(PING, 0, 0, &[0; 8]);
        },
        PROTOCOL,
    ),
    (
        "another frame inside a block: DATA",
        |w, b| {
            w.frame(HEADERS, 0, 1, &b.get[..7]).frame(DATA, ES, 1, b"x");
        },
        PROTOCOL,
    ),
    (
        "another frame inside a block: unknown",
        |w, b| {
            w.frame(HEADERS, ES, 1, &b.get[..7]).frame(0x99, 0, 0, b"x");
        },
        PROTOCOL,
    ),
    (
        "another stream inside a block",
        |w, b| {
            w.frame(HEADERS, ES, 1, &b.get[..7]).frame(HEADERS, WHOLE, 3, &b.get);
        },
        PROTOCOL,
    ),
    (
        "a CONTINUATION of another stream",
        |w, b| {
            w.frame(HEADERS, ES, 1, &b.get[..7]).frame(CONTINUATION, EH, 3, &b.get[7..]);
        },
        PROTOCOL,
    ),
    (
        "a CONTINUATION behind the end of a block",
        |w, b| {
            w.frame(HEADERS, EH, 1, &b.post).frame(CONTINUATION, EH, 1, &b.get);
        },
        PROTOCOL,
    ),
    (
        "a CONTINUATION behind DATA",
        |w, b| {
            w.frame(HEADERS, EH, 1, &b.post).frame(DATA, 0, 1, b"x").frame(CONTINUATION, EH, 1, &b.get);
        },
        PROTOCOL,
    ),
    (
        "more DATA than the window",
        |w, b| {
            w.frame(HEADERS, EH, 1, &b.instead(":path", "/public/stalled"));
            for _ in 0..80 {
                w.frame(DATA, 0, 1, &[0; 16_000]);
            }
        },
        &["reset 3", "goaway 3", "closed", "200", "silent", "405 method_not_allowed"],
    ),
];

/// Requests (section 8).
const REQUESTS: &[Case] = &[
    (
        "a name in capitals",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &b.with(&[("X-Test", "ok")]));
        },
        MALFORMED,
    ),
    (
        "an unknown pseudo-header",
        |w, b| {
            w.frame(
                HEADERS,
                WHOLE,
                1,
                &block(&[(":test", "ok")]).iter().chain(&b.get).copied().collect::<Vec<_>>(),
            );
        },
        MALFORMED,
    ),
    (
        "a pseudo-header of answers",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &[block(&[(":status", "200")]), b.get.clone()].concat());
        },
        MALFORMED,
    ),
    (
        "a pseudo-header in trailers",
        |w, b| {
            w.frame(HEADERS, EH, 1, &b.post).frame(DATA, 0, 1, b"x").frame(
                HEADERS,
                WHOLE,
                1,
                &block(&[(":method", "GET")]),
            );
        },
        MALFORMED_OR_DROPPED,
    ),
    (
        "an unknown pseudo-header in trailers",
        |w, b| {
            w.frame(HEADERS, EH, 1, &b.post).frame(DATA, 0, 1, b"x").frame(
                HEADERS,
                WHOLE,
                1,
                &block(&[(":x", "y")]),
            );
        },
        MALFORMED,
    ),
    (
        "a pseudo-header behind a field",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &[block(&[("x-test", "ok")]), b.get.clone()].concat());
        },
        MALFORMED,
    ),
    (
        "Connection",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &b.with(&[("connection", "keep-alive")]));
        },
        MALFORMED,
    ),
    (
        "Keep-Alive",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &b.with(&[("keep-alive", "5")]));
        },
        MALFORMED,
    ),
    (
        "Proxy-Connection",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &b.with(&[("proxy-connection", "x")]));
        },
        MALFORMED,
    ),
    (
        "Transfer-Encoding",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &b.with(&[("transfer-encoding", "chunked")]));
        },
        MALFORMED,
    ),
    (
        "Upgrade",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &b.with(&[("upgrade", "websocket")]));
        },
        MALFORMED,
    ),
    (
        "TE other than trailers",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &b.with(&[("te", "trailers, deflate")]));
        },
        MALFORMED,
    ),
    (
        "TE: gzip",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &b.with(&[("te", "gzip")]));
        },
        MALFORMED,
    ),
    (
        "TE: trailers",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &b.with(&[("te", "trailers")]));
        },
        OK,
    ),
    (
        "an empty path",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &b.instead(":path", ""));
        },
        MALFORMED,
    ),
    (
        "no method",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &b.without(":method"));
        },
        MALFORMED,
    ),
    (
        "no scheme",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &b.without(":scheme"));
        },
        MALFORMED,
    ),
    (
        "no path",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &b.without(":path"));
        },
        MALFORMED,
    ),
    (
        "two methods",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &[block(&[(":method", "GET")]), b.get.clone()].concat());
        },
        MALFORMED,
    ),
    (
        "two schemes",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &[block(&[(":scheme", "http")]), b.get.clone()].concat());
        },
        MALFORMED,
    ),
    (
        "two paths",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &[block(&[(":path", "/")]), b.get.clone()].concat());
        },
        MALFORMED,
    ),
    (
        "two authorities",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &[block(&[(":authority", "gw")]), b.get.clone()].concat());
        },
        MALFORMED,
    ),
    (
        "a strange scheme",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &b.instead(":scheme", "ftp"));
        },
        MALFORMED,
    ),
    (
        "a path of another method: *",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &b.instead(":path", "*"));
        },
        &["400", "reset 1", "404"],
    ),
    (
        "a path without a slash",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &b.instead(":path", "public/x"));
        },
        &["400", "reset 1", "404"],
    ),
    (
        "a method that is none",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &b.instead(":method", "G T"));
        },
        MALFORMED,
    ),
    (
        "content-length that is not the DATA's",
        |w, b| {
            w.frame(HEADERS, EH, 1, &[b.post.clone(), block(&[("content-length", "1")])].concat())
                .frame(DATA, ES, 1, b"test");
        },
        MALFORMED,
    ),
    (
        "content-length that is not the sum of several",
        |w, b| {
            w.frame(HEADERS, EH, 1, &[b.post.clone(), block(&[("content-length", "1")])].concat())
                .frame(DATA, 0, 1, b"te")
                .frame(DATA, ES, 1, b"st");
        },
        MALFORMED,
    ),
    (
        "content-length without DATA",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &b.with(&[("content-length", "7")]));
        },
        MALFORMED,
    ),
    (
        "trailers that do not end the stream",
        |w, b| {
            w.frame(HEADERS, EH, 1, &b.post).frame(DATA, 0, 1, b"x").frame(
                HEADERS,
                EH,
                1,
                &block(&[("x-sum", "1")]),
            );
        },
        MALFORMED,
    ),
    (
        "a name with a colon",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &b.with(&[("a:b", "x")]));
        },
        MALFORMED,
    ),
    (
        "a name with a space",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &b.with(&[("a b", "x")]));
        },
        MALFORMED,
    ),
    (
        "an empty name",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &b.with(&[("", "x")]));
        },
        MALFORMED,
    ),
    (
        "a name beyond ASCII",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &[b.get.clone(), raw_block(&[(b"x\xef", b"y")])].concat());
        },
        MALFORMED,
    ),
    (
        "NUL in a value",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &b.with(&[("x-a", "a\0b")]));
        },
        MALFORMED,
    ),
    (
        "CR LF in a value",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &b.with(&[("x-a", "a\r\nx-scopes: admin")]));
        },
        MALFORMED,
    ),
    (
        "LF in a value",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &b.with(&[("x-a", "a\nb")]));
        },
        MALFORMED,
    ),
    (
        "CR in a path",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &b.instead(":path", "/public/x\r\ny: z"));
        },
        MALFORMED,
    ),
    (
        "NUL in an authority",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &b.instead(":authority", "g\0w"));
        },
        MALFORMED,
    ),
];

/// Header compression (RFC 7541).
const HPACK: &[Case] = &[
    (
        "an index beyond the tables",
        |w, _| {
            w.frame(HEADERS, WHOLE, 1, &[0xff, 0x00]);
        },
        COMPRESSION,
    ),
    (
        "the index zero",
        |w, _| {
            w.frame(HEADERS, WHOLE, 1, &[0x80]);
        },
        COMPRESSION,
    ),
    (
        "a name's index beyond the tables",
        |w, _| {
            w.frame(HEADERS, WHOLE, 1, &[0x7f, 0x7f, 1, b'x']);
        },
        COMPRESSION,
    ),
    (
        "a table size beyond the setting",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &[&[0x3f, 0xe2, 0x1f][..], &b.get].concat());
        },
        COMPRESSION,
    ),
    (
        "a table size at the end of a block",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &[&b.get[..], &[0x20]].concat());
        },
        COMPRESSION,
    ),
    (
        "an integer without end",
        |w, _| {
            w.frame(HEADERS, WHOLE, 1, &[0x7f, 255, 255, 255, 255, 255, 255, 255, 255, 1]);
        },
        COMPRESSION,
    ),
    (
        "a string longer than the block",
        |w, _| {
            w.frame(HEADERS, WHOLE, 1, &[0x00, 0x05, b'a']);
        },
        COMPRESSION,
    ),
    (
        "Huffman with padding of more than 7 bits",
        |w, b| {
            w.frame(
                HEADERS,
                WHOLE,
                1,
                &[&b.get[..], &[0x00, 0x01, b'x', 0x82, 0x07, 0xff, 0xff]].concat()[..],
            );
        },
        &["goaway 9", "goaway 1", "closed", "reset 1"],
    ),
    (
        "Huffman with padding of zeros",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &[&b.get[..], &[0x00, 0x01, b'x', 0x81, 0x00]].concat());
        },
        &["goaway 9", "goaway 1", "closed"],
    ),
    (
        "Huffman with the end of string inside",
        |w, b| {
            w.frame(
                HEADERS,
                WHOLE,
                1,
                &[&b.get[..], &[0x00, 0x01, b'x', 0x84, 0xff, 0xff, 0xff, 0xff]].concat(),
            );
        },
        COMPRESSION,
    ),
    (
        "a table size of zero",
        |w, b| {
            w.frame(HEADERS, WHOLE, 1, &[&[0x20][..], &b.get].concat());
        },
        OK,
    ),
    (
        "indexed fields of the static table",
        |w, b| {
            let tail = b.without(":method");
            w.frame(HEADERS, WHOLE, 1, &[&[0x82][..], &tail].concat());
        },
        OK,
    ),
];

/// B86 to B88, B93: each rule of HTTP/2 that a peer can break, and what becomes of who breaks it.
#[test]
fn the_rules_of_http2_are_held() {
    let house = House::new();
    let owned = |fields: Vec<(&str, &str)>| {
        fields.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    let blocks = Blocks {
        get: block(&head(&house, "GET", "/public/x")),
        post: block(&head(&house, "POST", "/public/x")),
        fields: owned(head(&house, "GET", "/public/x")),
    };
    let mut wrong = Wrong::default();
    let (mut cases, mut best) = (0, 0);
    for (name, send, expected) in [GENERIC, CONNECTION, STREAMS, REQUESTS, HPACK].into_iter().flatten() {
        let mut wire = Wire::connect(house.program.gateway().0);
        wire.patience(Duration::from_secs(if expected.contains(&"silent") { 1 } else { 20 }));
        send(&mut wire, &blocks);
        let word = wire.fate(1).word();
        let fine = expected.iter().any(|one| word == *one || word.starts_with(&format!("{one} ")));
        cases += 1;
        best += usize::from(expected.first().is_some_and(|first| word.starts_with(first)));
        wrong.unless(fine, || format!("{name}: {word}, expected one of {expected:?}"));
    }
    // A preface that is none is HTTP/1, or nothing.
    let mut wire = Wire::silent(house.program.gateway().0);
    wire.bytes(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n").patience(Duration::from_secs(20));
    assert!(wire.ends());
    let mut wire = Wire::silent(house.program.gateway().0);
    wire.bytes(PREFACE).patience(Duration::from_secs(20)).half_close();
    assert!(wire.ends());
    eprintln!("{cases} cases of HTTP/2, {best} with the very error that the RFC names first");
    wrong.none("a rule of HTTP/2");
    assert_eq!(house.program.key(&house.key).get("/api/e").status, 200);
}
