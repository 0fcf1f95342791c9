-- pending -> pending, its lease and its retention begun anew. A lease of 0 has lapsed for every later
-- statement: the record is abandoned. `expires_at` moves only when less
-- than the retention is left, and then gets 1.6 % more: see settle.sql. Applies while the record is
-- pending under the caller's token.
-- $1 key   $2 token   $3 lease in ms   $4 retention in ms
UPDATE {records} SET
  lease_until = clock_timestamp() + $3::bigint * interval '1 ms',
  updated_at = clock_timestamp(),
  expires_at = CASE
    WHEN expires_at BETWEEN clock_timestamp() + $4::bigint * interval '1 ms'
      AND clock_timestamp() + $4::bigint * interval '1.016 ms' THEN expires_at
    ELSE clock_timestamp() + $4::bigint * interval '1.016 ms'
  END
WHERE key = $1::bytea AND token = $2::bytea AND status = 'pending' AND expires_at > clock_timestamp()
RETURNING true
