//! The rules for keys: how they look, who makes them, what they may hold, how long they live.

use std::time::Duration;

use super::{
    permissions::{Permissions, control, select},
    read::Section,
    roles::{MemberRules, Roles},
};
use crate::domain::{
    boundary::BoundaryKind,
    key::token::{Alphabet, KeyShape, Part},
    permission::{Permission, PermissionSet},
    time::Timestamp,
};

/// To whom a key belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// To its user: it stops with the user's membership.
    User,
    /// To the organization: it survives the user (R003_03).
    Org,
}

/// What bounds a key's rights at the time of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    /// Its scopes, and never more than its issuer holds right now (R002_05).
    Issuer,
    /// Its scopes alone.
    Key,
}

/// What a request for a key without scopes, preset and roles means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingScopes {
    /// A mistake.
    Refuse,
    /// No bound of its own. With `Authority::Issuer` whatever the issuer holds at each request, with
    /// `Authority::Key` all of `grantable` that the issuer holds now.
    Authority,
}

/// Whose keys somebody may see and manage, inside their own boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Their own.
    Own,
    /// Everybody's.
    All,
}

/// Where in a request a key may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// `X-API-Key: <key>` (R000_15).
    ApiKeyHeader,
    /// `Authorization: Bearer <key>` (R002_08).
    Bearer,
    /// `Authorization: <key>` beside `x-xdr-auth-id: <public part>` (R001_11).
    Bare,
}

/// A number of days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Days(pub u32);

impl Days {
    /// As a length of time; a day is 24 hours.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0 as u64 * 24 * 60 * 60)
    }
}

/// When somebody wants a key to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WantedExpiry {
    /// They said nothing.
    Default,
    /// After so many days.
    In(Days),
    /// At this moment.
    At(Timestamp),
}

/// An expiry that the profile does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadExpiry {
    /// Outside the limits.
    #[error("a key lives {} to {} days", min.0, max.0)]
    Days {
        /// The shortest life.
        min: Days,
        /// The longest life.
        max: Days,
    },
    /// A moment that is over.
    #[error("the expiry lies in the past")]
    Past,
}

/// The rules for keys.
#[derive(Debug, Clone)]
pub struct KeyRules {
    /// How a key looks.
    pub shape: KeyShape,
    /// Where in a request it may stand.
    pub carriers: Vec<Carrier>,
    /// To whom it belongs.
    pub owner: Owner,
    /// What bounds its rights.
    pub authority: Authority,
    /// The boundaries it may have, widest first.
    pub boundaries: Vec<BoundaryKind>,
    /// Who may issue which boundary, widest first (R002_04).
    pub issue: Vec<IssueRule>,
    /// What keys may hold at all; everything its members imply is in it.
    pub grantable: PermissionSet,
    /// What a request for a key without scopes means.
    pub missing_scopes: MissingScopes,
    /// Whether a key may act with a lower role than its issuer's (`effective_role`, R002_17).
    pub role_override: bool,
    /// Holders of this right see and manage everybody's keys inside their boundary, others their own alone.
    pub manage_others: Permission,
    /// The life of a key whose request says nothing; none: without end.
    pub default_expiry: Option<Days>,
    /// The shortest life that may be asked for in days.
    pub min_expiry: Days,
    /// The longest life that may be asked for.
    pub max_expiry: Days,
    /// What the console offers (R002_06).
    pub expiry_choices: Vec<Days>,
    /// Working keys of one user at a time (R000_21); none: no bound.
    pub max_active_per_user: Option<u32>,
    /// Networks of one key (R000_22).
    pub max_networks: usize,
    /// How long a rotated key keeps working beside its successor (R000_18).
    pub rotation_grace: Duration,
}

/// Who may issue keys of one boundary. `api_key:create` is needed besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssueRule {
    /// The boundary.
    pub boundary: BoundaryKind,
    /// The roles; none: any role, custom ones and none at all included.
    pub roles: Option<Box<[Box<str>]>>,
}

impl KeyRules {
    /// Whether somebody in this role (none: without a shipped one) may issue keys of this boundary.
    pub fn may_issue(&self, boundary: BoundaryKind, role: Option<&str>) -> bool {
        self.issue.iter().filter(|rule| rule.boundary == boundary).any(|rule| match &rule.roles {
            None => true,
            Some(roles) => role.is_some_and(|role| roles.iter().any(|one| **one == *role)),
        })
    }

    /// Whose keys somebody with these rights sees and manages.
    pub const fn reach(&self, permissions: &PermissionSet) -> Reach {
        if permissions.contains(self.manage_others) { Reach::All } else { Reach::Own }
    }

    /// Whether a key may stand there.
    pub fn carried_by(&self, carrier: Carrier) -> bool {
        self.carriers.contains(&carrier)
    }

    /// When a key made now ends; none: never (R000_12, R002_06).
    pub fn expiry(&self, now: Timestamp, wanted: WantedExpiry) -> Result<Option<Timestamp>, BadExpiry> {
        let out_of_limits = BadExpiry::Days { min: self.min_expiry, max: self.max_expiry };
        match wanted {
            WantedExpiry::Default => Ok(self.default_expiry.map(|days| now.after(days.duration()))),
            WantedExpiry::In(days) if (self.min_expiry..=self.max_expiry).contains(&days) => {
                Ok(Some(now.after(days.duration())))
            }
            WantedExpiry::In(_) => Err(out_of_limits),
            WantedExpiry::At(end) if end <= now => Err(BadExpiry::Past),
            WantedExpiry::At(end) if end > now.after(self.max_expiry.duration()) => Err(out_of_limits),
            WantedExpiry::At(end) => Ok(Some(end)),
        }
    }

    /// Reads `[keys]`.
    pub(super) fn read(
        root: &mut Section<'_>,
        vocabulary: &Permissions,
        roles: Option<&Roles>,
        members: Option<&MemberRules>,
    ) -> Option<Self> {
        let mut section = root.section("keys", "[keys]")?;
        let carriers = section.words("carriers", CARRIERS, CARRIERS_EXAMPLE);
        let owner = section.word("owner", &[("user", Owner::User), ("org", Owner::Org)]);
        let authority = section.word("authority", &[("issuer", Authority::Issuer), ("key", Authority::Key)]);
        let words = [("refuse", MissingScopes::Refuse), ("authority", MissingScopes::Authority)];
        let missing_scopes = section.word("missing_scopes", &words);
        let role_override = section.flag("role_override");
        let max_active_per_user =
            section.optional_number("max_active_per_user", (1, 100_000), "max_active_per_user = 25");
        let max_networks = section.number("max_networks", (1, 1_000), "max_networks = 50");
        let grace = section.number("rotation_grace_hours", (0, 24 * 90), "rotation_grace_hours = 48");
        let others = "manage_others = \"member:update\"";
        let manage_others = section.text("manage_others", others).and_then(|name| {
            let found = vocabulary.get(&name);
            if found.is_none() {
                section.fault(
                    "manage_others",
                    format!("`{name}` is not a permission of this profile"),
                    others,
                );
            }
            found
        });
        let grantable = grantable(&mut section, vocabulary, roles, members);
        let shape = shape(&mut section);
        let expiry = Expiry::read(&mut section);
        let issue = issue(&mut section, roles);
        if carriers.is_empty() {
            section.fault("carriers", "without one no key could be sent", CARRIERS_EXAMPLE);
        }
        section.end();
        let expiry = expiry?;
        Some(Self {
            shape: shape?,
            carriers,
            owner: owner?,
            authority: authority?,
            boundaries: issue.iter().map(|rule| rule.boundary).collect(),
            issue,
            grantable,
            missing_scopes: missing_scopes?,
            role_override,
            manage_others: manage_others?,
            default_expiry: expiry.default,
            min_expiry: expiry.min,
            max_expiry: expiry.max,
            expiry_choices: expiry.choices,
            max_active_per_user,
            max_networks: usize::try_from(max_networks?).ok()?,
            rotation_grace: Duration::from_secs(u64::from(grace?) * 60 * 60),
        })
    }
}

/// What keys may hold: closed under implication, and wide enough for every role that a key may carry.
fn grantable(
    section: &mut Section<'_>,
    vocabulary: &Permissions,
    roles: Option<&Roles>,
    members: Option<&MemberRules>,
) -> PermissionSet {
    let example = "scopes = [\"scan:*\", \"report:read\"]";
    let list = section.list("scopes", example).unwrap_or_default();
    let fault = |problem| section.fault("scopes", problem, example);
    let set = select(vocabulary, vocabulary.all(), &list, fault);
    if set.is_empty() {
        fault("a key could not do anything".to_owned());
    }
    let implied = vocabulary.closure(set).difference(&set);
    if !implied.is_empty() {
        fault(format!("leaves out what its members imply: {}", vocabulary.names(implied).join(", ")));
    }
    let on_keys = roles.into_iter().flat_map(Roles::iter).filter(|role| role.on_keys);
    let on_keys = on_keys.map(|role| (&*role.name, role.permissions));
    let custom =
        members.filter(|members| members.custom_roles_on_keys).and_then(|members| members.custom_roles);
    let custom = custom.map(|set| ("custom roles", vocabulary.closure(set)));
    for (name, permissions) in on_keys.chain(custom) {
        let beyond = permissions.difference(&set);
        if !beyond.is_empty() {
            let beyond = vocabulary.names(beyond).join(", ");
            fault(format!("lacks {beyond}, but keys may carry `{name}`, which holds it"));
        }
    }
    set
}

fn shape(keys: &mut Section<'_>) -> Option<KeyShape> {
    let mut section = keys.section("shape", "[keys.shape]")?;
    let literal = section.text("literal", "literal = \"osk_\"");
    let public = part(&mut section, "public", "public = { length = 8, alphabet = \"base62\" }");
    let secret = part(&mut section, "secret", "secret = { length = 32, alphabet = \"base62\" }");
    let checksum = section.flag("checksum");
    let shape = KeyShape::new(&literal?, public?, secret?, checksum);
    if let Err(error) = &shape {
        let example = "shape = { literal = \"osk_\", public = { length = 8, alphabet = \"base62\" }, \
                       secret = { length = 32, alphabet = \"base62\" }, checksum = true }";
        keys.fault("shape", error.to_string(), example);
    }
    section.end();
    shape.ok()
}

fn part(shape: &mut Section<'_>, key: &'static str, example: &str) -> Option<Part> {
    let mut section = shape.section(key, example)?;
    let length = section.number("length", (1, 128), "length = 32");
    let alphabet = section.word("alphabet", ALPHABETS);
    section.end();
    Some(Part { length: usize::try_from(length?).ok()?, alphabet: alphabet? })
}

struct Expiry {
    default: Option<Days>,
    min: Days,
    max: Days,
    choices: Vec<Days>,
}

impl Expiry {
    fn read(keys: &mut Section<'_>) -> Option<Self> {
        let mut section = keys.section("expiry", "[keys.expiry]")?;
        let limits = (1, 36_500);
        let default = section.optional_number("default_days", limits, "default_days = 90");
        let min = section.number("min_days", limits, "min_days = 1");
        let max = section.number("max_days", limits, "max_days = 365");
        let choices = section.numbers("choices_days", limits, "choices_days = [30, 90, 180, 365]");
        if let (Some(min), Some(max)) = (min, max) {
            let outside = |days: &u32| !(min..=max).contains(days);
            if min > max {
                section.fault("max_days", "is less than min_days", "max_days = 365");
            } else if default.as_ref().is_some_and(outside) {
                section.fault("default_days", "lies outside min_days and max_days", "default_days = 90");
            } else if choices.iter().any(outside) {
                section.fault("choices_days", "has one outside min_days and max_days", "choices_days = [30]");
            }
        }
        section.end();
        let choices = choices.into_iter().map(Days).collect();
        Some(Self { default: default.map(Days), min: Days(min?), max: Days(max?), choices })
    }
}

fn issue(keys: &mut Section<'_>, roles: Option<&Roles>) -> Vec<IssueRule> {
    let Some(mut section) = keys.section("issue", ISSUE_EXAMPLE) else { return Vec::new() };
    let mut issue = Vec::new();
    for boundary in BoundaryKind::ALL {
        let key = boundary.as_str();
        let Some(list) = section.optional_list(key, ISSUE_EXAMPLE) else { continue };
        let anybody = list.iter().any(|name| name == "*");
        if anybody && list.len() > 1 {
            section.fault(key, "names roles beside `*`, which is any role", ISSUE_EXAMPLE);
        }
        for name in list.iter().filter(|name| *name != "*") {
            match roles.map(|roles| roles.get(name)) {
                Some(None) => section.fault(key, format!("`{name}` is not a role"), ISSUE_EXAMPLE),
                Some(Some(role)) if !role.permissions.contains(control::API_KEY_CREATE) => {
                    let problem = format!("`{name}` does not hold api_key:create");
                    section.fault(key, problem, ISSUE_EXAMPLE);
                }
                _ => {}
            }
        }
        let roles = (!anybody).then(|| list.into_iter().map(Into::into).collect());
        issue.push(IssueRule { boundary, roles });
    }
    if issue.is_empty() {
        keys.fault("issue", "nobody could issue a key", ISSUE_EXAMPLE);
    }
    section.end();
    issue
}

const CARRIERS: &[(&str, Carrier)] = &[
    ("x-api-key", Carrier::ApiKeyHeader),
    ("authorization-bearer", Carrier::Bearer),
    ("authorization-bare", Carrier::Bare),
];
const CARRIERS_EXAMPLE: &str = "carriers = [\"x-api-key\", \"authorization-bearer\"]";
const ALPHABETS: &[(&str, Alphabet)] = &[
    ("base62", Alphabet::Base62),
    ("base36", Alphabet::Base36),
    ("hex", Alphabet::Hex),
    ("digits", Alphabet::Digits),
];
const ISSUE_EXAMPLE: &str = "issue = { team = [\"admin\"] }";
