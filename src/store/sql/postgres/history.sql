-- Returns the latest of what operators did to a key, the oldest first. Changes nothing. `at` is in
-- microseconds. $1 key
SELECT * FROM (
  SELECT id, (extract(epoch FROM at) * 1000000)::bigint AS at, action, by, reason, was, attempt
  FROM {audit} AS entries WHERE key = $1::bytea AND expires_at > statement_timestamp()
  ORDER BY entries.at DESC LIMIT 100
) AS latest ORDER BY at
