-- expired -> pending: the first attempt. failed -> pending, or abandoned -> pending: the next
-- attempt.
-- Applies while the row is still the one that the caller was told of: the same token and attempt,
-- in the same state. One that was taken over, renewed, settled or put back since is judged by its
-- newest version, and stays. Under the caller's own token it is the caller's own write, sent a
-- second time because the first reply was lost.
-- The record gets 1.6 % more than its retention: see settle.sql.
-- $1 key   $2 token drawn by the caller   $3 fingerprint   $4 lease in ms   $5 retention in ms
-- $6 number of the attempt   $7 the token that was found   $8 the state that was found: expired, failed or abandoned
-- $9 the attempt that was found; null if the record has expired   $10 namespace   $11 route   $12 scope
UPDATE {records} SET
  status = 'pending',
  attempt = $6::bigint,
  token = $2::bytea,
  fingerprint = $3::bytea,
  lease_until = statement_timestamp() + $4::bigint * interval '1 ms',
  created_at = CASE $8::text WHEN 'expired' THEN statement_timestamp() ELSE created_at END,
  updated_at = statement_timestamp(),
  expires_at = statement_timestamp() + $5::bigint * interval '1.016 ms',
  response_status = NULL,
  response_headers = NULL,
  response_trailers = NULL,
  response_request_id = NULL,
  response_body = NULL,
  response_missing = NULL,
  namespace = $10::text,
  route = $11::text,
  scope = $12::bytea
WHERE key = $1::bytea AND (token = $2::bytea OR token = $7::bytea AND CASE $8::text
  WHEN 'expired' THEN expires_at <= statement_timestamp()
  WHEN 'failed' THEN expires_at > statement_timestamp() AND attempt = $9::bigint AND status = 'failed'
  ELSE expires_at > statement_timestamp() AND attempt = $9::bigint AND status = 'pending'
    AND lease_until <= statement_timestamp()
END)
RETURNING true
