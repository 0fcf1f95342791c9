-- Returns the record of a key, and whether its lease has lapsed. An expired record counts as
-- absent. ?1 key
SELECT status, attempt, token, fingerprint,
       coalesce(lease_until <= datetime('now', 'subsec'), 0) AS lapsed,
       response_status, response_headers, response_trailers, response_request_id, response_missing, response_body
FROM {records}
WHERE key = ?1 AND expires_at > datetime('now', 'subsec')
