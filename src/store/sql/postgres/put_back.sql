-- pending -> failed, or pending -> abandoned: nothing happened, and the record becomes what it was
-- before this attempt took it over. An abandoned one is pending, and its lease has lapsed already.
-- Applies while the record is pending under the caller's token.
-- $1 key   $2 token   $3 failed or pending   $4 retention in ms
-- $5 to $10 the columns of the response   $11 attempt
-- $12 the token of the record that was taken over
UPDATE {records} SET
  status = $3::text,
  attempt = $11::bigint,
  token = $12::bytea,
  lease_until = CASE $3::text WHEN 'pending' THEN clock_timestamp() END,
  updated_at = clock_timestamp(),
  expires_at = clock_timestamp() + $4::bigint * interval '1 ms',
  response_status = $5::bigint::integer,
  response_headers = $6::bytea,
  response_trailers = $7::bytea,
  response_request_id = $8::text,
  response_body = $9::bytea,
  response_missing = $10::text
WHERE key = $1::bytea AND token = $2::bytea AND status = 'pending' AND expires_at > clock_timestamp()
RETURNING true
