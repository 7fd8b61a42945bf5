//! Platforms that nobody foresaw: a profile is a file, and a file is all that a new platform needs.

mod hospital;
mod mistakes;

/// The hospital's profile, beside the tests.
const HOSPITAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/profile/hospital.toml");
