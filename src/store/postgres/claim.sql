-- Tells what stands under the key that this transaction has tried to claim. Writes nothing.
-- It is a statement of its own, so that its snapshot is younger than the claim: what the attempt before has committed is
-- seen. `mark` is when the transaction began, in microseconds, which tells it from any other one on this connection.
-- $1 key
SELECT
  current_setting('idempotency.claim') AS claim,
  (extract(epoch FROM transaction_timestamp()) * 1000000)::bigint AS mark,
  r.status, r.attempt, r.previous, r.token, r.fingerprint, coalesce(r.lease_until <= clock_timestamp(), false) AS lapsed,
  r.response_status, r.response_headers, r.response_trailers, r.response_request_id, r.response_body,
  r.response_missing
FROM (VALUES (true)) AS one
LEFT JOIN {records} AS r ON r.key = $1::bytea AND r.expires_at > clock_timestamp()
