-- (no record) -> pending: the first attempt. Applies when there is no row for the key. Otherwise it
-- returns the whole row, expired or not, and writes nothing.
-- $1 key   $2 token drawn by the caller   $3 fingerprint   $4 lease in ms   $5 retention in ms
-- $6 namespace   $7 route   $8 scope
--
-- The record gets 1.6 % more than its retention: see settle.sql.
--
-- The snapshot finds a row that was committed before. Then nothing is inserted or locked, so a
-- replay is a read. Otherwise the insertion decides. Of several callers one inserts, and each of
-- the others waits for it and finds the newest version of that row. It writes the row unchanged,
-- because only a written row is returned. So no caller asks twice. The time is the start of the
-- statement, and the same in every column. A caller that had to wait reads an older time. It
-- may take a lease that has just lapsed for alive, never the other way round.
WITH found AS MATERIALIZED (
  SELECT
    status, attempt, token, fingerprint, coalesce(lease_until <= statement_timestamp(), false) AS lapsed,
    expires_at <= statement_timestamp() AS expired, response_status, response_headers, response_trailers,
    response_request_id, response_body, response_missing
  FROM {records} WHERE key = $1::bytea
), made AS (
  INSERT INTO {records} AS r (
    key, status, attempt, token, fingerprint, lease_until, created_at, updated_at, expires_at, namespace, route, scope
  )
  SELECT
    $1::bytea, 'pending', 1, $2::bytea, $3::bytea, statement_timestamp() + $4::bigint * interval '1 ms',
    statement_timestamp(), statement_timestamp(), statement_timestamp() + $5::bigint * interval '1.016 ms',
    $6::text, $7::text, $8::bytea
  WHERE NOT EXISTS (SELECT FROM found)
  ON CONFLICT (key) DO UPDATE SET status = r.status
  RETURNING
    status, attempt, token, fingerprint, coalesce(lease_until <= statement_timestamp(), false),
    expires_at <= statement_timestamp(), response_status, response_headers, response_trailers,
    response_request_id, response_body, response_missing
)
SELECT * FROM found UNION ALL SELECT * FROM made
