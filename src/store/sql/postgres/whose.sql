-- Tells which transaction this is, and the table that the name of the records leads to.
SELECT (date_part('epoch', transaction_timestamp()) * 1000000)::bigint AS mark,
  '{records}'::regclass::oid::bigint AS records
