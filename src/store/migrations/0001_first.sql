-- Who there is, which keys they hold, what changed, who did it.
--
-- Plain SQL that SQLite and PostgreSQL both run: ids are hyphenated UUIDs as text, times whole microseconds UTC,
-- lists JSON as text, binary values hexadecimal text. Yes and no is a time or nothing.

-- Numbers that grow by one inside the writing transaction. The row lock makes them visible in commit order.
CREATE TABLE counters (
    name  TEXT   NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counters (name, value) VALUES ('changes', 0), ('audit_events', 0);

CREATE TABLE orgs (
    id         TEXT   NOT NULL PRIMARY KEY CHECK (length(id) = 36),
    slug       TEXT   NOT NULL CHECK (length(slug) BETWEEN 1 AND 63),
    name       TEXT   NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    created_at BIGINT NOT NULL,
    CONSTRAINT orgs_slug UNIQUE (slug)
);

CREATE TABLE teams (
    id         TEXT   NOT NULL PRIMARY KEY CHECK (length(id) = 36),
    org_id     TEXT   NOT NULL REFERENCES orgs (id) ON DELETE CASCADE,
    slug       TEXT   NOT NULL CHECK (length(slug) BETWEEN 1 AND 63),
    name       TEXT   NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    created_at BIGINT NOT NULL,
    CONSTRAINT teams_slug UNIQUE (org_id, slug)
);

CREATE TABLE projects (
    id         TEXT   NOT NULL PRIMARY KEY CHECK (length(id) = 36),
    org_id     TEXT   NOT NULL REFERENCES orgs (id) ON DELETE CASCADE,
    team_id    TEXT   NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    slug       TEXT   NOT NULL CHECK (length(slug) BETWEEN 1 AND 63),
    name       TEXT   NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    created_at BIGINT NOT NULL,
    CONSTRAINT projects_slug UNIQUE (team_id, slug)
);
CREATE INDEX projects_org ON projects (org_id);

-- A removed person's row stays, without password and memberships, so that keys and audit can still name them;
-- the e-mail address is free again.
CREATE TABLE users (
    id             TEXT   NOT NULL PRIMARY KEY CHECK (length(id) = 36),
    org_id         TEXT   NOT NULL REFERENCES orgs (id) ON DELETE CASCADE,
    email          TEXT   NOT NULL CHECK (length(email) BETWEEN 3 AND 254),
    email_folded   TEXT   NOT NULL,
    name           TEXT   NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    password_hash  TEXT,
    created_at     BIGINT NOT NULL,
    deactivated_at BIGINT,
    removed_at     BIGINT
);
CREATE UNIQUE INDEX users_email ON users (email_folded) WHERE removed_at IS NULL;
CREATE INDEX users_org ON users (org_id);

-- At most one role on the organization (no team) and one in each team. No role: what groups give.
CREATE TABLE memberships (
    user_id    TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    org_id     TEXT   NOT NULL REFERENCES orgs (id) ON DELETE CASCADE,
    team_id    TEXT   REFERENCES teams (id) ON DELETE CASCADE,
    role       TEXT,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX memberships_in_team ON memberships (user_id, team_id) WHERE team_id IS NOT NULL;
CREATE UNIQUE INDEX memberships_in_org ON memberships (user_id) WHERE team_id IS NULL;
CREATE INDEX memberships_team ON memberships (team_id);
CREATE INDEX memberships_org ON memberships (org_id);

CREATE TABLE api_keys (
    id                    TEXT   NOT NULL PRIMARY KEY CHECK (length(id) = 36),
    org_id                TEXT   NOT NULL REFERENCES orgs (id) ON DELETE CASCADE,
    team_id               TEXT   REFERENCES teams (id) ON DELETE CASCADE,
    project_id            TEXT   REFERENCES projects (id) ON DELETE CASCADE,
    scope                 TEXT   NOT NULL,
    owner_user_id         TEXT   REFERENCES users (id) ON DELETE CASCADE,
    created_by            TEXT   REFERENCES users (id) ON DELETE SET NULL,
    parent_id             TEXT   REFERENCES api_keys (id) ON DELETE CASCADE,
    -- The first key of a rotation chain; limits count families, not keys.
    family_id             TEXT   NOT NULL,
    name                  TEXT   NOT NULL CHECK (length(name) BETWEEN 1 AND 80),
    description           TEXT,
    prefix                TEXT   NOT NULL,
    -- How an imported key of a foreign shape is found: 'sha256:<hex>', or the characters it begins with.
    -- Nothing for keys of our own shape, which are found by their prefix.
    foreign_lookup        TEXT,
    hash                  TEXT   NOT NULL,
    mac                   TEXT,
    imported_at           BIGINT,
    scopes                TEXT,
    roles                 TEXT,
    effective_role        TEXT,
    security_level        TEXT   NOT NULL,
    environment           TEXT,
    rate_limit_per_minute BIGINT CHECK (rate_limit_per_minute > 0),
    allowed_ips           TEXT   NOT NULL,
    created_at            BIGINT NOT NULL,
    expires_at            BIGINT,
    grace_until           BIGINT,
    revoked_at            BIGINT,
    last_used_at          BIGINT,
    last_used_ip          TEXT,
    usage_count           BIGINT NOT NULL DEFAULT 0,
    rotated_from          TEXT   REFERENCES api_keys (id) ON DELETE SET NULL,
    rotated_to            TEXT   REFERENCES api_keys (id) ON DELETE SET NULL,
    CONSTRAINT api_keys_boundary CHECK (
        (scope = 'org' AND team_id IS NULL AND project_id IS NULL)
        OR (scope = 'team' AND team_id IS NOT NULL AND project_id IS NULL)
        OR (scope = 'project' AND team_id IS NOT NULL AND project_id IS NOT NULL)
    )
);
CREATE UNIQUE INDEX api_keys_prefix ON api_keys (prefix) WHERE foreign_lookup IS NULL;
CREATE UNIQUE INDEX api_keys_foreign ON api_keys (foreign_lookup) WHERE foreign_lookup IS NOT NULL;
CREATE INDEX api_keys_named ON api_keys (prefix);
CREATE INDEX api_keys_org ON api_keys (org_id, id);
CREATE INDEX api_keys_team ON api_keys (team_id, id);
CREATE INDEX api_keys_project ON api_keys (project_id);
CREATE INDEX api_keys_owner ON api_keys (owner_user_id);
CREATE INDEX api_keys_creator ON api_keys (created_by);
CREATE INDEX api_keys_parent ON api_keys (parent_id);
CREATE INDEX api_keys_family ON api_keys (family_id);
CREATE INDEX api_keys_rotated_from ON api_keys (rotated_from);
CREATE INDEX api_keys_rotated_to ON api_keys (rotated_to);

-- The feed that running gateways follow. No key: everything of the organization.
-- No references: the row must outlive what it names.
CREATE TABLE changes (
    id     BIGINT NOT NULL PRIMARY KEY,
    at     BIGINT NOT NULL,
    org_id TEXT   NOT NULL,
    key_id TEXT,
    lookup TEXT
);

-- Append-only. No references: the row must outlive what it names.
CREATE TABLE audit_events (
    seq          BIGINT NOT NULL PRIMARY KEY,
    id           TEXT   NOT NULL,
    at           BIGINT NOT NULL,
    org_id       TEXT,
    team_id      TEXT,
    target_table TEXT   NOT NULL,
    target       TEXT   NOT NULL,
    action       TEXT   NOT NULL,
    event        TEXT   NOT NULL,
    actor        TEXT   NOT NULL,
    actor_kind   TEXT   NOT NULL,
    ip           TEXT,
    detail       TEXT   NOT NULL,
    hash         TEXT   NOT NULL,
    CONSTRAINT audit_events_id UNIQUE (id)
);
CREATE INDEX audit_events_org ON audit_events (org_id, seq);
CREATE INDEX audit_events_target ON audit_events (target, seq);

CREATE TABLE usage_minutes (
    key_id TEXT   NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
    minute BIGINT NOT NULL,
    ip     TEXT   NOT NULL,
    count  BIGINT NOT NULL,
    PRIMARY KEY (key_id, minute, ip)
);
CREATE INDEX usage_minutes_minute ON usage_minutes (minute);
