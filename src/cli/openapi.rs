//! `latchgate openapi`: the admin API as a document.

use clap::Args;

use super::{error::Failure, output};
use crate::{control::api, domain::profile::Compat};

/// Print the OpenAPI 3.1 document of the admin API
#[derive(Debug, Args)]
#[command(after_help = "Example:
  latchgate openapi > openapi.json")]
pub(crate) struct OpenApi {}

impl OpenApi {
    #[expect(clippy::unused_self, reason = "as every command")]
    pub(crate) fn run(&self) -> Result<(), Failure> {
        // A tree of plain JSON values is always written.
        let mut text = format!("{:#}", api::document(&[Compat::Cortex]));
        text.push('\n');
        output::bytes(text.as_bytes())
    }
}
