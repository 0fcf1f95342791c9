-- Returns the record of a key, and changes nothing. $1 key
SELECT
  status, attempt, token, fingerprint, coalesce(lease_until <= clock_timestamp(), false) AS lapsed,
  response_status, response_headers, response_trailers, response_request_id, response_body, response_missing
FROM {records} WHERE key = $1::bytea AND expires_at > clock_timestamp()
