-- pending -> success, or pending -> failed.
-- Applies while the record is pending under the caller's token. Otherwise changes nothing.
-- ?1 key   ?2 token   ?3 the new status   ?4 retention   ?5 to ?10 the response
UPDATE {records} SET
    status = ?3,
    lease_until = NULL,
    updated_at = datetime('now', 'subsec'),
    expires_at = coalesce(datetime('now', 'subsec', ?4), '9999-12-31 23:59:59.999'),
    response_status = ?5,
    response_headers = ?6,
    response_trailers = ?7,
    response_request_id = ?8,
    response_missing = ?9,
    response_body = ?10
WHERE key = ?1 AND token = ?2 AND status = 'pending' AND expires_at > datetime('now', 'subsec')
