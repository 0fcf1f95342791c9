-- pending -> (no record): nothing happened.
-- Applies while the record is pending under the caller's token, and as the same attempt.
-- $1 key   $2 token   $3 number of the attempt
DELETE FROM {records}
WHERE key = $1::bytea AND token = $2::bytea AND attempt = $3::bigint AND status = 'pending'
  AND expires_at > clock_timestamp()
RETURNING true
