-- pending, abandoned, failed, success -> (no record), and an entry of the audit: an operator says so.
-- Applies while the record is the one that the operator saw. It is judged by its newest version. An
-- abandoned one must still be abandoned. Of two callers at once, the second one waits, and changes
-- nothing. Then intervened.sql tells whether it was the same change.
-- $1 key   $2 token, $3 status, $4 attempt and $5 state that the operator saw   $6 id   $7 action   $8 by
-- $9 reason   $10 was   $11 attempt of the entry   $12 how long the entry stays, in ms
WITH changed AS (
  DELETE FROM {records}
  WHERE key = $1::bytea AND token = $2::bytea AND status = $3::text AND attempt = $4::bigint
    AND expires_at > clock_timestamp() AND ($5::text <> 'abandoned' OR lease_until <= clock_timestamp())
  RETURNING key
), noted AS (
  INSERT INTO {audit} (key, id, action, by, reason, was, attempt, expires_at)
  SELECT
    key, $6::bytea, $7::text, $8::text, $9::text, $10::text, $11::bigint,
    clock_timestamp() + $12::bigint * interval '1 ms'
  FROM changed
)
SELECT true FROM changed
