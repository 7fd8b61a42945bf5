-- Roles that wait for whoever reads the mail at one address. The token itself is in the mail alone.
CREATE TABLE invitations (
    id           TEXT   NOT NULL PRIMARY KEY CHECK (length(id) = 36),
    org_id       TEXT   NOT NULL REFERENCES orgs (id) ON DELETE CASCADE,
    -- None: a place in the organization itself.
    team_id      TEXT   REFERENCES teams (id) ON DELETE CASCADE,
    email        TEXT   NOT NULL CHECK (length(email) BETWEEN 3 AND 254),
    email_folded TEXT   NOT NULL,
    -- None: what groups give.
    role         TEXT,
    -- SHA-256, hexadecimal.
    token        TEXT   NOT NULL CHECK (length(token) = 64),
    -- None: the operator. Were this cleared when a person goes, their invitations would become the operator's.
    invited_by   TEXT   REFERENCES users (id) ON DELETE CASCADE,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    accepted_at  BIGINT,
    revoked_at   BIGINT,
    CONSTRAINT invitations_token UNIQUE (token),
    CONSTRAINT invitations_end CHECK (accepted_at IS NULL OR revoked_at IS NULL)
);
-- One for an address in one place at a time.
CREATE UNIQUE INDEX invitations_open_in_team ON invitations (team_id, email_folded)
    WHERE team_id IS NOT NULL AND accepted_at IS NULL AND revoked_at IS NULL;
CREATE UNIQUE INDEX invitations_open_in_org ON invitations (org_id, email_folded)
    WHERE team_id IS NULL AND accepted_at IS NULL AND revoked_at IS NULL;
CREATE INDEX invitations_org ON invitations (org_id, id);
CREATE INDEX invitations_team ON invitations (team_id, id);
CREATE INDEX invitations_inviter ON invitations (invited_by, created_at);

-- Mails that are not delivered yet; a delivered one leaves no row.
CREATE TABLE mails (
    id              TEXT   NOT NULL PRIMARY KEY CHECK (length(id) = 36),
    org_id          TEXT   NOT NULL REFERENCES orgs (id) ON DELETE CASCADE,
    kind            TEXT   NOT NULL,
    -- Goes with it: the link in a mail must not outlive what it opens.
    invitation_id   TEXT   REFERENCES invitations (id) ON DELETE CASCADE,
    -- The whole mail, sealed under a key derived from the secret file; hexadecimal.
    sealed          TEXT   NOT NULL,
    created_at      BIGINT NOT NULL,
    next_attempt_at BIGINT NOT NULL,
    give_up_at      BIGINT NOT NULL,
    attempts        BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX mails_due ON mails (next_attempt_at);
CREATE INDEX mails_invitation ON mails (invitation_id);
CREATE INDEX mails_org ON mails (org_id);
