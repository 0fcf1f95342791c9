SELECT pg_advisory_xact_lock(8245904316025180273);
CREATE TABLE IF NOT EXISTS idempotency_records (
  key bytea PRIMARY KEY,
  status text NOT NULL CHECK (status IN ('pending', 'success', 'failed')),
  attempt bigint NOT NULL,
  token bytea NOT NULL,
  fingerprint bytea NOT NULL,
  lease_until timestamptz,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at timestamptz NOT NULL,
  response_status integer,
  response_headers bytea,
  response_trailers bytea,
  response_request_id text,
  response_body bytea,
  response_missing text
);
CREATE INDEX IF NOT EXISTS idempotency_records_expires_at ON idempotency_records (expires_at);
COMMENT ON TABLE idempotency_records IS 'tower-idempotency 2';
INSERT INTO idempotency_records (
  key, status, attempt, token, fingerprint, lease_until, expires_at, response_status, response_headers, response_body
)
SELECT
  sha256(convert_to(status, 'UTF8')), status, 1, substr(sha256(convert_to(status, 'UTF8')), 1, 16),
  decode(repeat('01', 33), 'hex'), CASE status WHEN 'pending' THEN now() + interval '1 hour' END,
  now() + interval '1 day', CASE status WHEN 'success' THEN 201 END, CASE status WHEN 'success' THEN ''::bytea END,
  CASE status WHEN 'success' THEN 'paid'::bytea END
FROM unnest(ARRAY['pending', 'failed', 'success']) AS status;
