-- Describes records to operators, without their responses. Changes nothing. The store adds which ones
-- it wants, and in which order. Times are in microseconds. `place` is where a record is in a list.
SELECT
    key, status, attempt, token, fingerprint, coalesce(lease_until <= datetime('now', 'subsec'), 0) AS lapsed,
    response_status, response_missing, coalesce(length(response_body), 0) AS bytes, namespace, route, scope,
    CAST((unixepoch('now', 'subsec') - unixepoch(created_at, 'subsec')) * 1000000 AS INTEGER) AS reserved_ago,
    CAST((unixepoch('now', 'subsec') - unixepoch(updated_at, 'subsec')) * 1000000 AS INTEGER) AS changed_ago,
    CAST((unixepoch(expires_at, 'subsec') - unixepoch('now', 'subsec')) * 1000000 AS INTEGER) AS expires_in,
    updated_at AS place
FROM {records} WHERE expires_at > datetime('now', 'subsec')
