-- Uses that are written down and not yet counted for their keys: where many keys are in use, a share of the keys is
-- counted at a time, many seconds' uses at once. Each line is a key's id, how often, when last, and from where or `-`.
-- No references: a key that has gone is passed over when it would be counted.
CREATE TABLE uses_waiting (
    share BIGINT NOT NULL,
    uses  TEXT   NOT NULL
);
CREATE INDEX uses_waiting_share ON uses_waiting (share);
