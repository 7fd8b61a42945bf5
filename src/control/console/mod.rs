//! The gateway's own pages, below `/.latchgate/`: rendered here, readable without a script, loaded from nowhere else.

mod assets;
mod error;
mod form;
mod invitations;
mod oidc;
mod return_to;
mod second_step;
mod sessions;
mod visit;

use std::sync::Arc;

use axum::{
    Router,
    extract::Request,
    response::Response,
    routing::{MethodFilter, MethodRouter, on},
};

use self::assets::{Asset, MARK, STYLE};
pub(in crate::control) use self::{
    assets::Assets,
    error::{error_page, wants_page},
};
use super::api::{Answering, Node};

/// What answers a request for a page.
trait Handler<A>: Fn(Console, Request) -> A + Clone + Send + Sync + 'static {}

impl<A, F: Fn(Console, Request) -> A + Clone + Send + Sync + 'static> Handler<A> for F {}

/// What pages are served from.
#[derive(Clone)]
pub(in crate::control) struct Console {
    pub(in crate::control) node: Arc<dyn Node>,
    pub(in crate::control) assets: Arc<Assets>,
}

impl Console {
    /// The pages' routes.
    pub(in crate::control) fn routes(&self) -> Router {
        Router::new()
            .route(&self.assets.style, self.asset(STYLE))
            .route(&self.assets.mark, self.asset(MARK))
            .route(sessions::SIGN_IN, self.page(sessions::sign_in_page, sessions::sign_in))
            .route(sessions::SIGN_OUT, self.page(sessions::sign_out_page, sessions::sign_out))
            .route(oidc::START, self.on(MethodFilter::GET, oidc::start))
            .route(oidc::CALLBACK, self.on(MethodFilter::GET, oidc::callback))
            .route(invitations::ACCEPT, self.page(invitations::accept_page, invitations::accept))
    }

    fn asset(&self, asset: Asset) -> MethodRouter {
        self.on(MethodFilter::GET, move |console: Self, request: Request| async move {
            Answering::to(console.node, &request).asset(asset.kind, asset.text)
        })
    }

    /// A page with a form: how it is shown, and what becomes of it.
    fn page<S, T>(&self, show: impl Handler<S>, take: impl Handler<T>) -> MethodRouter
    where
        S: Future<Output = Response> + Send + 'static,
        T: Future<Output = Response> + Send + 'static,
    {
        self.on(MethodFilter::GET, show).merge(self.on(MethodFilter::POST, take))
    }

    fn on<A>(&self, filter: MethodFilter, answer: impl Handler<A>) -> MethodRouter
    where
        A: Future<Output = Response> + Send + 'static,
    {
        let console = self.clone();
        on(filter, move |request: Request| answer(console.clone(), request))
    }
}
