-- pending -> success, or pending -> failed. Applies while the record is pending under the caller's
-- token. If the record already has the new status under the same token, it stays as it is: that is
-- the caller's own write, sent a second time because the first reply was lost. It counts as
-- applied, so the record is written as it is. Both are judged by its newest version, not by the
-- snapshot, because the first one may still be on its way. `expires_at` is in an index. An update
-- that leaves it unchanged can take place within the page, and needs no new entry in any index
-- (HOT). So a pending record gets 1.6 % more than its retention, and here it stays as it is if that
-- lies between the retention and that much more.
-- $1 key   $2 token   $3 success or failed   $4 retention in ms   $5 and the following: the columns of the response
UPDATE {records} SET
  status = $3::text,
  lease_until = NULL,
  updated_at = CASE status WHEN 'pending' THEN clock_timestamp() ELSE updated_at END,
  expires_at = CASE
    WHEN status <> 'pending' THEN expires_at
    WHEN expires_at BETWEEN clock_timestamp() + $4::bigint * interval '1 ms'
      AND clock_timestamp() + $4::bigint * interval '1.016 ms' THEN expires_at
    ELSE clock_timestamp() + $4::bigint * interval '1 ms'
  END,
  response_status = CASE status WHEN 'pending' THEN $5::bigint::integer ELSE response_status END,
  response_headers = CASE status WHEN 'pending' THEN $6::bytea ELSE response_headers END,
  response_trailers = CASE status WHEN 'pending' THEN $7::bytea ELSE response_trailers END,
  response_request_id = CASE status WHEN 'pending' THEN $8::text ELSE response_request_id END,
  response_body = CASE status WHEN 'pending' THEN $9::bytea ELSE response_body END,
  response_missing = CASE status WHEN 'pending' THEN $10::text ELSE response_missing END
WHERE key = $1::bytea AND token = $2::bytea AND status IN ('pending', $3::text) AND expires_at > clock_timestamp()
RETURNING true
