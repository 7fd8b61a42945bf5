//! Lists page through everything: the limit of a page is for callers over the network.

use serde::Serialize;

use super::{error::Failure, output::List};
use crate::control::service::{Page, PageOf, ServiceError};

/// As much as a page may hold.
const LIMIT: u32 = 200;

/// Fetches page after page into the list.
pub(crate) async fn all<T: Serialize>(
    list: &mut List,
    fetch: impl AsyncFn(&Page) -> Result<PageOf<T>, ServiceError>,
) -> Result<(), Failure> {
    each(fetch, |item| list.push(&item)).await
}

/// Hands every item over as it comes.
pub(crate) async fn each<T>(
    fetch: impl AsyncFn(&Page) -> Result<PageOf<T>, ServiceError>,
    mut take: impl FnMut(T) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut page = Page { limit: Some(LIMIT), cursor: None };
    loop {
        let part = fetch(&page).await?;
        part.items.into_iter().try_for_each(&mut take)?;
        page.cursor = part.next_cursor;
        if page.cursor.is_none() {
            return Ok(());
        }
    }
}
