//! Who may give which role to whom: by invitation, by promotion, by demotion (R000_05, R000_06, R003_06).

use super::{permissions::control, read::Section, roles::Roles};

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    by: Vec<String>,
    give: Vec<String>,
}

/// Who may give which of the shipped roles. `member:invite` or `member:update` is needed besides; custom roles
/// are given within what the giver holds.
#[derive(Debug, Clone, Default)]
pub struct Invitations(Vec<Rule>);

impl Invitations {
    /// Whether somebody in the role `by` (none: without a shipped one) may invite or promote to the role `to`.
    pub fn may_give(&self, by: Option<&str>, to: &str) -> bool {
        let Some(by) = by else { return false };
        self.0.iter().any(|rule| rule.by.iter().any(|one| one == by) && rule.give.iter().any(|one| one == to))
    }

    /// Whether `by` may turn a member in the role `from` into `to` (none: no role). Whoever may not make somebody
    /// an administrator may not unmake one either.
    pub fn may_change(&self, by: Option<&str>, from: Option<&str>, to: Option<&str>) -> bool {
        [from, to].into_iter().flatten().all(|role| self.may_give(by, role))
    }

    /// Reads every `[[invitation]]`.
    pub(super) fn read(root: &mut Section<'_>, roles: Option<&Roles>) -> Self {
        let sections = root.sections("invitation", "[[invitation]]");
        Self(sections.into_iter().filter_map(|section| read_one(section, roles)).collect())
    }
}

fn read_one(mut section: Section<'_>, roles: Option<&Roles>) -> Option<Rule> {
    let by = section.list("by", BY);
    let give = section.list("give", GIVE);
    let known = |key, list: &Option<Vec<String>>, example| {
        let (Some(roles), Some(list)) = (roles, list) else { return };
        if list.is_empty() {
            section.fault(key, "is empty", example);
        }
        for name in list.iter().filter(|name| roles.get(name).is_none()) {
            section.fault(key, format!("`{name}` is not a role"), example);
        }
    };
    known("by", &by, BY);
    known("give", &give, GIVE);
    let (by, give) = (by?, give?);
    if let Some(roles) = roles {
        for giver in by.iter().filter_map(|name| roles.get(name)) {
            if !giver.permissions.contains(control::MEMBER_INVITE) {
                section.fault("by", format!("`{}` does not hold member:invite", giver.name), BY);
            }
            for role in give.iter().filter_map(|name| roles.get(name)).filter(|role| !role.within(giver)) {
                let problem = format!("`{}` is more than `{}`, who would give it", role.name, giver.name);
                section.fault("give", problem, GIVE);
            }
        }
    }
    section.end();
    Some(Rule { by, give })
}

const BY: &str = "by = [\"admin\"]";
const GIVE: &str = "give = [\"viewer\"]";
