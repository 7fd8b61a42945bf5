//! The head of an answer to a client of HTTP/1, and how its body is framed (RFC 9112 section 6).

use http::{
    HeaderValue, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, DATE, TRAILER, TRANSFER_ENCODING},
};
use http_body::Body;
use hyper::ext::ReasonPhrase;

use super::{
    super::response::Response,
    Framing, Terms, room,
    sending::{announced, field, has_option, length},
};

/// A date as HTTP writes it (RFC 9110 section 5.6.7).
pub type HttpDate = [u8; 29];

/// Writes the head of an answer: as text, how its body is to be framed, and whether another request may follow it. `lines` are
/// whole fields that belong to it. `closes`: none may, whatever the client means.
pub fn write<B: Body>(
    response: &Response<B>,
    lines: &[u8],
    terms: Terms,
    closes: bool,
    date: &HttpDate,
) -> (Vec<u8>, Framing, bool) {
    let (status, fields) = (response.status, &response.fields);
    let mut text = room::text();
    status_line(&mut text, response, terms);
    let (mut is_dated, mut says_close, mut says_anything) = (false, false, false);
    for (name, value) in fields.iter() {
        match *name {
            // Framing is told from what is known of the body itself.
            CONTENT_LENGTH | TRANSFER_ENCODING => continue,
            CONNECTION => {
                says_anything = true;
                says_close |= has_option(value, "close");
            }
            DATE => is_dated = true,
            TRAILER if terms.is_old() => continue,
            _ => {}
        }
        field(&mut text, name.as_str(), value.as_bytes());
    }
    text.extend_from_slice(lines);
    let framing = framing(&mut text, response, terms);
    if !is_dated {
        field(&mut text, "date", date);
    }
    let keeps = terms.keeps && !closes && !says_close && !matches!(framing, Framing::Close);
    if !keeps && !says_close && !terms.is_old() && status != StatusCode::SWITCHING_PROTOCOLS {
        field(&mut text, "connection", b"close");
    } else if keeps && terms.is_old() && !says_anything {
        field(&mut text, "connection", b"keep-alive");
    }
    text.extend_from_slice(b"\r\n");
    (text, framing, keeps)
}

fn status_line<B>(text: &mut Vec<u8>, response: &Response<B>, terms: Terms) {
    let (status, reason) = (response.status, &response.reason);
    if status == StatusCode::OK && reason.is_none() && !terms.is_old() {
        text.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    text.extend_from_slice(if terms.is_old() { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    text.extend_from_slice(status.as_str().as_bytes());
    text.push(b' ');
    let usual = status.canonical_reason().unwrap_or("<none>");
    text.extend_from_slice(reason.as_ref().map_or(usual.as_bytes(), ReasonPhrase::as_bytes));
    text.extend_from_slice(b"\r\n");
}

/// Says how long the body is, or that it is in chunks, as far as there is one.
fn framing<B: Body>(text: &mut Vec<u8>, response: &Response<B>, terms: Terms) -> Framing {
    let (status, fields) = (response.status, &response.fields);
    let said = fields.get(&CONTENT_LENGTH).map(HeaderValue::as_bytes);
    let never = status.is_informational() || status == StatusCode::NO_CONTENT;
    if never {
        return Framing::Length(0);
    }
    // It says how long the body would be.
    if terms.to_head || status == StatusCode::NOT_MODIFIED {
        if let Some(said) = said {
            field(text, "content-length", said);
        }
        return Framing::Length(0);
    }
    match response.body.size_hint().exact() {
        Some(exact) => {
            length(text, exact);
            Framing::Length(exact)
        }
        None if terms.is_old() => Framing::Close,
        None => {
            field(text, "transfer-encoding", b"chunked");
            let takes = terms.trailers && fields.contains(&TRAILER);
            Framing::Chunked(if takes { announced(fields) } else { Vec::new() })
        }
    }
}
