//! The rules of one platform as data: parsed once, checked, never branched on by name.
//!
//! A profile says how keys look and live, which rights exist, which roles hold them, which presets are offered
//! and who may invite whom. Nothing in the product asks which profile it runs: it asks the profile.

mod book;
mod invitations;
mod keys;
mod permissions;
mod presets;
mod read;
mod roles;

pub use book::{Known, RoleBook};
pub use invitations::Invitations;
pub use keys::{
    Authority, BadExpiry, Carrier, Days, IssueRule, KeyRules, MissingScopes, Owner, Reach, WantedExpiry,
};
pub use permissions::{MOST_PERMISSIONS, Permissions, UnknownPermission, control};
pub use presets::{Preset, Presets};
pub use read::{ProfileError, ProfileErrors};
pub use roles::{MemberRules, Roles};

use self::read::{Report, Section};
use super::{boundary::BoundaryKind, permission::PermissionSet};

/// The interface of an existing platform whose client programs must be able to call unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compat {
    /// `POST /public_api/v1/api_keys/generate` (R001_12).
    Cortex,
}

/// The rules of one platform.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Its name: for people and logs, never for a decision.
    pub name: Box<str>,
    /// What it models, for people.
    pub text: Box<str>,
    /// Which interfaces of the platform are imitated.
    pub compat: Vec<Compat>,
    /// Every right that exists.
    pub permissions: Permissions,
    /// The shipped roles.
    pub roles: Roles,
    /// What people may be given besides them.
    pub members: MemberRules,
    /// The rules for keys.
    pub keys: KeyRules,
    /// Ready-made lists of scopes.
    pub presets: Presets,
    /// Who may give which role.
    pub invitations: Invitations,
}

impl Profile {
    /// The profiles that come with the program, by name.
    pub const SHIPPED: [(&'static str, &'static str); 4] = [
        ("offload", include_str!("../../../config/profiles/offload.toml")),
        ("cortex", include_str!("../../../config/profiles/cortex.toml")),
        ("trustedoss", include_str!("../../../config/profiles/trustedoss.toml")),
        ("reducto", include_str!("../../../config/profiles/reducto.toml")),
    ];

    /// The text of a profile that comes with the program.
    pub fn shipped(name: &str) -> Option<&'static str> {
        Self::SHIPPED.iter().find(|(shipped, _)| *shipped == name).map(|(_, text)| *text)
    }

    /// Reads and checks a profile file; `origin` names it in the faults, all of which are told at once.
    pub fn parse(text: &str, origin: &str) -> Result<Self, ProfileErrors> {
        let report = Report::new(origin);
        if text.len() > LARGEST_FILE {
            report.fault("file", format!("is larger than {LARGEST_FILE} bytes"), "");
            return report.verdict(None);
        }
        let built = Section::root(text, &report).and_then(Self::read);
        report.verdict(built)
    }

    fn read(mut root: Section<'_>) -> Option<Self> {
        let name = roles::name(&mut root, "name = \"offload\"");
        let text = root.text("text", "text = \"Teams and additive roles\"");
        let compat = root.words("compat", &[("cortex", Compat::Cortex)], "compat = [\"cortex\"]");
        let permissions = root.section("permissions", "[permissions]").map(Permissions::read)?;
        let roles = Roles::read(&mut root, &permissions);
        let members = MemberRules::read(&mut root, &permissions);
        let keys = KeyRules::read(&mut root, &permissions, roles.as_ref(), members.as_ref());
        let presets = Presets::read(&mut root, &permissions, keys.as_ref());
        let invitations = Invitations::read(&mut root, roles.as_ref());
        root.end();
        Some(Self {
            name: name?.into(),
            text: text?.into(),
            compat,
            permissions,
            roles: roles?,
            members: members?,
            keys: keys?,
            presets,
            invitations,
        })
    }

    /// Whether organizations are divided into teams.
    pub fn has_teams(&self) -> bool {
        self.roles.any_in_teams() || self.keys.boundaries.iter().any(|kind| *kind > BoundaryKind::Org)
    }

    /// What every webhook may do: receive, where the platform has a word for that, and nothing else.
    pub fn received(&self) -> PermissionSet {
        let receive = self.permissions.get("webhook:receive");
        self.permissions.closure(receive.into_iter().collect())
    }

    /// Whether teams are divided into projects.
    pub fn has_projects(&self) -> bool {
        self.keys.boundaries.contains(&BoundaryKind::Project)
    }
}

/// Far more than any platform needs, far less than would hurt.
const LARGEST_FILE: usize = 256 * 1024;

#[cfg(test)]
mod tests;
