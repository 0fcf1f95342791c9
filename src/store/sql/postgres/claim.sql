-- Returns the record of the key that this transaction has tried to claim. Writes nothing. It is a
-- statement of its own, so that its snapshot is younger than the claim and sees what the attempt
-- before has committed. `mark` is when the transaction began, in microseconds, which tells it from
-- any other one on this connection. `backend` is where it runs. The transaction began with a lock
-- timeout of the store's own, so that this look ends when the table is locked. If the key is its
-- own, the claim has left the timeout that was set before: that one counts again from here on, and
-- `claim` returns it. `records` is the table that the name leads to. A serializable
-- transaction reads no record here: the lock that it would leave behind on an index page makes it
-- conflict with every new key on that page. The store reads the record before such a transaction
-- begins. OFFSET leaves the condition in the subquery, where it is judged before the index is
-- opened. As a condition of the join it would be judged after. A transaction that has found another
-- request under the key looks again: that request may be ending, and have given back one half of
-- its claim. `forbidden` is the role that may not write the records, so that no attempt begins that
-- cannot be stored.
-- $1 key   $2 the number of the key's advisory lock in its table
SELECT
  CASE current_setting('idempotency.claim')
    WHEN 'same' THEN 'same'
    WHEN 'another' THEN CASE
      WHEN pg_try_advisory_xact_lock($2::bigint # ('{records}'::regclass::oid::bigint << 32)) THEN 'same' ELSE 'another'
    END
    ELSE set_config('lock_timeout', current_setting('idempotency.claim'), true)
  END AS claim,
  (date_part('epoch', transaction_timestamp()) * 1000000)::bigint AS mark, pg_backend_pid() AS backend,
  '{records}'::regclass::oid::bigint AS records,
  current_setting('transaction_isolation') = 'serializable' AS serializable,
  current_setting('transaction_read_only') = 'on' AS read_only,
  CASE WHEN NOT (has_any_column_privilege('{records}'::regclass, 'INSERT')
    AND has_any_column_privilege('{records}'::regclass, 'UPDATE')) THEN current_user::text END AS forbidden,
  r.status, r.attempt, r.token, r.fingerprint, coalesce(r.lease_until <= clock_timestamp(), false) AS lapsed,
  r.response_status, r.response_headers, r.response_trailers, r.response_request_id, r.response_body,
  r.response_missing
FROM (VALUES (true)) AS one
LEFT JOIN (
  SELECT * FROM {records}
  WHERE key = $1::bytea AND expires_at > clock_timestamp() AND current_setting('transaction_isolation') <> 'serializable'
  OFFSET 0
) AS r ON true
