-- failed -> failed, or abandoned -> abandoned, after an attempt in a transaction that was rolled
-- back: only the number of the attempt goes on.
-- Applies while the record is the one that the attempt would have taken over. Otherwise changes
-- nothing.
-- ?1 key   ?2 token of that record   ?3 number of the attempt
UPDATE {records} SET attempt = ?3
WHERE key = ?1 AND token = ?2 AND attempt < ?3 AND status IN ('failed', 'pending')
  AND expires_at > datetime('now', 'subsec')
