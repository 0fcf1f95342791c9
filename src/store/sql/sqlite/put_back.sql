-- pending -> failed, or pending -> abandoned: nothing happened, and the record becomes what it was
-- before this attempt took it over. An abandoned one is pending, and its lease has lapsed already.
-- Applies while the record is pending under the caller's token. Otherwise changes nothing.
-- ?1 key   ?2 token   ?3 failed or pending   ?4 retention   ?5 to ?10 the response   ?11 attempt
-- ?12 the token of the record that was taken over
UPDATE {records} SET
    status = ?3,
    attempt = ?11,
    token = ?12,
    lease_until = CASE ?3 WHEN 'pending' THEN datetime('now', 'subsec') END,
    updated_at = datetime('now', 'subsec'),
    expires_at = coalesce(datetime('now', 'subsec', ?4), '9999-12-31 23:59:59.999'),
    response_status = ?5,
    response_headers = ?6,
    response_trailers = ?7,
    response_request_id = ?8,
    response_missing = ?9,
    response_body = ?10
WHERE key = ?1 AND token = ?2 AND status = 'pending' AND expires_at > datetime('now', 'subsec')
