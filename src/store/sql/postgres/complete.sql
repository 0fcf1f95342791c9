-- (no record), expired, failed, abandoned -> success, in the transaction of the attempt. Applies if
-- three conditions hold: this is the transaction that claimed the key, the name leads to the same
-- table, and there is no record or the one that the attempt takes over. Otherwise it writes and
-- returns nothing, and the transaction must not be committed.
-- $1 key   $2 token   $3 success or failed   $4 retention in ms   $5 to $10 the columns of the response
-- $11 fingerprint   $12 attempt   $13 the token of the record that is taken over; null: none   $14 mark
-- $15 records   $16 namespace   $17 route   $18 scope
INSERT INTO {records} AS r (
  key, token, status, created_at, updated_at, expires_at,
  response_status, response_headers, response_trailers, response_request_id, response_body, response_missing,
  fingerprint, attempt, namespace, route, scope
)
SELECT
  $1::bytea, $2::bytea, $3::text, now, now, now + $4::bigint * interval '1 ms',
  $5::bigint::integer, $6::bytea, $7::bytea, $8::text, $9::bytea, $10::text, $11::bytea, $12::bigint,
  $16::text, $17::text, $18::bytea
FROM (SELECT clock_timestamp() AS now) AS clock
WHERE (date_part('epoch', transaction_timestamp()) * 1000000)::bigint = $14::bigint
  AND '{records}'::regclass::oid::bigint = $15::bigint
ON CONFLICT (key) DO UPDATE SET
  token = excluded.token, status = excluded.status, lease_until = NULL,
  created_at = CASE WHEN r.expires_at > excluded.updated_at THEN r.created_at ELSE excluded.created_at END,
  updated_at = excluded.updated_at, expires_at = excluded.expires_at, response_status = excluded.response_status,
  response_headers = excluded.response_headers, response_trailers = excluded.response_trailers,
  response_request_id = excluded.response_request_id, response_body = excluded.response_body,
  response_missing = excluded.response_missing, fingerprint = excluded.fingerprint, attempt = excluded.attempt,
  namespace = excluded.namespace, route = excluded.route, scope = excluded.scope
WHERE r.token = $13::bytea OR r.expires_at <= clock_timestamp()
RETURNING true
