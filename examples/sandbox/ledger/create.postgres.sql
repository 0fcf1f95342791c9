-- (no table) -> the ledger. The lock lets only one of many starting processes create it, because
-- with `IF NOT EXISTS` alone two of them may try.
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
