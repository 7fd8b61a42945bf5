-- What people prove besides their password: codes of an authenticator app, and recovery codes in its place.
CREATE TABLE second_factors (
    user_id    TEXT   NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    -- What makes the codes, sealed for this row under a key derived from the secret file; hexadecimal.
    sealed     TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    -- Since when it is asked for; none: it was begun, and no code has shown yet that an app has it.
    since      BIGINT,
    -- The newest step of thirty seconds whose code was taken: neither it nor an older one is taken again.
    last_step  BIGINT
);

-- A used one leaves no row.
CREATE TABLE recovery_codes (
    user_id TEXT NOT NULL REFERENCES second_factors (user_id) ON DELETE CASCADE,
    -- SHA-256, hexadecimal: with 120 random bits a code is not guessed from it.
    sha256  TEXT NOT NULL CHECK (length(sha256) = 64),
    PRIMARY KEY (user_id, sha256)
);
