-- Describes records to operators, without their responses. Changes nothing. The store adds which ones
-- it wants, and in which order. Times are in microseconds. `place` is where a record is in a list.
-- A person may have set `expires_at` to infinity, from which no time can be subtracted.
SELECT
  key, status, attempt, token, fingerprint, coalesce(lease_until <= statement_timestamp(), false) AS lapsed,
  response_status, response_missing, coalesce(octet_length(response_body), 0)::bigint AS bytes, namespace, route, scope,
  (extract(epoch FROM statement_timestamp() - created_at) * 1000000)::bigint AS reserved_ago,
  (extract(epoch FROM statement_timestamp() - updated_at) * 1000000)::bigint AS changed_ago,
  (extract(epoch FROM least(expires_at, timestamptz '9999-12-31') - statement_timestamp()) * 1000000)::bigint
    AS expires_in,
  (extract(epoch FROM updated_at) * 1000000)::bigint::text AS place
FROM {records} WHERE expires_at > statement_timestamp()
