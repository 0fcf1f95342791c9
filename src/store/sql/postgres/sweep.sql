-- expired -> (no record): a batch of them. Applies to records whose retention is over and that no
-- other transaction has locked. Two sweeps at once take different ones. A record that was reserved
-- again since is judged again when it is locked, and stays. The list is made once, in an array,
-- because a join could make it again and take more than a batch. The clock is read once, because no
-- index can be used against a time that changes. A sweep that goes on says where the batch before
-- ended. The index still has an entry for each deleted record, as long as a transaction is open
-- that may see it. Each would be read again.
-- $1 the largest number of records   $2 the youngest `expires_at` of the batch before, in microseconds; null: none
WITH swept AS (
  DELETE FROM {records} WHERE key = ANY (ARRAY(
    SELECT key FROM {records} WHERE expires_at <= (SELECT clock_timestamp())
      AND expires_at >= coalesce(timestamptz 'epoch' + $2::bigint * interval '1 us', '-infinity')
    ORDER BY expires_at LIMIT $1::bigint FOR UPDATE SKIP LOCKED
  )) RETURNING expires_at
)
SELECT count(*) AS swept, floor(extract(epoch FROM max(expires_at)) * 1000000)::bigint AS last FROM swept
