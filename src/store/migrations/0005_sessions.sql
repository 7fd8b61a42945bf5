-- People who have signed in. Of a token only its SHA-256 is kept. A session that has ended stays for a while, so that
-- whoever still holds its token hears that it ended and not that it never was.

CREATE TABLE sessions (
    id           TEXT   NOT NULL PRIMARY KEY CHECK (length(id) = 36),
    token_sha256 TEXT   NOT NULL CHECK (length(token_sha256) = 64),
    user_id      TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    org_id       TEXT   NOT NULL REFERENCES orgs (id) ON DELETE CASCADE,
    -- The team it acts in; none: the organization. No reference: with the team its memberships go, and a session that
    -- fell back to the organization would reach further than it did.
    team_id      TEXT,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    -- Written now and then, not with every request.
    last_seen_at BIGINT NOT NULL,
    ended_at     BIGINT,
    CONSTRAINT sessions_token UNIQUE (token_sha256)
);
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_org ON sessions (org_id);
CREATE INDEX sessions_expiry ON sessions (expires_at);

-- Where a person acted when they last chose: their next session begins there, if they still may.
ALTER TABLE users ADD COLUMN last_team_id TEXT;

-- A change may name one session.
ALTER TABLE changes ADD COLUMN session_id TEXT;
