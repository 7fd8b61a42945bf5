//! The gateway's own pages, below `/.latchgate/`: rendered here, readable without a script, loaded from nowhere else.

mod assets;
mod error;

use std::sync::Arc;

use axum::{
    Router,
    extract::Request,
    routing::{MethodFilter, on},
};

use self::assets::{Asset, MARK, STYLE};
pub(in crate::control) use self::{
    assets::Assets,
    error::{error_page, wants_page},
};
use super::api::{Answering, Node};

/// What pages are served from.
#[derive(Clone)]
pub(in crate::control) struct Console {
    pub(in crate::control) node: Arc<dyn Node>,
    pub(in crate::control) assets: Arc<Assets>,
}

impl Console {
    /// The pages' routes.
    pub(in crate::control) fn routes(&self) -> Router {
        Router::new().merge(self.asset(&self.assets.style, STYLE)).merge(self.asset(&self.assets.mark, MARK))
    }

    fn asset(&self, path: &str, asset: Asset) -> Router {
        let node = Arc::clone(&self.node);
        Router::new().route(
            path,
            on(MethodFilter::GET, move |request: Request| async move {
                Answering::to(node, &request).asset(asset.kind, asset.text)
            }),
        )
    }
}
