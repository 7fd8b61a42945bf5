//! The API and the pages under one roof, as a listener serves them.

use std::sync::Arc;

use axum::{
    Router,
    extract::Request,
    middleware::{Next, from_fn},
    response::Response,
    routing::{MethodFilter, on},
};
use http::StatusCode;

use super::{
    api::{self, Answering, ApiError, Misframed, Node},
    console::{Assets, Console, wants_page},
};

/// Everything that the control plane answers on this node. Each answer carries its
/// [`AccessRecord`](crate::telemetry::access_log::AccessRecord) in its extensions, for the listener to log.
pub fn router(node: Arc<dyn Node>) -> Router {
    let console = Console { node, assets: Arc::new(Assets::new()) };
    let documented = console.clone();
    let docs = move |request: Request| async move {
        let reference = api::reference(&documented.assets, &documented.node.control().profile().compat);
        Answering::to(documented.node, &request).page(StatusCode::OK, reference)
    };
    let (lost, refused, guard) = (console.clone(), console.clone(), console.clone());
    api::routes(&console.node)
        .route("/v1/docs", on(MethodFilter::GET, docs))
        .merge(console.routes())
        .method_not_allowed_fallback(move |request: Request| async move {
            refused.refuse(&request, &ApiError::MethodNotAllowed)
        })
        .fallback(move |request: Request| async move { lost.refuse(&request, &ApiError::NotFound) })
        .layer(from_fn(move |request: Request, next: Next| {
            let console = guard.clone();
            async move {
                if let Some(misframed) = request.extensions().get::<Misframed>().cloned() {
                    return console.refuse(&request, &ApiError::Misframed(misframed));
                }
                if !api::is_served(&console.node.control().profile().compat, request.uri().path()) {
                    return console.refuse(&request, &ApiError::NotFound);
                }
                next.run(request).await
            }
        }))
}

impl Console {
    /// What is no page and no operation is refused in the words of whoever asks: a page to a browser, else a problem.
    fn refuse(&self, request: &Request, error: &ApiError) -> Response {
        let answering = Answering::to(Arc::clone(&self.node), request);
        if wants_page(request.headers()) {
            answering.refusal_page(error, &self.assets)
        } else {
            answering.refusal(error)
        }
    }
}
