-- pending, abandoned, failed, success -> success or failed, and an entry of the audit: an operator says
-- so. Applies as free.sql does. The record gets the id of the entry as its token, so that the attempt
-- has lost its lease.
-- $1 key   $2 token, $3 status, $4 attempt and $5 state that the operator saw   $6 id   $7 action   $8 by
-- $9 reason   $10 was   $11 attempt of the entry   $12 how long the entry stays, in ms
-- $13 success or failed   $14 retention in ms   $15 to $20 the columns of the response
WITH changed AS (
  UPDATE {records} SET
    status = $13::text,
    token = $6::bytea,
    lease_until = NULL,
    updated_at = clock_timestamp(),
    expires_at = clock_timestamp() + $14::bigint * interval '1 ms',
    response_status = $15::bigint::integer,
    response_headers = $16::bytea,
    response_trailers = $17::bytea,
    response_request_id = $18::text,
    response_body = $19::bytea,
    response_missing = $20::text
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
