//! Keys by their shape, and tokens of identity providers before anything is proved (SECURITY 127-138).

use std::sync::LazyLock;

use latchgate::domain::{jwt::Compact, key::token::KeyShape, profile::Profile};

static SHAPES: LazyLock<Vec<KeyShape>> = LazyLock::new(|| {
    let shape = |name| {
        let text = Profile::shipped(name).expect("a shipped profile");
        Profile::parse(text, name).expect("it is right").keys.shape
    };
    ["offload", "cortex", "trustedoss", "reducto"].map(shape).into()
});

pub(super) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for shape in &*SHAPES {
        if let Ok(presented) = shape.parse(text) {
            assert!(shape.claims(text), "a key begins as keys do");
            assert!(shape.accepts_public(presented.public) && text.contains(presented.public));
            let secret = text.rsplit('_').next().unwrap_or_default();
            assert!(!format!("{presented:?}").contains(secret), "the secret printed");
            assert!(shape.parse(&format!("{text}A")).is_err(), "one character more is another text");
            assert!(shape.parse(&text[..text.len() - 1]).is_err(), "one character less too");
        }
    }
    let claimed = Compact::claimed_issuer(text);
    if let Some(compact) = Compact::parse(text)
        && let Some(issuer) = compact.issuer()
    {
        assert_eq!(claimed.as_deref(), Some(issuer), "one token, one issuer");
    }
}
