-- Cancels what a transaction runs at the moment. Applies while that backend is in that transaction,
-- so a request that comes late meets no other one.
-- $1 number of the backend   $2 when the transaction began, in microseconds
SELECT pg_cancel_backend(pid) FROM pg_stat_activity
WHERE pid = $1::integer AND (date_part('epoch', xact_start) * 1000000)::bigint = $2::bigint
