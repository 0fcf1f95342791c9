-- Tells which transaction this is. It names no table, so neither the role nor the search path of the handler matters.
SELECT (date_part('epoch', transaction_timestamp()) * 1000000)::bigint AS mark
