//! A key with everything that a decision about it needs, read by one statement, so that it is of one moment.

use sqlx::{Connection as _, Row as _};

use super::{Key, columns, parse};
use crate::domain::{
    id::{KeyId, ProjectId, UserId},
    key::{
        standing::{Given, Places, Standing, standing},
        token::Digest,
    },
    profile::{Profile, RoleBook},
    role::CustomRole,
    time::Timestamp,
};
use crate::store::{
    db::{Columns, Conn, Db, Row, hex},
    error::StoreError,
    people::{Place, custom_roles, place},
    usage::waiting,
};

/// A key and those it stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The key. Its organization, team and project exist: a key goes with them.
    pub key: Key,
    /// Whose it is; none: the organization's.
    pub owner: Option<Person>,
    /// Who issued it.
    pub issuer: Option<Person>,
    /// For a key bound to a team: the team's projects, in the order they were made.
    pub team_projects: Vec<ProjectId>,
    /// When its successor was made.
    pub rotated_at: Option<Timestamp>,
    /// The roles that the organization made for itself.
    pub roles: Vec<CustomRole>,
    /// The key that minted it, the one that minted that, and so on.
    pub minters: Vec<Minter>,
}

/// A key that another one was minted by, and those it stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Minter {
    key: Key,
    owner: Option<Person>,
    issuer: Option<Person>,
}

/// As many keys above a minted one are read. A line that goes on beyond is taken for one without a beginning, and
/// gives nothing.
const LONGEST_LINE: usize = 16;

/// A person as far as a key of theirs is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Who.
    pub id: UserId,
    /// Their e-mail address.
    pub email: String,
    /// Whether they are neither deactivated nor removed.
    pub active: bool,
    /// Their place in the organization, if they have one.
    pub in_org: Option<Place>,
    /// Their place in the key's team, if it has one and they have one.
    pub in_team: Option<Place>,
    /// The roles that their groups carry.
    pub groups: Vec<String>,
}

impl Held {
    /// What the key may do at this moment under the profile's rules.
    pub fn standing(&self, profile: &Profile) -> Standing {
        let book = RoleBook::new(profile, &self.roles);
        let mut all = stand(&book, &self.key, self.owner.as_ref(), self.issuer.as_ref());
        for minter in &self.minters {
            all = all.under(&stand(&book, &minter.key, minter.owner.as_ref(), minter.issuer.as_ref()));
        }
        let first = self.minters.last().map_or(&self.key, |minter| &minter.key);
        if first.parent.is_some() {
            all.end();
        }
        all
    }
}

fn stand(book: &RoleBook<'_>, key: &Key, owner: Option<&Person>, issuer: Option<&Person>) -> Standing {
    let given = Given {
        boundary: key.boundary.kind(),
        scopes: key.scopes.as_deref(),
        roles: key.roles.as_deref(),
        effective_role: key.effective_role.as_deref(),
        life: key.life,
        networks: &key.networks,
        rate: key.rate,
    };
    let (owner, issuer) = (owner.map(Person::places), issuer.map(Person::places));
    standing(book, &given, owner.as_ref(), issuer.as_ref())
}

impl Person {
    /// The roles that count for them where the key acts.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        let direct = self.in_org.iter().chain(&self.in_team).filter_map(|place| place.role.as_deref());
        direct.chain(self.groups.iter().map(String::as_str))
    }

    fn places(&self) -> Places<'_> {
        Places {
            active: self.active,
            in_org: self.in_org.as_ref().map(|place| place.role.as_deref()),
            in_team: self.in_team.as_ref().map(|place| place.role.as_deref()),
            groups: &self.groups,
        }
    }
}

/// What is read of each key: its `root` is the key that was asked for, from which it stands `depth` steps up the line of
/// minting. A membership's role is text, no role is empty text, no membership is NULL. Lists are lines: no name of a role
/// holds a line break or a tab.
macro_rules! everything {
    ($root:literal, $depth:literal, $from:literal) => {
        concat!(
            " SELECT ",
            columns!(),
            ", ",
            $root,
            " AS root, ",
            $depth,
            " AS depth,
             (SELECT string_agg(r.name || '\t' || r.permissions, '\n') FROM roles r
                WHERE r.org_id = k.org_id AND ",
            $depth,
            " = 0) AS custom_roles,
             (SELECT string_agg(r.role, '\n') FROM group_members m JOIN groups g ON g.id = m.group_id
                JOIN group_roles r ON r.group_id = g.id
                WHERE m.user_id = k.owner_user_id AND g.org_id = k.org_id) AS owner_groups,
             (SELECT string_agg(r.role, '\n') FROM group_members m JOIN groups g ON g.id = m.group_id
                JOIN group_roles r ON r.group_id = g.id
                WHERE m.user_id = k.created_by AND g.org_id = k.org_id) AS issuer_groups,
             o.email AS owner_email,
             (CASE WHEN o.deactivated_at IS NULL AND o.removed_at IS NULL THEN 1 ELSE 0 END) AS owner_active,
             (SELECT COALESCE(m.role, '') FROM memberships m
                WHERE m.user_id = k.owner_user_id AND m.org_id = k.org_id AND m.team_id IS NULL) AS owner_in_org,
             (SELECT COALESCE(m.role, '') FROM memberships m
                WHERE m.user_id = k.owner_user_id AND m.team_id = k.team_id) AS owner_in_team,
             i.email AS issuer_email,
             (CASE WHEN i.deactivated_at IS NULL AND i.removed_at IS NULL THEN 1 ELSE 0 END) AS issuer_active,
             (SELECT COALESCE(m.role, '') FROM memberships m
                WHERE m.user_id = k.created_by AND m.org_id = k.org_id AND m.team_id IS NULL) AS issuer_in_org,
             (SELECT COALESCE(m.role, '') FROM memberships m
                WHERE m.user_id = k.created_by AND m.team_id = k.team_id) AS issuer_in_team,
             (SELECT s.created_at FROM api_keys s WHERE s.id = k.rotated_to) AS rotated_at,
             (SELECT string_agg(p.id, ' ') FROM projects p
                WHERE p.team_id = k.team_id AND k.scope = 'team') AS projects
             FROM ",
            $from,
            " LEFT JOIN users o ON o.id = k.owner_user_id
             LEFT JOIN users i ON i.id = k.created_by "
        )
    };
}

/// The keys that fit the condition on `f` come first, then what minted them, step by step.
macro_rules! select {
    ($condition:literal) => {
        concat!(
            "WITH RECURSIVE line (root, id, depth) AS (
                 SELECT f.id, f.id, 0 FROM api_keys f WHERE ",
            $condition,
            "
                 UNION ALL SELECT l.root, c.parent_id, l.depth + 1 FROM line l JOIN api_keys c ON c.id = l.id
                   WHERE c.parent_id IS NOT NULL AND l.depth < 16)",
            everything!("line.root", "line.depth", "line JOIN api_keys k ON k.id = line.id"),
            "ORDER BY line.depth"
        )
    };
}

/// The keys with these public characters alone: whole for those that nobody minted, and a third of the work.
macro_rules! select_alone {
    ($these:literal) => {
        concat!(
            everything!("k.id", "0", "api_keys k"),
            "WHERE k.foreign_lookup IS NULL AND k.prefix IN (",
            $these,
            ")"
        )
    };
}

/// The key with this id, with whatever of its uses is written down.
pub async fn find(conn: &mut Conn, id: KeyId) -> Result<Option<Held>, StoreError> {
    let mut moment = conn.begin().await?;
    let rows = sqlx::query::<Db>(select!("f.id = $1")).bind(id.to_string()).fetch_all(&mut *moment).await?;
    let waiting = waiting::of(&mut moment, &[id]).await?;
    moment.commit().await?;
    let mut found = rows.first().map(|row| held(row, &rows)).transpose()?;
    if let Some(held) = &mut found {
        waiting.values().flatten().for_each(|used| held.key.add(used));
    }
    Ok(found)
}

/// The key of the profile's own shape with these public characters, as far as a decision needs it.
pub async fn find_by_prefix(conn: &mut Conn, public: &str) -> Result<Option<Held>, StoreError> {
    let rows = sqlx::query::<Db>(select!("f.prefix = $1 AND f.foreign_lookup IS NULL"))
        .bind(public)
        .fetch_all(conn)
        .await?;
    rows.first().map(|row| held(row, &rows)).transpose()
}

/// The same of several, in the order of their public characters, by one statement; each that was minted by another key
/// needs one more. What is wrong with one of them is its own affair.
///
/// # Errors
/// None of them could be read.
pub async fn find_by_prefixes(
    conn: &mut Conn,
    publics: &[&str],
) -> Result<Vec<Result<Option<Held>, StoreError>>, StoreError> {
    let mut all = Vec::with_capacity(publics.len());
    for some in publics.chunks(AT_ONCE) {
        let (places, text) = match some.len() {
            1 => (1, select_alone!("$1")),
            2..=4 => (4, select_alone!("$1, $2, $3, $4")),
            _ => (
                AT_ONCE,
                select_alone!("$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16"),
            ),
        };
        let mut query = sqlx::query::<Db>(text);
        // Places that are left over are asked for the last one again, which costs nothing.
        for place in 0..places {
            query = query.bind(some[place.min(some.len() - 1)]);
        }
        let rows = match query.fetch_all(&mut *conn).await {
            Ok(rows) => rows,
            // The file is damaged where one of them stands, which is no matter of the others.
            Err(error) if some.len() > 1 && is_damage(&error) => {
                for public in some {
                    all.push(find_by_prefix(conn, public).await);
                }
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        for public in some {
            let row =
                rows.iter().find(|row| row.try_get::<&str, _>("prefix").is_ok_and(|found| found == *public));
            let found = row.map(|row| held(row, &[])).transpose();
            all.push(match found {
                Ok(Some(found)) if found.key.parent.is_some() => find_by_prefix(conn, public).await,
                found => found,
            });
        }
    }
    Ok(all)
}

/// Whether SQLite found its file malformed (SQLITE_CORRUPT, in any of its extended forms).
fn is_damage(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<i32>().ok());
    code.is_some_and(|code| code & 0xff == 11)
}

/// As many keys are found by one statement.
pub const AT_ONCE: usize = 16;

/// How many characters of a foreign key may have been imported to find it by.
pub const FOREIGN_PREFIX: std::ops::RangeInclusive<usize> = 4..=20;

/// The keys of a foreign shape that a presented one may be: the one with its SHA-256, and those it begins with,
/// longest beginning first. `leading` is how it begins, as far as a foreign prefix may reach. Damaged ones are left
/// out; each is reported.
///
/// # Errors
/// [`StoreError::Corrupt`] when all that were found are damaged.
pub async fn find_foreign(conn: &mut Conn, digest: &Digest, leading: &str) -> Result<Vec<Held>, StoreError> {
    let digest = digest_lookup(digest);
    let mut query = sqlx::query::<Db>(select!(
        "f.foreign_lookup IN ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)"
    ))
    .bind(digest.clone());
    for length in FOREIGN_PREFIX {
        query = query.bind(leading.get(..length).unwrap_or(&digest).to_owned());
    }
    let rows = query.fetch_all(conn).await?;
    let mut found = Vec::with_capacity(rows.len());
    let mut damaged = None;
    for row in &rows {
        if Columns::of(row, "api_keys", "id").number("depth")? > 0 {
            continue;
        }
        match held(row, &rows) {
            Ok(key) => found.push(key),
            Err(error) => damaged = Some(error),
        }
    }
    found.sort_by_key(|held| std::cmp::Reverse(held.key.looked_up_by().len()));
    match damaged {
        Some(error) if found.is_empty() => Err(error),
        Some(error) => {
            tracing::error!(%error, "store.row_damaged");
            Ok(found)
        }
        None => Ok(found),
    }
}

/// How a foreign key is found by the SHA-256 of all its characters.
pub fn digest_lookup(digest: &Digest) -> String {
    format!("sha256:{}", hex(digest.bytes()))
}

/// The key of `row`; the rows of those that minted it are among `rows`, in order.
fn held(row: &Row, rows: &[Row]) -> Result<Held, StoreError> {
    let Minter { key, owner, issuer } = with_people(row)?;
    let columns = Columns::of(row, "api_keys", "id");
    let projects = columns.maybe_text("projects")?.unwrap_or_default();
    let mut team_projects = projects
        .split_ascii_whitespace()
        .map(|id| id.parse().map_err(|error| columns.bad("projects", error)))
        .collect::<Result<Vec<ProjectId>, _>>()?;
    team_projects.sort_unstable();
    let rotated_at = columns.maybe_number("rotated_at")?.map(Timestamp::from_micros);
    let root = key.id.to_string();
    let mut minters = Vec::new();
    for above in rows {
        let columns = Columns::of(above, "api_keys", "id");
        if columns.text("root")? == root && columns.number("depth")? > 0 {
            minters.push(with_people(above)?);
        }
    }
    debug_assert!(minters.len() <= LONGEST_LINE, "the statement reads no more");
    Ok(Held { key, owner, issuer, team_projects, rotated_at, roles: custom_roles(&columns), minters })
}

fn with_people(row: &Row) -> Result<Minter, StoreError> {
    let key = parse(row)?;
    let columns = Columns::of(row, "api_keys", "id");
    let owner = key.owner.map(|id| person(&columns, id, &OWNER)).transpose()?;
    let issuer = key.created_by.map(|id| person(&columns, id, &ISSUER)).transpose()?;
    Ok(Minter { key, owner, issuer })
}

/// The columns of a person.
struct Names {
    email: &'static str,
    active: &'static str,
    in_org: &'static str,
    in_team: &'static str,
    groups: &'static str,
}

const OWNER: Names = Names {
    email: "owner_email",
    active: "owner_active",
    in_org: "owner_in_org",
    in_team: "owner_in_team",
    groups: "owner_groups",
};
const ISSUER: Names = Names {
    email: "issuer_email",
    active: "issuer_active",
    in_org: "issuer_in_org",
    in_team: "issuer_in_team",
    groups: "issuer_groups",
};

fn person(columns: &Columns<'_>, id: UserId, names: &Names) -> Result<Person, StoreError> {
    let groups = columns.maybe_text(names.groups)?.unwrap_or_default();
    Ok(Person {
        id,
        email: columns.text(names.email)?,
        active: columns.number(names.active)? == 1,
        in_org: place(columns, names.in_org)?,
        in_team: place(columns, names.in_team)?,
        groups: groups.lines().map(str::to_owned).collect(),
    })
}
