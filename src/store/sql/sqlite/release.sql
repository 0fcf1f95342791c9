-- pending -> (no record): nothing happened, and this was the first attempt.
-- Applies while the record is pending under the caller's token. Otherwise changes nothing.
-- ?1 key   ?2 token
DELETE FROM {records}
WHERE key = ?1 AND token = ?2 AND status = 'pending' AND expires_at > datetime('now', 'subsec')
