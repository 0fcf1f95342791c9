-- (no table) -> the table of the records, version 3 of its layout, that of the audit, and a
-- view for people. Changes nothing where they are there already. The body comes last, so that no
-- other column is read past it.
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
    namespace           TEXT,
    route               TEXT,
    scope               BLOB CHECK (length(scope) = 16),
    response_body       BLOB,
    CHECK (status = 'failed' OR (response_status IS NOT NULL) = (status = 'success'))
) STRICT;
CREATE INDEX IF NOT EXISTS {expires_at} ON {records} (expires_at);
CREATE TABLE IF NOT EXISTS {audit} (
    key        BLOB NOT NULL CHECK (length(key) = 32),
    at         TEXT NOT NULL,
    id         BLOB NOT NULL CHECK (length(id) = 16),
    action     TEXT NOT NULL,
    by         TEXT NOT NULL,
    reason     TEXT NOT NULL,
    was        TEXT NOT NULL,
    attempt    INTEGER NOT NULL CHECK (attempt BETWEEN 1 AND 4294967295),
    expires_at TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS {audit_key} ON {audit} (key, at);
CREATE INDEX IF NOT EXISTS {audit_expires_at} ON {audit} (expires_at);
CREATE VIEW IF NOT EXISTS {view} AS
SELECT
    lower(hex(key)) AS key,
    CASE
        WHEN status = 'failed' THEN 'failed'
        WHEN status = 'pending' AND lease_until <= strftime('%Y-%m-%d %H:%M:%f', 'now') THEN 'abandoned'
        WHEN status = 'pending' THEN 'in-flight'
        WHEN response_missing NOT IN ('omitted', 'packed') THEN 'not-retained'
        ELSE 'success'
    END AS state,
    attempt,
    status = 'failed' OR status = 'pending' AND (
        attempt > 1 OR lease_until <= strftime('%Y-%m-%d %H:%M:%f', 'now')
    ) AS in_doubt,
    namespace,
    route,
    lower(hex(scope)) AS scope,
    round((julianday('now') - julianday(created_at)) * 86400, 3) AS reserved_seconds_ago,
    round((julianday('now') - julianday(updated_at)) * 86400, 3) AS changed_seconds_ago,
    round((julianday(expires_at) - julianday('now')) * 86400, 3) AS expires_in_seconds,
    response_status,
    length(response_body) AS response_bytes
FROM {records} WHERE expires_at > strftime('%Y-%m-%d %H:%M:%f', 'now');
CREATE TABLE IF NOT EXISTS {version} (version INTEGER NOT NULL) STRICT;
INSERT INTO {version} (version) SELECT 3 WHERE NOT EXISTS (SELECT 1 FROM {version});
