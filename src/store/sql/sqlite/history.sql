-- Returns the latest of what operators did to a key, the oldest first. Changes nothing. `at` is in
-- microseconds. ?1 key
SELECT id, CAST(round(unixepoch(at, 'subsec') * 1000000) AS INTEGER) AS at, action, by, reason, was, attempt
FROM (
    SELECT rowid AS number, * FROM {audit} WHERE key = ?1 AND expires_at > datetime('now', 'subsec')
    ORDER BY rowid DESC LIMIT 100
) ORDER BY number
