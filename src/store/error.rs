//! What can go wrong in the store. "Out of reach" and "this row is damaged" are never "there is no such key".

use std::error::Error as Cause;

/// A store operation that did not happen.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be asked now: locked, full, gone, or answering nonsense. Worth trying again.
    #[error("the store is not available")]
    Unavailable(#[source] Box<dyn Cause + Send + Sync>),
    /// A rule of the database refused the write.
    #[error("the store refused the change: {0}")]
    Conflict(Conflict),
    /// A row does not parse. It is refused; its neighbours are not affected.
    #[error("damaged row in {table}, id {id}: {what}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The row's id, or what is known of it.
        id: String,
        /// The column, and what is wrong with it; never the value, which may be anything.
        what: String,
    },
}

/// The rule that refused a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// Another organization has this slug.
    #[error("this slug is taken by another organization")]
    OrgSlug,
    /// Another team of the organization has this slug.
    #[error("this slug is taken by another team")]
    TeamSlug,
    /// Another project of the team has this slug.
    #[error("this slug is taken by another project")]
    ProjectSlug,
    /// Somebody has this e-mail address.
    #[error("this e-mail address is taken")]
    Email,
    /// The user has a role there already.
    #[error("this user is a member already")]
    Membership,
    /// The organization has a role of this name.
    #[error("this name is taken by another role")]
    RoleName,
    /// The organization has a group of this name.
    #[error("this name is taken by another group")]
    GroupName,
    /// Another key has these public characters or this hash.
    #[error("a key with this prefix or hash exists already")]
    Key,
    /// The row that this one belongs to has been deleted meanwhile.
    #[error("what this belongs to no longer exists")]
    Parent,
}

impl StoreError {
    /// A damaged row.
    pub(super) fn corrupt(table: &'static str, id: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Corrupt { table, id: id.into(), what: what.into() }
    }
}

/// SQLite names the columns of a broken unique rule, PostgreSQL the rule.
const UNIQUE: &[(&str, &str, Conflict)] = &[
    ("orgs.slug", "orgs_slug", Conflict::OrgSlug),
    ("teams.slug", "teams_slug", Conflict::TeamSlug),
    ("projects.slug", "projects_slug", Conflict::ProjectSlug),
    ("users.email_folded", "users_email", Conflict::Email),
    ("memberships.user_id", "memberships_in_", Conflict::Membership),
    ("roles.name_folded", "roles_name", Conflict::RoleName),
    ("groups.name_folded", "groups_name", Conflict::GroupName),
    ("api_keys.prefix", "api_keys_prefix", Conflict::Key),
    ("api_keys.foreign_lookup", "api_keys_foreign", Conflict::Key),
];

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if let sqlx::Error::Database(refusal) = &error {
            if refusal.is_unique_violation() {
                let (message, rule) = (refusal.message(), refusal.constraint().unwrap_or_default());
                let broken = UNIQUE.iter().find(|(columns, name, _)| {
                    message.contains(columns) || (!rule.is_empty() && rule.starts_with(name))
                });
                if let Some((_, _, conflict)) = broken {
                    return Self::Conflict(*conflict);
                }
            }
            if refusal.is_foreign_key_violation() {
                return Self::Conflict(Conflict::Parent);
            }
        }
        Self::Unavailable(Box::new(error))
    }
}

impl From<super::file::Moved> for StoreError {
    fn from(moved: super::file::Moved) -> Self {
        Self::Unavailable(Box::new(moved))
    }
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file is missing and was not to be created.
    #[error("no store at {0}: create it with `latchgate init` or `latchgate migrate`")]
    Missing(String),
    /// The database cannot be opened, or not now.
    #[error("cannot open the store at {path}")]
    Unavailable {
        /// Where it is.
        path: String,
        /// Why.
        #[source]
        cause: Box<dyn Cause + Send + Sync>,
    },
    /// The linked SQLite has a known fault that can lose data.
    #[error("SQLite {found} can lose data in WAL mode; 3.51.3 or later is required")]
    SqliteTooOld {
        /// The version linked.
        found: String,
    },
    /// A newer program has been here.
    #[error(
        "the store's schema is version {found}, this program knows {known}: use the program that wrote it, or a later one"
    )]
    SchemaTooNew {
        /// The store's version.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// The schema is older than the program and was not to be changed.
    #[error("the store's schema is version {found}, this program needs {known}: run `latchgate migrate`")]
    SchemaTooOld {
        /// The store's version.
        found: i64,
        /// The version needed.
        known: i64,
    },
    /// A migration that ran is not the one this program knows under that number.
    #[error(
        "migration {version} of this store differs from this program's: it was written by a modified program"
    )]
    SchemaDiffers {
        /// The migration.
        version: i64,
    },
}
