-- pending, abandoned, failed, success -> (no record): an operator says so. Applies while the record is
-- the one that the operator saw. An abandoned one must still be abandoned. Otherwise changes nothing.
-- ?1 key   ?2 token, ?3 status, ?4 attempt and ?5 state that the operator saw
DELETE FROM {records}
WHERE key = ?1 AND token = ?2 AND status = ?3 AND attempt = ?4
  AND expires_at > datetime('now', 'subsec') AND (?5 <> 'abandoned' OR lease_until <= datetime('now', 'subsec'))
