//! The roles of a platform, and what people may be given besides them.

use super::{
    permissions::{Permissions, select},
    read::Section,
};
use crate::domain::{
    permission::PermissionSet,
    role::{Level, Role},
};

/// The roles that a profile ships, lowest first.
#[derive(Debug, Clone)]
pub struct Roles(Vec<Role>);

impl Roles {
    /// The role of this exact name.
    pub fn get(&self, name: &str) -> Option<&Role> {
        self.0.iter().find(|role| *role.name == *name)
    }

    /// All of them, lowest first; of the same rank in the order of the file.
    pub fn iter(&self) -> std::slice::Iter<'_, Role> {
        self.0.iter()
    }

    /// The role that a new organization's first administrator gets; of several of the highest rank the first.
    pub fn highest(&self) -> &Role {
        // `read` refuses a profile without roles, so the slice is never empty.
        let top = self.0.iter().map(|role| role.rank).max();
        let found = self.0.iter().position(|role| Some(role.rank) == top);
        &self.0[found.unwrap_or(0)]
    }

    /// Those of the highest rank: more than one may stand there beside each other.
    pub fn of_highest_rank(&self) -> impl Iterator<Item = &Role> {
        let top = self.highest().rank;
        self.0.iter().filter(move |role| role.rank == top)
    }

    /// Whether some role is held in a team.
    pub fn any_in_teams(&self) -> bool {
        self.0.iter().any(|role| role.level == Level::Team)
    }

    /// Reads every `[[role]]`. None: a fault was reported that leaves nothing to go on with.
    pub(super) fn read(root: &mut Section<'_>, vocabulary: &Permissions) -> Option<Self> {
        let drafts: Vec<_> = root
            .sections("role", "[[role]]")
            .into_iter()
            .filter_map(|s| Draft::read(s, vocabulary))
            .collect();
        let report = root.report;
        if drafts.is_empty() {
            report.fault("role", "there is no role, so nobody could administer anything", "[[role]]");
            return None;
        }
        let mut roles: Vec<Role> = Vec::with_capacity(drafts.len());
        let mut drafts: Vec<_> = drafts.into_iter().enumerate().collect();
        // From the lowest up: what a role extends is complete when it is reached.
        drafts.sort_by_key(|(at, draft)| (draft.role.rank, *at));
        for (at, Draft { mut role, extends, excluded }) in drafts {
            if roles.iter().any(|other| other.name == role.name) {
                report.fault(format!("role[{at}].name"), format!("`{}` is there twice", role.name), "");
                continue;
            }
            if let Some(base) = extends {
                let found = roles.iter().find(|other| *other.name == *base && other.rank < role.rank);
                if let Some(base) = found {
                    role.permissions = role.permissions.union(&base.permissions);
                } else {
                    let problem = format!("`{base}` is not a role of a lower rank");
                    report.fault(format!("role.{}.extends", role.name), problem, "extends = \"viewer\"");
                }
            }
            role.permissions = vocabulary.closure(role.permissions);
            let returned = role.permissions.intersection(&excluded);
            if !returned.is_empty() {
                let names = vocabulary.names(returned).join(", ");
                let problem = format!("takes away {names}, which the rest of the role brings back");
                report.fault(format!("role.{}.permissions", role.name), problem, "");
            }
            roles.push(role);
        }
        let roles = Self(roles);
        for role in &roles {
            let key = format!("role.{}.visible_to", role.name);
            for name in role.visible_to.iter().flatten().filter(|name| roles.get(name).is_none()) {
                report.fault(&*key, format!("`{name}` is not a role"), "visible_to = [\"admin\"]");
            }
        }
        Some(roles)
    }
}

impl<'a> IntoIterator for &'a Roles {
    type Item = &'a Role;
    type IntoIter = std::slice::Iter<'a, Role>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

struct Draft {
    role: Role,
    extends: Option<String>,
    excluded: PermissionSet,
}

impl Draft {
    fn read(mut section: Section<'_>, vocabulary: &Permissions) -> Option<Self> {
        let name = name(&mut section, "name = \"viewer\"");
        if let Some(name) = &name {
            section.call(format!("role.{name}"));
        }
        let title = section.text("title", "title = \"Viewer\"");
        let text = section.text("text", "text = \"Reads dashboards and reports\"");
        let level = section.word("level", &[("team", Level::Team), ("org", Level::Org)]);
        let rank = section.number("rank", (1, 1_000), "rank = 1");
        let extends = section.optional_text("extends", "extends = \"viewer\"");
        let example = "permissions = [\"scan:read\", \"report:*\"]";
        let list = section.list("permissions", example).unwrap_or_default();
        let fault = |problem| section.fault("permissions", problem, example);
        let permissions = select(vocabulary, vocabulary.all(), &list, fault);
        let all: Vec<_> = list.iter().map(|item| item.trim_start_matches('!').to_owned()).collect();
        let excluded = select(vocabulary, vocabulary.all(), &all, |_| ()).difference(&permissions);
        let visible_to = section.optional_list("visible_to", "visible_to = [\"admin\"]");
        let visible_to = visible_to.map(|list| list.into_iter().map(Into::into).collect());
        let on_keys = section.flag("on_keys");
        section.end();
        // A role with a fault stands in with what could be read: the file is refused already, and faults of
        // everything that merely refers to it would bury the true one.
        let extends = rank.and(extends);
        let role = Role {
            name: name?.into(),
            title: title.unwrap_or_default().into(),
            text: text.unwrap_or_default().into(),
            level: level.unwrap_or(Level::Team),
            rank: rank.unwrap_or_default(),
            permissions,
            visible_to,
            on_keys,
        };
        Some(Self { role, extends, excluded })
    }
}

/// What an organization may make beyond the shipped roles, and how people get at rights.
#[derive(Debug, Clone)]
pub struct MemberRules {
    /// Whether a member may be without a direct role (R001_07).
    pub role_optional: bool,
    /// Whether groups may carry roles for their members (R001_07).
    pub groups: bool,
    /// What custom roles may list; none: there are no custom roles (R001_06).
    pub custom_roles: Option<PermissionSet>,
    /// Whether a key may carry a custom role.
    pub custom_roles_on_keys: bool,
}

impl MemberRules {
    /// Reads `[members]`.
    pub(super) fn read(root: &mut Section<'_>, vocabulary: &Permissions) -> Option<Self> {
        let mut section = root.section("members", "[members]")?;
        let role = section.word("role", &[("required", false), ("optional", true)]);
        let groups = section.flag("groups");
        let example = "custom_roles = [\"cli_tools:*\"]";
        let list = section.optional_list("custom_roles", example);
        let fault = |problem| section.fault("custom_roles", problem, example);
        let custom_roles = list.map(|list| select(vocabulary, vocabulary.all(), &list, fault));
        let custom_roles_on_keys = section.flag("custom_roles_on_keys");
        if custom_roles_on_keys && custom_roles.is_none() {
            section.fault("custom_roles_on_keys", "there are no custom roles", example);
        }
        section.end();
        Some(Self { role_optional: role?, groups, custom_roles, custom_roles_on_keys })
    }
}

/// A name that may stand in headers, paths and command lines without quoting.
pub(super) fn name(section: &mut Section<'_>, example: &str) -> Option<String> {
    let name = section.text("name", example)?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if name.len() <= 32
        && name.bytes().all(plain)
        && name.starts_with(|first: char| first.is_ascii_lowercase())
    {
        return Some(name);
    }
    section.fault("name", "is not 1 to 32 of a-z, 0-9 and `_`, a letter first", example);
    None
}
