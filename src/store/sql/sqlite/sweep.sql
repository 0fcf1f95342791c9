-- expired -> (no record): a batch of them, the oldest first. ?1 how many at most
DELETE FROM {records}
WHERE rowid IN (
    SELECT rowid FROM {records} WHERE expires_at <= datetime('now', 'subsec') ORDER BY expires_at LIMIT ?1
)
