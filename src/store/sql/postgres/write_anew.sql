-- (no record), or expired -> success or failed: the record of the attempt is gone, and its response
-- is in hand. Applies if the key is free, or the record is pending under the caller's token: a
-- later attempt may just have put it back. A record that already has the new status under the same
-- token is the caller's own write, sent a second time because the first reply was lost. It counts
-- as applied.
-- $1 key   $2 token   $3 success or failed   $4 retention in ms   $5 to $10 the columns of the response
-- $11 fingerprint   $12 attempt   $13 namespace   $14 route   $15 scope
INSERT INTO {records} AS r (
  key, token, status, created_at, updated_at, expires_at,
  response_status, response_headers, response_trailers, response_request_id, response_body, response_missing,
  fingerprint, attempt, namespace, route, scope
)
SELECT
  $1::bytea, $2::bytea, $3::text, now, now, now + $4::bigint * interval '1 ms',
  $5::bigint::integer, $6::bytea, $7::bytea, $8::text, $9::bytea, $10::text, $11::bytea, $12::bigint,
  $13::text, $14::text, $15::bytea
FROM (SELECT clock_timestamp() AS now) AS clock
ON CONFLICT (key) DO UPDATE SET
  token = excluded.token, status = excluded.status, lease_until = NULL, created_at = excluded.created_at,
  updated_at = excluded.updated_at, expires_at = excluded.expires_at, response_status = excluded.response_status,
  response_headers = excluded.response_headers, response_trailers = excluded.response_trailers,
  response_request_id = excluded.response_request_id, response_body = excluded.response_body,
  response_missing = excluded.response_missing, fingerprint = excluded.fingerprint,
  namespace = excluded.namespace, route = excluded.route, scope = excluded.scope,
  attempt = CASE WHEN r.token = excluded.token AND r.expires_at > clock_timestamp()
    THEN r.attempt ELSE excluded.attempt END
WHERE r.expires_at <= clock_timestamp() OR r.token = excluded.token AND r.status IN ('pending', excluded.status)
RETURNING true
