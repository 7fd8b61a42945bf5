//! Requests of the gateway port that are the control plane's: answered by its router, on its runtime.

use std::sync::Arc;

use axum::{Router, response::Response};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use tokio::{runtime::Handle, sync::oneshot};

use super::places::Places;
use crate::{
    control::api::{AsSent, Bounds, Came},
    proxy::handover::{Answered, Handed, Handover},
    runtime::tasks::Tasks,
};

/// Requests under way at a time, beside those of the admin port. Pages have places of their own: whoever sends forms
/// slowly, which nobody is known for yet, takes none from the API.
const PLACES: usize = 256;
/// Nobody keeps all others out.
const OF_ONE_ADDRESS: usize = 128;

/// The control plane as the workers see it.
pub struct ControlPlane {
    router: Router,
    tasks: Tasks,
    runtime: Handle,
    places: Arc<Places>,
    page_places: Arc<Places>,
}

impl ControlPlane {
    /// Answers by this router, on the runtime of the caller; the work ends with these tasks.
    pub fn shared(router: Router, tasks: &Tasks) -> Arc<dyn Handover> {
        let places = || Places::new(PLACES, OF_ONE_ADDRESS);
        let (tasks, runtime) = (tasks.clone(), Handle::current());
        Arc::new(Self { router, tasks, runtime, places: places(), page_places: places() })
    }
}

impl Handover for ControlPlane {
    fn begin(&self, handed: Handed) -> Option<oneshot::Receiver<Answered>> {
        let places = if handed.is_page { &self.page_places } else { &self.places };
        let place = places.give(places.free_now()?, handed.client, false)?;
        let (answer, answered) = oneshot::channel();
        let router = TowerToHyperService::new(self.router.clone());
        let Handed { mut request, target, connection, limits, is_page: _, client: _ } = handed;
        request.extensions_mut().clear();
        request.extensions_mut().insert(Came(connection));
        request.extensions_mut().insert(AsSent(target));
        request.extensions_mut().insert(Bounds { bytes: limits.body_bytes, time: limits.request_timeout });
        self.tasks.spawn_on(&self.runtime, "handed-over request", async move {
            let response = match router.call(request).await {
                Ok(response) => whole(response).await,
                Err(never) => match never {},
            };
            // Nobody waits any more when the client has left.
            let _ = answer.send(response);
            drop(place);
        });
        Some(answered)
    }
}

/// Everything that the control plane answers is whole from the start; nothing streams.
async fn whole(response: Response) -> Answered {
    let (mut parts, body) = response.into_parts();
    let bytes: Bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let line = parts.extensions.remove();
    Answered { response: http::Response::from_parts(parts, bytes), line }
}
