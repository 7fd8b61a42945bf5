-- Answers to changes that their callers named (`Idempotency-Key`), for a day. Never a full key.
-- No reference to the caller: what it is decides the control plane.
CREATE TABLE idempotency (
    caller     TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    -- A MAC over what was asked, hexadecimal.
    request    TEXT   NOT NULL,
    -- JSON.
    answer     TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (caller, name)
);
CREATE INDEX idempotency_age ON idempotency (created_at);
