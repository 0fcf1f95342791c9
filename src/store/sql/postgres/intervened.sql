-- Returns a row if an operator has made this change before. Changes nothing. $1 key   $2 id
SELECT true FROM {audit} WHERE key = $1::bytea AND id = $2::bytea AND expires_at > statement_timestamp() LIMIT 1
