-- (no table) -> the ledger. Does not change an existing table.
CREATE TABLE IF NOT EXISTS payments (
  number INTEGER PRIMARY KEY,
  key TEXT,
  scope TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  id TEXT NOT NULL,
  at INTEGER NOT NULL,
  amount INTEGER NOT NULL,
  currency TEXT NOT NULL,
  recipient TEXT NOT NULL,
  order_number TEXT
) STRICT;
