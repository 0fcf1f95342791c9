-- (no table), or version 2 -> version 3. Applies once. If version 3 is there, this changes nothing.
-- There is one constraint only. Every statement that writes reads each constraint from the
-- catalogue, and five of them were a sixth of the work of the server. The other rules for a row are
-- checked when it is read.
-- It is one transaction, sent as one text or run between BEGIN and COMMIT. Of several processes that
-- begin at once, one makes the table, or adds the columns that version 2 does not have. To add them
-- needs the table to itself for a moment, so this looks first. Columns that may be null are not
-- written into the rows that are there.
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
  response_missing text,
  namespace text,
  route text,
  scope bytea
);
CREATE INDEX IF NOT EXISTS {index} ON {records} (expires_at);
DO $$ BEGIN
  IF obj_description('{records}'::regclass, 'pg_class') = 'tower-idempotency 2' THEN
    ALTER TABLE {records}
      ADD COLUMN IF NOT EXISTS namespace text, ADD COLUMN IF NOT EXISTS route text, ADD COLUMN IF NOT EXISTS scope bytea;
  END IF;
END $$;
-- What operators did. `by` and `reason` are in their words.
CREATE TABLE IF NOT EXISTS {audit} (
  key bytea NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  id bytea NOT NULL,
  action text NOT NULL,
  by text NOT NULL,
  reason text NOT NULL,
  was text NOT NULL,
  attempt bigint NOT NULL,
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (key, at, id)
);
CREATE INDEX IF NOT EXISTS {audit_index} ON {audit} (expires_at);
-- For people.
CREATE OR REPLACE VIEW {view} AS
SELECT
  encode(key, 'hex') AS key,
  CASE
    WHEN status = 'failed' THEN 'failed'
    WHEN status = 'pending' AND lease_until <= statement_timestamp() THEN 'abandoned'
    WHEN status = 'pending' THEN 'in-flight'
    WHEN response_missing NOT IN ('omitted', 'packed') THEN 'not-retained'
    ELSE 'success'
  END AS state,
  attempt,
  status = 'failed' OR status = 'pending' AND (attempt > 1 OR lease_until <= statement_timestamp()) AS in_doubt,
  namespace,
  route,
  encode(scope, 'hex') AS scope,
  statement_timestamp() - created_at AS reserved_ago,
  statement_timestamp() - updated_at AS changed_ago,
  least(expires_at, timestamptz '9999-12-31') - statement_timestamp() AS expires_in,
  response_status,
  octet_length(response_body) AS response_bytes
FROM {records} WHERE expires_at > statement_timestamp();
COMMENT ON TABLE {records} IS 'tower-idempotency 3';
