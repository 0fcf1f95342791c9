-- Changes nothing. `is_left`: a record is there that expired an hour ago, so that nothing sweeps.
SELECT EXISTS (SELECT 1 FROM {records} WHERE expires_at < datetime('now', '-1 hour', 'subsec')) AS is_left,
       (SELECT synchronous FROM pragma_synchronous) AS synchronous,
       sqlite_version() AS version
