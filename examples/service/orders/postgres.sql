-- (no table) -> the tables of the shop. Does not change existing ones.
CREATE TABLE IF NOT EXISTS orders (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  account bigint NOT NULL,
  item text NOT NULL,
  quantity integer NOT NULL
);
CREATE TABLE IF NOT EXISTS stock (item text PRIMARY KEY, quantity integer NOT NULL);
INSERT INTO stock VALUES ('book', 1000) ON CONFLICT DO NOTHING;
