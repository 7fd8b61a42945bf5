//! The credential in a head: found or not, it does not stay there for the backend, and it never prints (SECURITY 26,
//! 121-137).

use std::{path::Path, sync::LazyLock};

use latchgate::{
    config::{Config, Environment},
    proxy::{
        credential::{X_API_KEY, discard, take},
        directory::Rules,
        fields::Fields,
    },
};

/// For each shipped profile, since each has carriers of its own.
static RULES: LazyLock<Vec<Rules>> = LazyLock::new(|| {
    let rules = |profile| {
        let text = format!(
            "profile = \"{profile}\"\n[[upstream]]\nname = \"a\"\ntargets = [\"http://127.0.0.1:9\"]\n\
             [[route]]\nname = \"a\"\npath = \"/{{*rest}}\"\nupstream = \"a\"\n"
        );
        let loaded = Config::from_toml(&text, Path::new("/nowhere/latchgate.toml"), &Environment::empty());
        Rules::new(&loaded.expect("a configuration").config, 1)
    };
    ["offload", "cortex", "trustedoss", "reducto"].map(rules).into()
});

pub(super) fn run(data: &[u8]) {
    for rules in &*RULES {
        let sent = Fields::from(super::fields(data));
        let mut left = sent.clone();
        match take(&mut left, rules, false) {
            Ok(Some(credential)) => {
                let text = credential.text();
                assert!(text.trim() == text, "white space around it is no part of it");
                // No credential is as short as the words around it.
                assert!(text.len() < 20 || !format!("{credential:?}").contains(text), "it printed");
                let mut again = left.clone();
                let next = take(&mut again, rules, false).ok().flatten();
                // What stays beside it is not ours: nobody is let in by it.
                assert!(next.is_none_or(|next| next.text() != text || text.is_empty()), "it was left behind");
                let mut kept = sent.clone();
                let looked = take(&mut kept, rules, true).ok().flatten().expect("the same");
                assert_eq!((looked.text(), kept == sent), (text, true), "looking changes nothing");
            }
            Ok(None) => {}
            Err(_) => assert!(sent.len() > 1, "a conflict takes two"),
        }
        let mut left = sent.clone();
        discard(&mut left, rules);
        let literal = rules.profile.keys.shape.literal();
        let key = left.get(&X_API_KEY).map(|value| value.as_bytes().trim_ascii());
        assert!(key.is_none_or(|key| !key.starts_with(literal.as_bytes())), "a key passed a public route");
    }
}
