//! Slugs in place of ids, in lists for people: who reads `viewer@01a1fe81-...` has to look it up.

use std::collections::HashMap;

use serde_json::Value;

use super::{
    error::Failure,
    output::{Format, List},
    plane::{Plane, text},
};
use crate::control::api::Question;

/// Lets a table show organizations and teams by their slugs; JSON keeps the ids.
pub(crate) async fn places(plane: &Plane, list: List) -> Result<List, Failure> {
    if list.format() == Format::Json {
        return Ok(list);
    }
    let mut names = HashMap::new();
    let mut take = |place: &Value| {
        names.insert(text(place, "id").to_owned(), text(place, "slug").to_owned());
    };
    match plane {
        Plane::Here { .. } => {
            plane
                .each(Question::get(&["orgs"]), |org| {
                    take(&org);
                    Ok(())
                })
                .await?;
        }
        Plane::There(_) => take(&plane.ask(Question::get(&["org"])).await?),
    }
    plane
        .each(Question::get(&["teams"]), |team| {
            take(&team);
            Ok(())
        })
        .await?;
    Ok(list.naming(names))
}
