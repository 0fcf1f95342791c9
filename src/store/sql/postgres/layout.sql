-- Tells whether there is a table of that name, and what its comment says. It changes nothing.
SELECT obj_description(to_regclass('{records}'), 'pg_class') AS says, to_regclass('{records}') IS NOT NULL AS is_there
