-- (no record), expired, failed, abandoned -> success, failed or pending, when the effects of the
-- attempt were rolled back. Applies if no attempt has claimed the key since, and there is no record
-- or the one that the attempt takes over. A pending one is abandoned at once, because the effects
-- of its attempt are unknown.
-- $1 to $13 as in complete.sql   $14 the number of the advisory lock of the key   $15 that of the request
-- $16 namespace   $17 route   $18 scope
-- The request comes first. Both are numbers in this table, as in claim.sql.
INSERT INTO {records} AS r (
  key, token, status, lease_until, created_at, updated_at, expires_at,
  response_status, response_headers, response_trailers, response_request_id, response_body, response_missing,
  fingerprint, attempt, namespace, route, scope
)
SELECT
  $1::bytea, $2::bytea, $3::text, CASE $3::text WHEN 'pending' THEN now END, now, now, now + $4::bigint * interval '1 ms',
  $5::bigint::integer, $6::bytea, $7::bytea, $8::text, $9::bytea, $10::text, $11::bytea, $12::bigint,
  $16::text, $17::text, $18::bytea
FROM (SELECT clock_timestamp() AS now, '{records}'::regclass::oid::bigint << 32 AS records) AS clock
WHERE CASE
  WHEN pg_try_advisory_xact_lock($15::bigint # records) THEN pg_try_advisory_xact_lock($14::bigint # records) ELSE false
END
ON CONFLICT (key) DO UPDATE SET
  token = excluded.token, status = excluded.status, lease_until = excluded.lease_until,
  created_at = CASE WHEN r.expires_at > excluded.updated_at THEN r.created_at ELSE excluded.created_at END,
  updated_at = excluded.updated_at, expires_at = excluded.expires_at, response_status = excluded.response_status,
  response_headers = excluded.response_headers, response_trailers = excluded.response_trailers,
  response_request_id = excluded.response_request_id, response_body = excluded.response_body,
  response_missing = excluded.response_missing, fingerprint = excluded.fingerprint, attempt = excluded.attempt,
  namespace = excluded.namespace, route = excluded.route, scope = excluded.scope
WHERE r.token = $13::bytea OR r.expires_at <= clock_timestamp()
RETURNING true
