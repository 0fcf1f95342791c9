-- Tells whether the role may sweep the audit. A service needs no right on it. Changes nothing.
SELECT coalesce(has_table_privilege(audit, 'SELECT') AND has_table_privilege(audit, 'DELETE'), false) AS allowed
FROM (SELECT to_regclass('{audit}')::oid AS audit) AS one
