//! A little server that does with a connection what the conversation does.

use http::{
    HeaderMap, Response, StatusCode,
    header::{CONTENT_LENGTH, TRAILER},
};
use http_body::Frame;
use http_body_util::{BodyExt as _, Empty, Full, combinators::UnsyncBoxBody};
use tokio::io::DuplexStream;

use super::*;
use crate::proxy::request::Request;

impl Stream for DuplexStream {}

type Body = UnsyncBoxBody<Bytes, Broken>;

/// What was asked, in order, with what was taken of the bodies.
#[derive(Default)]
pub(super) struct Server {
    pub(super) asked: RefCell<Vec<String>>,
}

impl Server {
    /// Serves a connection until it ends.
    pub(super) async fn serve(&self, stream: DuplexStream) -> io::Result<()> {
        let wire = Wire::new(Box::new(stream), Bytes::new());
        loop {
            let Head { request, reading, expects, terms } = match wire.head(BOUNDS).await? {
                Some(Ok(head)) => head,
                None => return wire.leave().await,
                Some(Err(_)) => {
                    wire.lose();
                    let refusal =
                        Response::builder().status(StatusCode::BAD_REQUEST).body(whole("no")).unwrap();
                    Self::say(&wire, refusal, Terms::default(), true).await?;
                    return wire.leave().await;
                }
            };
            let content = wire.begin(reading, expects);
            let mut response = self.answer(request, content).await;
            if response.extensions_mut().remove::<Gone>().is_some() {
                poll_fn(|context| wire.poll_gone(context)).await;
                self.asked.borrow_mut().push("gone".to_owned());
                return Ok(());
            }
            let closes = !wire.is_read();
            if !Self::say(&wire, response, terms, closes).await? {
                return wire.leave().await;
            }
            wire.skip();
        }
    }

    async fn say(wire: &Wire, response: Response<Body>, terms: Terms, closes: bool) -> io::Result<bool> {
        let response = crate::proxy::response::Response::from(response);
        let (text, framing, keeps) =
            answer::write(&response, b"", terms, closes, b"Sun, 06 Nov 1994 08:49:37 GMT");
        let mut sending = Sending::new(text, framing, response.body, false);
        wire.send(&mut sending).await.map_err(|_| io::Error::other("unsent"))?;
        drop(sending);
        wire.is_let_be().await;
        Ok(keeps)
    }

    async fn answer(&self, request: Request<()>, content: Content) -> Response<Body> {
        let note = |more: &str| {
            self.asked.borrow_mut().push(format!("{} {}{more}", request.method, request.target));
        };
        let mut response = Response::new(whole(""));
        let path = request.target.path();
        if let Some(status) = path.strip_prefix("/status/") {
            note("");
            *response.status_mut() = StatusCode::from_bytes(status.as_bytes()).unwrap();
            *response.body_mut() = whole("body");
            response.headers_mut().insert(CONTENT_LENGTH, 77.into());
            return response;
        }
        match path {
            "/early" => note(""),
            "/gone" => drop(response.extensions_mut().insert(Gone)),
            "/chunks" => {
                note("");
                response.headers_mut().insert(TRAILER, "x-t, content-length".parse().unwrap());
                let mut trailers = HeaderMap::new();
                trailers.insert("x-t", "1".parse().unwrap());
                trailers.insert("x-u", "2".parse().unwrap());
                let frames = [
                    Frame::data("ab".into()),
                    Frame::data("".into()),
                    Frame::data("c".into()),
                    Frame::trailers(trailers),
                ];
                *response.body_mut() = Queue(frames.into()).boxed_unsync();
            }
            "/close" => {
                note("");
                response.headers_mut().insert("connection", "x, Close".parse().unwrap());
            }
            _ => {
                let Ok(body) = content.collect().await else {
                    note(" broken");
                    *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
                    return response;
                };
                let body = body.to_bytes();
                note(&format!(" {}", String::from_utf8_lossy(&body)));
                *response.body_mut() = Full::new(body).map_err(|never| match never {}).boxed_unsync();
            }
        }
        response
    }
}

/// Nobody answers: the client is waited for to leave.
#[derive(Clone)]
struct Gone;

/// Frames that are there.
struct Queue(std::collections::VecDeque<Frame<Bytes>>);

impl http_body::Body for Queue {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }
}

fn whole(text: &'static str) -> Body {
    if text.is_empty() {
        return Empty::new().map_err(|never| match never {}).boxed_unsync();
    }
    Full::new(Bytes::from_static(text.as_bytes())).map_err(|never| match never {}).boxed_unsync()
}
