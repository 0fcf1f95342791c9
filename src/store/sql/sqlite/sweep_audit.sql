-- expired -> (no entry): a batch of the audit, the oldest first. ?1 how many at most
DELETE FROM {audit}
WHERE rowid IN (
    SELECT rowid FROM {audit} WHERE expires_at <= datetime('now', 'subsec') ORDER BY expires_at LIMIT ?1
)
