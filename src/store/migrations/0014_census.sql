-- Keys that have an end, or had one: those without are counted as the rest, so that counting is no walk through all rows.
CREATE INDEX api_keys_dated ON api_keys (revoked_at, expires_at, grace_until)
    WHERE revoked_at IS NOT NULL OR expires_at IS NOT NULL OR grace_until IS NOT NULL;
