-- Tells what stands under the key that this transaction has tried to claim. Writes nothing.
-- It is a statement of its own, so that its snapshot is younger than the claim: what the attempt before has committed is
-- seen. `mark` is when the transaction began, in microseconds, which tells it from any other one on this connection.
-- Who has found another request under the key looks again: that one may be ending, and have given back one half of its claim.
-- `backend` is where it runs. The transaction began with a lock timeout of the store's own, so that this look ends when
-- the table is locked; from here on the one that was set before counts.
-- $1 key   $2 the number of the key's advisory lock
SELECT
  CASE
    WHEN current_setting('idempotency.claim', true) <> 'another' THEN current_setting('idempotency.claim', true)
    WHEN pg_try_advisory_xact_lock($2::bigint) THEN 'same'
    ELSE 'another'
  END AS claim,
  (extract(epoch FROM transaction_timestamp()) * 1000000)::bigint AS mark, pg_backend_pid() AS backend,
  CASE WHEN current_setting('idempotency.lock_timeout', true) <> ''
    THEN set_config('lock_timeout', current_setting('idempotency.lock_timeout', true), true) END,
  r.status, r.attempt, r.token, r.fingerprint, coalesce(r.lease_until <= clock_timestamp(), false) AS lapsed,
  r.response_status, r.response_headers, r.response_trailers, r.response_request_id, r.response_body,
  r.response_missing
FROM (VALUES (true)) AS one
LEFT JOIN {records} AS r ON r.key = $1::bytea AND r.expires_at > clock_timestamp()
