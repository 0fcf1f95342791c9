-- Changes nothing. Which of the rights on the table the role has, beside its name.
SELECT current_user::text AS role,
       has_any_column_privilege(records, 'SELECT') AS "SELECT",
       has_any_column_privilege(records, 'INSERT') AS "INSERT",
       has_any_column_privilege(records, 'UPDATE') AS "UPDATE",
       has_table_privilege(records, 'DELETE') AS "DELETE"
FROM (SELECT '{records}'::regclass::oid AS records) AS one
