//! A request on its way out.
//!
//! The head is written once and kept: as long as nothing of a body has been asked for, the request can be sent again from
//! it. What frames the body is written here and nowhere else, from what is known of the body itself.

use std::{
    cell::RefCell,
    task::{Context, Poll},
};

use http::{
    Method,
    header::{CONTENT_LENGTH, HOST, TRAILER, TRANSFER_ENCODING},
    uri::Authority,
};
use http_body::Body as _;

use crate::{
    proxy::{
        body::Inbound,
        forward::RequestBody,
        request::Request,
        wire::{Framing, Sending, Unsendable, announced, field, length, room},
    },
    runtime::dial::Stream,
};

/// A request that is being sent.
pub(in crate::proxy) struct Outgoing {
    sending: Sending<RequestBody>,
    is_head: bool,
}

impl Outgoing {
    /// A request whose headers and target are the upstream's business alone; `lines` are further ones, `authority` is its
    /// host if it names none.
    pub(in crate::proxy) fn new(
        request: &mut Request<Inbound>,
        body: RequestBody,
        lines: Vec<u8>,
        authority: &Authority,
    ) -> Self {
        let Request { method, target, .. } = &*request;
        let fields = &request.fields;
        let framing = match body.size_hint().exact() {
            Some(length) => Framing::Length(length),
            None if fields.contains(&TRAILER) => Framing::Chunked(announced(fields)),
            None => Framing::Chunked(Vec::new()),
        };
        let mut text = room::text();
        text.extend_from_slice(method.as_str().as_bytes());
        text.push(b' ');
        text.extend_from_slice(target.path_and_query().map_or("/", |target| target.as_str()).as_bytes());
        text.extend_from_slice(b" HTTP/1.1\r\n");
        let (mut names_host, mut has_length) = (false, false);
        for (name, value) in fields.iter() {
            names_host |= name == HOST;
            if name == CONTENT_LENGTH || name == TRANSFER_ENCODING {
                has_length |= name == CONTENT_LENGTH;
                continue;
            }
            field(&mut text, name.as_str(), value.as_bytes());
        }
        text.extend_from_slice(&lines);
        room::keep_text(lines);
        if !names_host {
            field(&mut text, "host", authority.as_str().as_bytes());
        }
        match framing {
            Framing::Length(0) if !has_length => {}
            Framing::Length(exact) => length(&mut text, exact),
            Framing::Chunked(_) | Framing::Close => field(&mut text, "transfer-encoding", b"chunked"),
        }
        text.extend_from_slice(b"\r\n");
        let is_head = *method == Method::HEAD;
        room::keep_fields(std::mem::take(&mut request.fields));
        Self { sending: Sending::new(text, framing, body, true), is_head }
    }

    /// What is not sent yet, away from here.
    pub(super) fn take(&mut self) -> Sending<RequestBody> {
        std::mem::take(&mut self.sending)
    }

    pub(super) const fn is_head(&self) -> bool {
        self.is_head
    }

    /// Whether all of it is with the connection.
    pub(super) fn is_sent(&self) -> bool {
        self.sending.is_sent()
    }

    /// Whether no byte of it has left.
    pub(super) const fn is_unsent(&self) -> bool {
        self.sending.is_unsent()
    }

    /// Makes ready to send it once more, from the beginning; false: there is a body, which is gone.
    pub(in crate::proxy) fn again(&mut self) -> bool {
        let may = self.may_repeat();
        if may {
            self.sending.again();
        }
        may
    }

    /// Whether it has nothing that is gone when it was sent.
    pub(in crate::proxy) const fn may_repeat(&self) -> bool {
        self.sending.is_head_alone() && self.sending.body().is_none()
    }

    /// Hands it to the connection, as fast as that takes it.
    pub(super) fn poll(
        &mut self,
        stream: &RefCell<Stream>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Unsendable>> {
        self.sending.poll(stream, context)
    }
}
