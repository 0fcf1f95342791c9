-- (no record), or expired -> success or failed: the record of the attempt is gone, and its response
-- is in hand. Applies if the key is free, or the record is pending under the caller's token: a
-- later attempt may just have put it back. A record that already has the new status under the same
-- token is the caller's own write, sent a second time. Otherwise changes nothing.
-- ?1 key   ?2 token   ?3 success or failed   ?4 retention   ?5 to ?10 the response   ?11 fingerprint   ?12 attempt
-- ?13 namespace   ?14 route   ?15 scope
INSERT INTO {records} AS old (
    key, token, status, created_at, updated_at, expires_at, response_status, response_headers, response_trailers,
    response_request_id, response_missing, response_body, fingerprint, attempt, namespace, route, scope
)
VALUES (
    ?1, ?2, ?3, datetime('now', 'subsec'), datetime('now', 'subsec'),
    coalesce(datetime('now', 'subsec', ?4), '9999-12-31 23:59:59.999'), ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12,
    ?13, ?14, ?15
)
ON CONFLICT (key) DO UPDATE SET
    token = excluded.token,
    status = excluded.status,
    lease_until = NULL,
    created_at = excluded.created_at,
    updated_at = excluded.updated_at,
    expires_at = excluded.expires_at,
    response_status = excluded.response_status,
    response_headers = excluded.response_headers,
    response_trailers = excluded.response_trailers,
    response_request_id = excluded.response_request_id,
    response_missing = excluded.response_missing,
    response_body = excluded.response_body,
    fingerprint = excluded.fingerprint,
    namespace = excluded.namespace,
    route = excluded.route,
    scope = excluded.scope,
    attempt = CASE WHEN old.token = excluded.token AND old.expires_at > datetime('now', 'subsec')
        THEN old.attempt ELSE excluded.attempt END
WHERE old.expires_at <= datetime('now', 'subsec')
  OR old.token = excluded.token AND old.status IN ('pending', excluded.status)
