-- expired -> (no entry): a batch of the audit. Applies to entries whose retention is over. It locks
-- nothing before it deletes, because that would need the right to update. $1 the largest number of entries
WITH swept AS (
  DELETE FROM {audit} WHERE (key, at, id) IN (
    SELECT key, at, id FROM {audit} WHERE expires_at <= (SELECT clock_timestamp())
    ORDER BY expires_at LIMIT $1::bigint
  ) RETURNING 1
)
SELECT count(*) AS swept FROM swept
