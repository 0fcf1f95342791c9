-- Tells whether there is a table of that name, and what its comment says. `indexed`: whether the
-- index for operators is valid; null if there is none. It changes nothing.
SELECT obj_description(records, 'pg_class') AS says, records IS NOT NULL AS is_there, (
  SELECT indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
  WHERE indrelid = records AND relname = '{operator_index}'
) AS indexed
FROM (SELECT to_regclass('{records}') AS records) AS one
