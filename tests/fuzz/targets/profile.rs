//! A profile file: right, or explained.

use latchgate::domain::profile::Profile;

pub(super) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Profile::parse(text, "my.toml") {
        Ok(profile) => {
            let token = profile.keys.shape.generate().expect("randomness");
            assert!(profile.keys.shape.parse(token.reveal()).is_ok(), "its own keys have its shape");
        }
        Err(errors) => assert!(errors.to_string().contains("my.toml"), "{errors}"),
    }
}
