-- Returns a row if the attempt has ended as the caller asks: it is the caller's own write, sent a
-- second time.
-- ?1 key   ?2 token   ?3 the status that it must have
SELECT 1 FROM {records}
WHERE key = ?1 AND token = ?2 AND status = ?3 AND expires_at > datetime('now', 'subsec')
