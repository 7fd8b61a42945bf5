-- 1: the key that it replaces made it, not a person. Then it ends with that key, as what a key mints does.
ALTER TABLE api_keys ADD COLUMN self_made BIGINT;

-- Who invited when, as long as it counts. No reference to the invitation: deleting a team takes its invitations along,
-- and must give nobody a fresh hour.
CREATE TABLE invited (
    id         TEXT   NOT NULL PRIMARY KEY CHECK (length(id) = 36),
    invited_by TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    at         BIGINT NOT NULL
);
CREATE INDEX invited_inviter ON invited (invited_by, at);
INSERT INTO invited (id, invited_by, at)
    SELECT id, invited_by, created_at FROM invitations WHERE invited_by IS NOT NULL;
