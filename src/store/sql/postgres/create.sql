-- (no table) -> version 2. Applies once. If the table is there, this changes nothing.
-- There is one constraint only. Every statement that writes reads each constraint from the
-- catalogue, and five of them were a sixth of the work of the server. The other rules for a row are
-- checked when it is read.
-- It is one transaction, sent as one text or run between BEGIN and COMMIT. Of several processes that
-- begin at once, one makes the table.
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
