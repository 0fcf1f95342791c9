-- (no table) -> the tables of the shop. Does not change existing ones.
CREATE TABLE IF NOT EXISTS orders (
  id INTEGER PRIMARY KEY,
  account INTEGER NOT NULL,
  item TEXT NOT NULL,
  quantity INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS stock (item TEXT PRIMARY KEY, quantity INTEGER NOT NULL) STRICT;
INSERT INTO stock VALUES ('book', 1000) ON CONFLICT DO NOTHING;
