-- (no record), expired -> pending: the first attempt. failed, abandoned -> pending: the next attempt.
-- Applies when the key is free, or when the record yields to the caller: same fingerprint, another token, and abandoned or
-- failed as the caller asks for. Otherwise it returns the record and writes nothing.
-- $1 key   $2 token drawn by the caller   $3 fingerprint   $4 lease in ms   $5 retention in ms
-- $6 whether an abandoned record is taken over: 1 or 0
-- $7 the token of the attempt whose failure is taken over; empty: any; null: none
--
-- A record that stands is found by the snapshot, and then nothing is inserted and nothing locked: a replay is a read.
-- Otherwise the insertion decides. If there is a record by then, it is locked, and all that is decided is decided by its
-- newest version, not by the snapshot: of those who race for it the first makes it pending under its own token, and each of
-- the others finds that. It writes the record as it is, because only what is written is returned; so nobody asks twice.
-- The clock is read once, or a lease could lapse between two columns. Who has waited for another one reads an older time
-- than it is, and takes over less for it, never more.
WITH clock AS MATERIALIZED (
  SELECT clock_timestamp() AS now
), standing AS (
  SELECT r.* FROM {records} AS r, clock
  WHERE r.key = $1::bytea AND r.expires_at > clock.now AND NOT (
    r.fingerprint = $3::bytea AND r.token <> $2::bytea AND CASE r.status
      WHEN 'pending' THEN $6::bigint = 1 AND r.lease_until <= clock.now
      WHEN 'failed' THEN coalesce($7::bytea IN (''::bytea, r.token), false)
      ELSE false
    END
  )
), made AS (
  INSERT INTO {records} AS r (key, status, attempt, token, fingerprint, lease_until, created_at, updated_at, expires_at)
  SELECT
    $1::bytea, 'pending', 1, $2::bytea, $3::bytea, now + $4::bigint * interval '1 ms', now, now,
    now + $5::bigint * interval '1 ms'
  FROM clock WHERE NOT EXISTS (SELECT FROM standing)
  ON CONFLICT (key) DO UPDATE SET (
    status, attempt, previous, token, fingerprint, lease_until, created_at, updated_at, expires_at,
    response_status, response_headers, response_trailers, response_request_id, response_body, response_missing
  ) = (
    SELECT next.* FROM (
      SELECT r.expires_at <= excluded.updated_at AS expired, (
        r.fingerprint = excluded.fingerprint AND r.token <> excluded.token AND CASE r.status
          WHEN 'pending' THEN $6::bigint = 1 AND r.lease_until <= excluded.updated_at
          WHEN 'failed' THEN coalesce($7::bytea IN (''::bytea, r.token), false)
          ELSE false
        END
      ) AS yields
    ) AS found, LATERAL (
      SELECT
        'pending', 1, NULL, excluded.token, excluded.fingerprint, excluded.lease_until, excluded.created_at,
        excluded.updated_at, excluded.expires_at, NULL::integer, NULL, NULL, NULL, NULL::bytea, NULL
      WHERE expired
      UNION ALL SELECT
        'pending', least(r.attempt + 1, 4294967295),
        CASE r.status WHEN 'failed' THEN concat_ws(' ', 'failed', r.response_status) ELSE 'abandoned' END,
        excluded.token, excluded.fingerprint, excluded.lease_until, r.created_at,
        excluded.updated_at, excluded.expires_at, NULL, NULL, NULL, NULL, NULL, NULL
      WHERE yields AND NOT expired
      UNION ALL SELECT
        r.status, r.attempt, r.previous, r.token, r.fingerprint, r.lease_until, r.created_at, r.updated_at, r.expires_at,
        r.response_status, r.response_headers, r.response_trailers, r.response_request_id, r.response_body,
        r.response_missing
      WHERE NOT yields AND NOT expired
    ) AS next
  )
  RETURNING r.*
)
SELECT
  status, attempt, previous, token, fingerprint, coalesce(lease_until <= clock.now, false) AS lapsed,
  response_status, response_headers, response_trailers, response_request_id, response_body, response_missing
FROM (SELECT * FROM standing UNION ALL SELECT * FROM made) AS found, clock
