-- (no entry) -> an entry of the audit, in the transaction of the change that it is about.
-- ?1 key   ?2 id   ?3 action   ?4 by   ?5 reason   ?6 was   ?7 attempt   ?8 how long the entry stays
INSERT INTO {audit} (key, at, id, action, by, reason, was, attempt, expires_at)
VALUES (?1, datetime('now', 'subsec'), ?2, ?3, ?4, ?5, ?6, ?7,
        coalesce(datetime('now', 'subsec', ?8), '9999-12-31 23:59:59.999'))
