-- Counts the records by state, those of an attempt after the first by themselves. Changes nothing, and
-- reads the whole table without the responses. `oldest` is in microseconds.
SELECT
    CASE
        WHEN status = 'failed' THEN 'failed'
        WHEN status = 'pending' AND lease_until <= datetime('now', 'subsec') THEN 'abandoned'
        WHEN status = 'pending' THEN 'in-flight'
        WHEN response_missing NOT IN ('omitted', 'packed') THEN 'not-retained'
        ELSE 'success'
    END AS state,
    attempt > 1 AS again, count(*) AS records, coalesce(sum(length(response_body)), 0) AS bytes,
    CAST((unixepoch('now', 'subsec') - unixepoch(min(updated_at), 'subsec')) * 1000000 AS INTEGER) AS oldest
FROM {records} WHERE expires_at > datetime('now', 'subsec')
GROUP BY 1, 2
