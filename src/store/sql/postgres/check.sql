-- Changes nothing. `is_left`: a record is there that expired an hour ago, so that nothing sweeps.
SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now,
       current_setting('synchronous_commit') AS synchronous_commit, current_setting('fsync') AS fsync,
       current_setting('full_page_writes') AS full_page_writes,
       (SELECT relpersistence = 'u' FROM pg_class WHERE oid = '{records}'::regclass) AS is_unlogged,
       EXISTS (SELECT FROM {records} WHERE expires_at < clock_timestamp() - interval '1 hour') AS is_left,
       coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS is_encrypted,
       inet_client_addr() IS NULL OR inet_client_addr() <<= '127.0.0.0/8' OR inet_client_addr() = '::1' AS is_local,
       current_setting('server_version') AS version,
       current_setting('server_version_num')::int >= 130000 AS is_supported,
       pg_is_in_recovery() AS is_standby,
       coalesce(current_setting('client_connection_check_interval', true), '0') AS looks_every,
       current_setting('lock_timeout') AS lock_timeout
