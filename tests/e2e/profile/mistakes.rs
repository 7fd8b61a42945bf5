//! What is wrong with a profile is told before anything runs: where, what, and what would be right.

use crate::support::{program::Site, setup::Setup, wrong::Wrong};

/// Each mistake, by itself, in a profile that is right: the words that are replaced, what by, the key that is named,
/// a part of what is said, and the line that would be right.
#[rustfmt::skip]
const MISTAKES: [(&str, &str, &str, &str, &str); 27] = [
    ("name = \"hospital\"", "name = \"St. Mary\"", "name", "1 to 32 of a-z", "name = \"offload\""),
    ("name = \"hospital\"", "name = \"hospital\"\ncompat = [\"epic\"]", "compat", "`epic` is not one of cortex", "compat = [\"cortex\"]"),
    ("text = \"Wards", "txt = \"Wards", "text", "is missing", "text = \"Teams and additive roles\""),
    ("\"lab:read\" = \"See", "\"lab read\" = \"See", "permissions.\"lab read\"", "is not `noun:verb`", "\"scan:trigger\" = \"Start scans\""),
    ("implies = [\"chart:read\"]", "implies = [\"chart:raed\"]", "permissions.\"chart:write\".implies", "`chart:raed` is not a permission", "implies = [\"scan:read\"]"),
    ("\"chart:read\" = \"Read charts\"", "\"chart:read\" = { text = \"Read\", implies = [\"chart:write\"] }", "permissions.\"chart:read\".implies", "comes back to itself", "implies = [\"scan:read\"]"),
    ("level = \"team\"\nrank = 1\n", "level = \"ward\"\nrank = 1\n", "role.porter.level", "`ward` is not one of team, org", "level = \"team\""),
    ("rank = 9", "rank = 0", "role.director.rank", "whole number from 1 to 1000", "rank = 1"),
    ("extends = \"nurse\"", "extends = \"director\"", "role.physician.extends", "not a role of a lower rank", "extends = \"viewer\""),
    ("\"lab:order\", \"drug:prescribe\"", "\"lab:ordre\", \"drug:prescribe\"", "role.physician.permissions", "`lab:ordre` is not a permission", "permissions = ["),
    ("\"!org:create\"", "\"!org:*\", \"!chart:read\"", "role.director.permissions", "brings back", ""),
    ("visible_to = [\"director\"]", "visible_to = [\"dean\"]", "role.device.visible_to", "`dean` is not a role", "visible_to = [\"admin\"]"),
    ("role = \"optional\"", "role = \"maybe\"", "members.role", "`maybe` is not one of required, optional", "role = \"required\""),
    ("custom_roles = [\"chart:*\", \"lab:*\"]", "custom_roles = [\"drugs:*\"]", "members.custom_roles", "`drugs:*` is not a permission", "custom_roles = ["),
    ("by = [\"physician\"]", "by = [\"nurse\"]", "invitation[1].by", "`nurse` does not hold member:invite", "by = [\"admin\"]"),
    ("give = [\"porter\", \"nurse\"]", "give = [\"porter\", \"director\"]", "invitation[1].give", "`director` is more than `physician`", "give = [\"viewer\"]"),
    ("carriers = [\"authorization-bearer\"]", "carriers = [\"cookie\"]", "keys.carriers", "`cookie` is not one of x-api-key", "carriers = ["),
    ("owner = \"org\"", "owner = \"ward\"", "keys.owner", "`ward` is not one of user, org", "owner = \"user\""),
    ("authority = \"key\"", "", "keys.authority", "is missing", "authority = \"issuer\""),
    ("manage_others = \"member:update\"", "manage_others = \"ward:run\"", "keys.manage_others", "`ward:run` is not a permission", "manage_others = \"member:update\""),
    ("\"drug:read\", \"api_key:*\"]", "\"drug:prescribe\", \"api_key:*\"]", "keys.scopes", "leaves out what its members imply: drug:read", "scopes = ["),
    ("literal = \"ward_\"", "literal = \"Ward-\"", "keys.shape", "a-z and 0-9 ending in `_`", "literal = \"osk_\""),
    ("length = 40, alphabet = \"hex\"", "length = 20, alphabet = \"hex\"", "keys.shape", "128 bits", "secret = { length = 32"),
    ("length = 10, alphabet = \"hex\"", "length = 10, alphabet = \"base64\"", "keys.shape.public.alphabet", "`base64` is not one of base62, base36, hex, digits", "alphabet = \"base62\""),
    ("default_days = 7", "default_days = 365", "keys.expiry.default_days", "outside min_days and max_days", "default_days = 90"),
    ("team = [\"director\", \"physician\"]", "team = [\"nurse\"]", "keys.issue.team", "`nurse` does not hold api_key:create", "issue = {"),
    ("scopes = [\"chart:read\", \"chart:write\"]", "scopes = [\"drug:prescribe\"]", "preset.monitor.scopes", "does not allow: drug:prescribe", "scopes = ["),
];

/// `check` and `serve` refuse a profile with a mistake: exit 2, the file, the key, what is wrong and what would be
/// right; the profile without the mistake is taken.
#[test]
fn each_mistake_in_a_profile_is_explained() {
    let right = std::fs::read_to_string(super::HOSPITAL).expect("the profile");
    let site = Site::new(Setup::bare("offload"));
    let file = site.path("mine.toml");
    site.configure(&site.setup.clone().set("profile", "mine.toml"));
    let check = |text: &str| {
        std::fs::write(&file, text).expect("write the profile");
        site.plain(&["check"], "")
    };
    check(&right).ok();
    let mut wrong = Wrong::default();
    for (old, new, key, problem, example) in MISTAKES {
        assert_eq!(right.matches(old).count(), 1, "`{old}` is there once");
        let refused = check(&right.replace(old, new));
        let line = format!("{}: {key}: ", file.display());
        let told =
            refused.stderr.lines().skip_while(|told| !told.contains(&line)).take(3).collect::<String>();
        let fine = refused.code == 2
            && refused.stdout.is_empty()
            && told.contains(problem)
            && (example.is_empty() || told.contains(example));
        wrong.unless(fine, || format!("{old} -> {new}: exit {}\n{}", refused.code, refused.stderr));
    }
    wrong.none("a profile");
    check(&right.replace("owner = \"org\"", "owner = 1"));
    assert_eq!(site.plain(&["serve"], "").code, 2, "and it does not run");
}

/// A profile that is not there, is no TOML, or names a key twice is refused by its file and line.
#[test]
fn what_is_no_profile_is_refused() {
    let site = Site::new(Setup::bare("offload"));
    let file = site.path("mine.toml");
    site.configure(&site.setup.clone().set("profile", "mine.toml"));
    let refused = site.plain(&["check"], "");
    assert!(refused.code == 2 && refused.stderr.contains("mine.toml"), "{refused:?}");
    for (text, said) in [
        ("name = ", "line 1"),
        ("name = \"a\"\nname = \"b\"\n", "line 2"),
        ("", "is missing"),
        ("\0", "line 1"),
    ] {
        std::fs::write(&file, text).expect("write");
        let refused = site.plain(&["check"], "");
        assert!(refused.code == 2 && refused.stderr.contains("mine.toml"), "{text:?}: {refused:?}");
        assert!(refused.stderr.contains(said), "{text:?}: {refused:?}");
    }
    std::fs::write(&file, b"\xff\xfe").expect("write");
    assert_eq!(site.plain(&["check"], "").code, 2);
}
