-- pending, abandoned, failed, success -> success or failed: an operator says so. Applies as free.sql
-- does. The record gets the id of the audit entry as its token, so that the attempt has lost its lease.
-- ?1 key   ?2 token, ?3 status, ?4 attempt and ?5 state that the operator saw
-- ?6 id   ?7 success or failed   ?8 retention   ?9 to ?14 the response
UPDATE {records} SET
    status = ?7,
    token = ?6,
    lease_until = NULL,
    updated_at = datetime('now', 'subsec'),
    expires_at = coalesce(datetime('now', 'subsec', ?8), '9999-12-31 23:59:59.999'),
    response_status = ?9,
    response_headers = ?10,
    response_trailers = ?11,
    response_request_id = ?12,
    response_missing = ?13,
    response_body = ?14
WHERE key = ?1 AND token = ?2 AND status = ?3 AND attempt = ?4
  AND expires_at > datetime('now', 'subsec') AND (?5 <> 'abandoned' OR lease_until <= datetime('now', 'subsec'))
