//! What operators run the gateway with: units, images, alerts, dashboards. Each file is held against the program.

mod alerts;
mod container;
mod dashboard;
mod filter;
mod prometheus;
mod systemd;
mod traffic;

use std::{fs, path::PathBuf};

/// A file below `deploy/`.
fn shipped(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(shipped(name)).unwrap_or_else(|error| panic!("deploy/{name}: {error}"))
}
