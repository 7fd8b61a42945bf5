-- What verifies the requests of keys of the level `advanced`: 'hmac-sha256 <sealed, hexadecimal>' or
-- 'ed25519 <public key, hexadecimal>'. The hash of a key of the second kind is 'none': nothing of it is ever sent.
ALTER TABLE api_keys ADD COLUMN signing TEXT;

-- The numbers that signed requests were made unique with, as long as such a request would be accepted again.
-- No reference to the key: a nonce stays used whatever becomes of it.
CREATE TABLE nonces (
    key_id     TEXT   NOT NULL,
    -- SHA-256 of the nonce, hexadecimal: as long as a client likes, and never more than this here.
    nonce      TEXT   NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (key_id, nonce)
);
CREATE INDEX nonces_expiry ON nonces (expires_at);
