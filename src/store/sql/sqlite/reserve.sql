-- (no record) -> pending: the first attempt. A record that has expired counts as absent, and is
-- overwritten. Applies when the key is free. Otherwise changes nothing.
-- ?1 key   ?2 token   ?3 fingerprint   ?4 lease   ?5 retention   ?6 namespace   ?7 route   ?8 scope
INSERT INTO {records} AS old (
    key, status, attempt, token, fingerprint, lease_until, created_at, updated_at, expires_at, namespace, route, scope
)
VALUES (?1, 'pending', 1, ?2, ?3,
        coalesce(datetime('now', 'subsec', ?4), '9999-12-31 23:59:59.999'),
        datetime('now', 'subsec'),
        datetime('now', 'subsec'),
        coalesce(datetime('now', 'subsec', ?5), '9999-12-31 23:59:59.999'),
        ?6, ?7, ?8)
ON CONFLICT (key) DO UPDATE SET
    status = excluded.status,
    attempt = excluded.attempt,
    token = excluded.token,
    fingerprint = excluded.fingerprint,
    lease_until = excluded.lease_until,
    created_at = excluded.created_at,
    updated_at = excluded.updated_at,
    expires_at = excluded.expires_at,
    namespace = excluded.namespace,
    route = excluded.route,
    scope = excluded.scope,
    response_status = NULL,
    response_headers = NULL,
    response_trailers = NULL,
    response_request_id = NULL,
    response_missing = NULL,
    response_body = NULL
WHERE old.expires_at <= datetime('now', 'subsec')
