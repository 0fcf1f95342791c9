-- expired -> (no record): a batch of them.
-- Applies to records whose retention is over and that nobody else has in hand. Two who sweep side by side take different
-- ones. A record that was reserved anew since it was looked for is judged again when it is locked, and stays. The list is
-- made once, in an array, because a join could make it again and take more than a batch; and the clock is read once, for
-- the index is of no use against a time that changes.
-- $1 the largest number of records
WITH swept AS (
  DELETE FROM {records} WHERE key = ANY (ARRAY(
    SELECT key FROM {records} WHERE expires_at <= (SELECT clock_timestamp())
    ORDER BY expires_at LIMIT $1::bigint FOR UPDATE SKIP LOCKED
  )) RETURNING true
)
SELECT count(*) AS swept FROM swept
