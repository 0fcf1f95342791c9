-- Counts the records by state, those of an attempt after the first by themselves. Changes nothing, and
-- reads the whole table without the responses. `oldest` is in microseconds.
SELECT
  CASE
    WHEN status = 'failed' THEN 'failed'
    WHEN status = 'pending' AND lease_until <= statement_timestamp() THEN 'abandoned'
    WHEN status = 'pending' THEN 'in-flight'
    WHEN response_missing NOT IN ('omitted', 'packed') THEN 'not-retained'
    ELSE 'success'
  END AS state,
  attempt > 1 AS again, count(*) AS records, coalesce(sum(octet_length(response_body)), 0)::bigint AS bytes,
  (extract(epoch FROM statement_timestamp() - min(updated_at)) * 1000000)::bigint AS oldest
FROM {records} WHERE expires_at > statement_timestamp()
GROUP BY 1, 2
