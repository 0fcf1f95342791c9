-- Returns a row if an operator has made this change before. Changes nothing. ?1 key   ?2 id
SELECT 1 FROM {audit} WHERE key = ?1 AND id = ?2 AND expires_at > datetime('now', 'subsec') LIMIT 1
