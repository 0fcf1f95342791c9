CREATE TABLE IF NOT EXISTS idempotency_records (
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
CREATE INDEX IF NOT EXISTS idempotency_records_expires_at ON idempotency_records (expires_at);
CREATE TABLE IF NOT EXISTS idempotency_records_version (version INTEGER NOT NULL) STRICT;
INSERT INTO idempotency_records_version (version) SELECT 2 WHERE NOT EXISTS (SELECT 1 FROM idempotency_records_version);
INSERT INTO idempotency_records (
    key, status, attempt, token, fingerprint, lease_until, created_at, updated_at, expires_at, response_status,
    response_headers, response_body
)
SELECT randomblob(32), status, 1, randomblob(16), randomblob(33), lease_until, datetime('now', 'subsec'),
       datetime('now', 'subsec'), '9999-12-31 23:59:59.999', response_status, headers, body
FROM (
    SELECT 'pending' AS status, '9999-12-31 23:59:59.999' AS lease_until, NULL AS response_status, NULL AS headers,
           NULL AS body
    UNION ALL SELECT 'failed', NULL, NULL, NULL, NULL
    UNION ALL SELECT 'success', NULL, 201, x'', CAST('paid' AS BLOB)
);
