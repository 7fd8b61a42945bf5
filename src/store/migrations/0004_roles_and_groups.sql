-- Roles that an organization makes for itself, and groups that carry roles for their members.
--
-- Roles are named, not numbered, wherever they are held (memberships, groups, keys), so that the profile's and an
-- organization's own are held alike. Renaming a role renames it there in the same transaction, and one in use is not
-- deleted, so a name never comes to mean something else for whoever holds it.
CREATE TABLE roles (
    id          TEXT   NOT NULL PRIMARY KEY CHECK (length(id) = 36),
    org_id      TEXT   NOT NULL REFERENCES orgs (id) ON DELETE CASCADE,
    name        TEXT   NOT NULL CHECK (length(name) BETWEEN 1 AND 80),
    name_folded TEXT   NOT NULL,
    permissions TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    CONSTRAINT roles_name UNIQUE (org_id, name_folded)
);

CREATE TABLE groups (
    id          TEXT   NOT NULL PRIMARY KEY CHECK (length(id) = 36),
    org_id      TEXT   NOT NULL REFERENCES orgs (id) ON DELETE CASCADE,
    name        TEXT   NOT NULL CHECK (length(name) BETWEEN 1 AND 80),
    name_folded TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    CONSTRAINT groups_name UNIQUE (org_id, name_folded)
);

CREATE TABLE group_roles (
    group_id TEXT NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
    role     TEXT NOT NULL,
    PRIMARY KEY (group_id, role)
);

CREATE TABLE group_members (
    group_id   TEXT   NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
    user_id    TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (group_id, user_id)
);
CREATE INDEX group_members_user ON group_members (user_id);
