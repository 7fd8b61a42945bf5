//! A request on its way to being carried out: its head, and a body that is read when somebody needs it, once.

use axum::{body::Body, extract::Request};
use http::{Uri, request};
use http_body::Body as _;

use super::{
    BODY_TIME, LONGEST_BODY,
    caller::{Head, Node, Presented},
    error::{ApiError, Unproved},
    whole,
};
use crate::runtime::client_ip::{Client, Connection};

/// The target of a request as its client sent it, where another has been put into its place on the way here; the
/// listener puts this into the request's extensions. What is signed is this.
#[derive(Debug, Clone)]
pub struct AsSent(pub Uri);

/// A request.
pub(super) struct Asked {
    /// How it came.
    pub(super) connection: Connection,
    pub(super) parts: request::Parts,
    body: Option<Body>,
    read: Vec<u8>,
}

impl Asked {
    pub(super) fn new(connection: Connection, request: Request) -> Self {
        let (parts, body) = request.into_parts();
        Self { connection, parts, body: Some(body), read: Vec::new() }
    }

    /// The credential, taken out of it.
    pub(super) fn credential(
        &mut self,
        node: &dyn Node,
        client: &Client,
    ) -> Result<Option<Presented>, Unproved> {
        let sent = self.parts.extensions.get::<AsSent>();
        let target = sent.map_or_else(|| self.parts.uri.clone(), |sent| sent.0.clone());
        let has_body = self.body.as_ref().is_some_and(|body| !body.is_end_stream());
        let request::Parts { method, headers, .. } = &mut self.parts;
        let tls = self.connection.tls;
        node.credential(&mut Head { method, target: &target, headers, client, tls, has_body })
    }

    /// All of its body.
    pub(super) async fn bytes(&mut self) -> Result<&[u8], ApiError> {
        if let Some(body) = self.body.take() {
            self.read = whole(&self.parts, body, LONGEST_BODY, BODY_TIME).await?;
        }
        Ok(&self.read)
    }
}
