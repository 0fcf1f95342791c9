-- (no table) -> the ledger. Of many processes that start at once, one makes it: `IF NOT EXISTS` alone lets two try.
SELECT pg_advisory_xact_lock(4611031879462910133);
CREATE TABLE IF NOT EXISTS payments (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  key text,
  scope text NOT NULL,
  attempt bigint NOT NULL,
  id text NOT NULL,
  at bigint NOT NULL,
  amount bigint NOT NULL,
  currency text NOT NULL,
  recipient text NOT NULL,
  order_number text
);
