//! A refusal as a page.

use askama::Template;
use http::{HeaderMap, StatusCode, header::ACCEPT};
use serde_json::Value;

use super::Assets;

/// Whether whoever asks reads pages: a browser that goes to a place says so first of all.
pub(in crate::control) fn wants_page(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT).iter().any(|line| {
        line.to_str().is_ok_and(|line| {
            line.split(',').any(|range| {
                let kind = range.split(';').next().unwrap_or_default();
                kind.trim().eq_ignore_ascii_case("text/html")
            })
        })
    })
}

/// The page for this problem, which is as the API would answer it.
pub(in crate::control) fn error_page(assets: &Assets, status: StatusCode, problem: &Value) -> String {
    let text = |name: &str| problem[name].as_str().unwrap_or_default();
    let page = Page {
        assets,
        status: status.as_u16(),
        title: text("title"),
        detail: text("detail"),
        code: text("code"),
        request_id: text("request_id"),
    };
    page.render().unwrap_or_default()
}

#[derive(Template)]
#[template(path = "error.html", config = "src/control/console/templates/askama.toml")]
struct Page<'a> {
    assets: &'a Assets,
    status: u16,
    title: &'a str,
    detail: &'a str,
    code: &'a str,
    request_id: &'a str,
}
