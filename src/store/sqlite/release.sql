-- pending -> (no record): nothing happened.
-- Applies while the record is pending under the caller's token, and as the same attempt. Otherwise changes nothing.
-- ?1 key   ?2 token   ?3 attempt
DELETE FROM {records}
WHERE key = ?1 AND token = ?2 AND attempt = ?3 AND status = 'pending' AND expires_at > datetime('now', 'subsec')
