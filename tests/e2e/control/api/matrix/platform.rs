//! What the table has to know of each platform.

/// Where a role is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Org,
    Team,
}

use Level::{Org, Team};

/// A member without a role of their own.
pub const NONE: &str = "none";

#[derive(Debug)]
pub struct Platform {
    pub profile: &'static str,
    /// From the lowest up.
    pub roles: &'static [(&'static str, Level)],
    /// What is given to people who only stand there to be changed: the least there is.
    pub given: &'static str,
    /// What opens nothing of the API.
    pub scope: &'static str,
    /// Whether an organization makes roles and groups of its own.
    pub custom: bool,
    /// What keys begin with.
    pub literal: &'static str,
}

pub const OFFLOAD: Platform = Platform {
    profile: "offload",
    roles: &[
        ("viewer", Team),
        ("auditor", Team),
        ("compliance_officer", Team),
        ("security_analyst", Team),
        ("security_manager", Team),
        ("admin", Team),
    ],
    given: "viewer",
    scope: "scan:read",
    custom: false,
    literal: "osk_",
};

pub const CORTEX: Platform = Platform {
    profile: "cortex",
    roles: &[
        (NONE, Org),
        ("cli_read_only", Org),
        ("cli", Org),
        ("account_admin", Org),
        ("instance_admin", Org),
    ],
    given: "cli_read_only",
    scope: "cli_tools:view",
    custom: true,
    literal: "cx_",
};

pub const TRUSTEDOSS: Platform = Platform {
    profile: "trustedoss",
    roles: &[("developer", Team), ("team_admin", Team), ("super_admin", Org)],
    given: "developer",
    scope: "scan:read",
    custom: false,
    literal: "tos_",
};

pub const REDUCTO: Platform = Platform {
    profile: "reducto",
    roles: &[("member", Org), ("admin", Org), ("owner", Org)],
    given: "member",
    scope: "studio:use",
    custom: false,
    literal: "rdk_",
};

impl Platform {
    pub fn has_teams(&self) -> bool {
        self.highest(Team).is_some()
    }

    /// The highest role that is held there.
    pub fn highest(&self, level: Level) -> Option<&'static str> {
        self.roles.iter().rev().find(|(_, held)| *held == level).map(|(name, _)| *name)
    }

    /// The highest role of all.
    pub fn master(&self) -> &'static str {
        self.roles.last().map(|(name, _)| *name).expect("a role")
    }

    /// What is given in the organization itself, where anything is.
    pub fn given_in_org(&self) -> &'static str {
        let is_team = |name| self.roles.contains(&(name, Team));
        if is_team(self.given) { self.highest(Org).unwrap_or(self.given) } else { self.given }
    }
}
