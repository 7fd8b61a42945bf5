//! Slugs in place of ids, in lists for people: who reads `viewer@01a1fe81-...` has to look it up.

use std::collections::HashMap;

use super::{
    error::Failure,
    output::{Format, List},
    page,
};
use crate::control::service::{Caller, Control, Page};

/// The slug of each id.
pub(crate) type Names = HashMap<String, String>;

/// Lets a table show organizations and teams by their slugs; JSON keeps the ids.
pub(crate) async fn places(control: &Control, list: List) -> Result<List, Failure> {
    if list.format() == Format::Json {
        return Ok(list);
    }
    let mut names = Names::new();
    let orgs = async |page: &Page| control.list_orgs(&Caller::Operator, page).await;
    page::each(orgs, |org| {
        names.insert(org.id.to_string(), org.slug);
        Ok(())
    })
    .await?;
    let teams = async |page: &Page| control.list_teams(&Caller::Operator, None, page).await;
    page::each(teams, |team| {
        names.insert(team.id.to_string(), team.slug);
        Ok(())
    })
    .await?;
    Ok(list.naming(names))
}
