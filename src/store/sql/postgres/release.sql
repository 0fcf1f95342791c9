-- pending -> (no record): nothing happened, and this was the first attempt.
-- Applies while the record is pending under the caller's token.
-- $1 key   $2 token
DELETE FROM {records}
WHERE key = $1::bytea AND token = $2::bytea AND status = 'pending' AND expires_at > clock_timestamp()
RETURNING true
