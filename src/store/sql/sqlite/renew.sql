-- pending -> pending, its lease and its retention begun anew. A lease of 0 has lapsed at once: the
-- record is abandoned.
-- Applies while the record is pending under the caller's token. Otherwise changes nothing.
-- ?1 key   ?2 token   ?3 lease   ?4 retention
UPDATE {records} SET
    lease_until = coalesce(datetime('now', 'subsec', ?3), '9999-12-31 23:59:59.999'),
    updated_at = datetime('now', 'subsec'),
    expires_at = coalesce(datetime('now', 'subsec', ?4), '9999-12-31 23:59:59.999')
WHERE key = ?1 AND token = ?2 AND status = 'pending' AND expires_at > datetime('now', 'subsec')
