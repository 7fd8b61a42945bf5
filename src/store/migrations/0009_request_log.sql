-- The newest requests of each organization, for its people to look at. Written behind the answers, in batches; rows
-- beyond a number and an age are removed. No references: a row may come after its organization has gone, and is
-- then nobody's until its age removes it.
CREATE TABLE request_log (
    seq         BIGINT NOT NULL PRIMARY KEY,
    at          BIGINT NOT NULL,
    org_id      TEXT   NOT NULL,
    team_id     TEXT,
    request_id  TEXT   NOT NULL,
    method      TEXT   NOT NULL,
    host        TEXT,
    path        TEXT,
    status      BIGINT NOT NULL,
    duration    BIGINT NOT NULL,
    upstream    TEXT,
    route       TEXT,
    client_ip   TEXT,
    auth_method TEXT,
    credential  TEXT,
    outcome     TEXT   NOT NULL,
    bytes_in    BIGINT NOT NULL,
    bytes_out   BIGINT NOT NULL
);
CREATE INDEX request_log_org ON request_log (org_id, seq);
INSERT INTO counters (name, value) VALUES ('request_log', 0);

-- Whether a key was ever used from an address: asked once for each pair that is new to a running gateway.
CREATE INDEX usage_minutes_source ON usage_minutes (key_id, ip);
