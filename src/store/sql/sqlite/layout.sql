-- (no table) -> the table of the records, version 2 of its layout. Changes nothing where it is
-- there already.
CREATE TABLE IF NOT EXISTS {records} (
    key                 BLOB NOT NULL PRIMARY KEY CHECK (length(key) = 32),
    status              TEXT NOT NULL CHECK (status IN ('pending', 'success', 'failed')),
    attempt             INTEGER NOT NULL CHECK (attempt BETWEEN 1 AND 4294967295),
    token               BLOB NOT NULL CHECK (length(token) = 16),
    fingerprint         BLOB NOT NULL CHECK (length(fingerprint) = 33),
    lease_until         TEXT CHECK ((lease_until IS NOT NULL) = (status = 'pending')),
    created_at          TEXT NOT NULL,
    updated_at          TEXT NOT NULL,
    expires_at          TEXT NOT NULL,
    response_status     INTEGER CHECK (response_status BETWEEN 100 AND 999),
    response_headers    BLOB CHECK ((response_headers IS NULL) = (response_status IS NULL)),
    response_trailers   BLOB,
    response_request_id TEXT,
    response_missing    TEXT,
    response_body       BLOB,
    CHECK (status = 'failed' OR (response_status IS NOT NULL) = (status = 'success'))
) STRICT;
CREATE INDEX IF NOT EXISTS {expires_at} ON {records} (expires_at);
CREATE TABLE IF NOT EXISTS {version} (version INTEGER NOT NULL) STRICT;
INSERT INTO {version} (version) SELECT 2 WHERE NOT EXISTS (SELECT 1 FROM {version});
