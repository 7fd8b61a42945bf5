-- The keys that sign assertions. Each signs from `signs_from` until the next one does.
CREATE TABLE assertion_keys (
    -- The thumbprint of the public half (RFC 7638), as tokens name it.
    id         TEXT   NOT NULL PRIMARY KEY,
    -- The public half as a JWK.
    public     TEXT   NOT NULL,
    -- The private half, sealed under the secret file, hexadecimal.
    sealed     TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    signs_from BIGINT NOT NULL
);
