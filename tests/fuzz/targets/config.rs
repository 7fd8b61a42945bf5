//! A configuration file: right, or explained.

use std::path::Path;

use latchgate::config::{Config, Environment};

pub(super) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let origin = Path::new("/nowhere/latchgate.toml");
    if let Err(errors) = Config::from_toml(text, origin, &Environment::empty()) {
        assert!(errors.to_string().contains("latchgate.toml"), "{errors}");
    }
}
