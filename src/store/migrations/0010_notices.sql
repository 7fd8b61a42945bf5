-- Which word of a key's coming end was given: each once.
CREATE TABLE notices (
    key_id TEXT   NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
    -- How near the end was: '7d', '1d'.
    within TEXT   NOT NULL,
    at     BIGINT NOT NULL,
    PRIMARY KEY (key_id, within)
);
-- Keys that end soon, without a walk through all of them.
CREATE INDEX api_keys_expiry ON api_keys (expires_at) WHERE expires_at IS NOT NULL AND revoked_at IS NULL;
