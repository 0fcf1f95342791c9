-- failed -> pending, or abandoned -> pending: the next attempt.
-- Applies while the record is still the one that the caller read (same token, status and attempt)
-- and, for a pending one, no renewal has come in between. Otherwise changes nothing.
-- ?1 key   ?2 token, ?3 status and ?8 attempt that it must have   ?4 attempt   ?5 token   ?6 lease
-- ?7 retention   ?9 namespace   ?10 route   ?11 scope
UPDATE {records} SET
    status = 'pending',
    attempt = ?4,
    token = ?5,
    lease_until = coalesce(datetime('now', 'subsec', ?6), '9999-12-31 23:59:59.999'),
    updated_at = datetime('now', 'subsec'),
    expires_at = coalesce(datetime('now', 'subsec', ?7), '9999-12-31 23:59:59.999'),
    namespace = ?9,
    route = ?10,
    scope = ?11,
    response_status = NULL,
    response_headers = NULL,
    response_trailers = NULL,
    response_request_id = NULL,
    response_missing = NULL,
    response_body = NULL
WHERE key = ?1 AND token = ?2 AND status = ?3 AND attempt = ?8
  AND (status = 'failed' OR lease_until <= datetime('now', 'subsec'))
  AND expires_at > datetime('now', 'subsec')
