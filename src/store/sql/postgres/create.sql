-- (no table) -> version 2. Applies once; when the table is there, this changes nothing. One
-- constraint only: each is read anew from the catalogue by every statement that writes, and five of
-- them were a sixth of the work of the server. What else must hold of a row is checked when it is
-- read. One transaction, whether it is sent as one text or run between BEGIN and COMMIT: of many
-- who begin at once, one does it.
SELECT pg_advisory_xact_lock(8245904316025180273);
{schema}CREATE TABLE IF NOT EXISTS {records} (
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
CREATE INDEX IF NOT EXISTS {index} ON {records} (expires_at);
COMMENT ON TABLE {records} IS 'tower-idempotency 2';
