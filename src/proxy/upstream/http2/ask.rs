//! A request on a stream of an upstream's connection, and its answer.

use std::{
    future::{Future as _, poll_fn},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use h2::client::SendRequest;
use http::{
    HeaderMap, HeaderValue, Method, Uri, Version,
    header::{CONTENT_LENGTH, HOST, TE},
    uri::{Authority, Scheme},
};
use http_body::{Body, Frame, SizeHint};
use tokio::{
    sync::oneshot,
    task::{AbortHandle, spawn_local},
    time::sleep,
};

use crate::proxy::{
    fields::Fields,
    forward::RequestBody,
    request::Request,
    response::Response,
    stream::{Pipe, Received, is_of_a_connection},
    upstream::{BEHIND_THE_ANSWER, member::Member, pool::Connection},
};

/// Sends a request and its body, and completes with the head of the answer.
pub(in crate::proxy::upstream) async fn ask(
    mut sender: SendRequest<Bytes>,
    request: Request<RequestBody>,
) -> Result<Response<Incoming>, h2::Error> {
    let Request { method, target, version, fields, body, .. } = request;
    let is_whole = body.is_end_stream();
    let length = body.size_hint().exact().filter(|&length| length > 0 || expects_a_body(&method));
    let mut head = http::Request::new(());
    *head.headers_mut() = headers_of(fields, length);
    (*head.method_mut(), *head.uri_mut(), *head.version_mut()) = (method, target, version);
    let (mut answer, stream) = sender.send_request(head, is_whole)?;
    let mut upload = (!is_whole).then(|| Pipe::new(body, stream, Rc::default()));
    let answer = poll_fn(|context| {
        // One that breaks off resets the stream, of which the answer tells.
        if upload.as_mut().is_some_and(|upload| upload.poll(context).is_ready()) {
            upload = None;
        }
        Pin::new(&mut answer).poll(context)
    });
    let (parts, stream) = answer.await?.into_parts();
    let fields = Fields::from(parts.headers);
    // Whoever takes the answer may be slow, and is not to hold up what the other side waits for.
    let upload = upload.map(Upload::go_on);
    let body = Incoming { received: Received::new(stream, &fields), upload };
    Ok(Response { status: parts.status, reason: None, fields, body })
}

/// An answer as it comes.
pub(in crate::proxy) struct Incoming {
    received: Received,
    upload: Option<Upload>,
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        Pin::new(&mut self.get_mut().received).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.received.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.received.size_hint()
    }
}

/// Nobody waits for the rest of an answer: nothing more of its request is sent either.
impl Drop for Incoming {
    fn drop(&mut self) {
        if let Some(upload) = self.upload.take() {
            upload.task.abort();
        }
    }
}

impl Incoming {
    /// The answer is over, and what is still sent of its request has [a moment](BEHIND_THE_ANSWER) to come to its end. `held`
    /// is given back then: as long as the upload goes on, it has a place on its connection.
    pub(in crate::proxy::upstream) fn release(&mut self, held: Connection) {
        if let Some(upload) = self.upload.take() {
            // One that is over takes nothing.
            let _ = upload.answered.send(held);
        }
    }
}

/// What is still sent of a request's body while its answer comes.
struct Upload {
    task: AbortHandle,
    answered: oneshot::Sender<Connection>,
}

impl Upload {
    fn go_on(mut pipe: Pipe<RequestBody>) -> Self {
        let (answered, is_answered) = oneshot::channel();
        let task = spawn_local(async move {
            let is_over = async {
                let _held = is_answered.await;
                sleep(BEHIND_THE_ANSWER).await;
            };
            tokio::select! {
                _ = poll_fn(|context| pipe.poll(context)) => {}
                () = is_over => {}
            }
        });
        Self { task: task.abort_handle(), answered }
    }
}

/// The fields of a request, with the length of its body where that is known.
fn headers_of(fields: Fields, length: Option<u64>) -> HeaderMap {
    let mut map = HeaderMap::try_with_capacity(fields.len() + 1).unwrap_or_default();
    let mut is_measured = length.is_none();
    for (name, value) in fields {
        match name {
            // The one word that is left of it (RFC 9113 section 8.2.2).
            TE if value != "trailers" => continue,
            CONTENT_LENGTH => is_measured = true,
            _ => {}
        }
        map.append(name, value);
    }
    if let Some(length) = length.filter(|_| !is_measured) {
        map.append(CONTENT_LENGTH, length.into());
    }
    map
}

/// Whether a request that says nothing of a body would be asked where it is (RFC 9110 section 8.6).
fn expects_a_body(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::DELETE | Method::CONNECT)
}

/// Gives a request the form that HTTP/2 has for it (RFC 9113 section 8.2.2 and 8.3.1): what HTTP/1.1 says about the
/// connection is gone, and the host is part of the target.
pub(in crate::proxy::upstream) fn translate(request: &mut Request<RequestBody>, member: &Member) {
    let mut host = None;
    request.fields.retain(|name, value| {
        if *name == HOST {
            host.get_or_insert_with(|| std::mem::replace(value, HeaderValue::from_static("")));
            return false;
        }
        !is_of_a_connection(name)
    });
    request.version = Version::HTTP_2;
    // One that is sent again has its authority already.
    if request.target.authority().is_some() {
        return;
    }
    let host = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let mut parts = std::mem::take(&mut request.target).into_parts();
    parts.scheme = Some(if member.is_secure() { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority = Some(host.unwrap_or_else(|| member.authority().clone()));
    // All of its parts are there, which is all that can be wrong.
    request.target = Uri::from_parts(parts).unwrap_or_default();
}

/// Whether the other side says that it has not looked at the request (RFC 9113 section 8.7).
pub(in crate::proxy::upstream) fn is_unprocessed(error: &h2::Error) -> bool {
    let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    error.is_remote() && (refused || error.is_go_away())
}
