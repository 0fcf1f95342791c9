-- version 2 -> version 3 of the layout. Fails where it was done before, because SQLite adds no column
-- "if not exists". So the store looks first, in the same transaction.
ALTER TABLE {records} ADD COLUMN namespace TEXT;
ALTER TABLE {records} ADD COLUMN route TEXT;
ALTER TABLE {records} ADD COLUMN scope BLOB CHECK (length(scope) = 16);
UPDATE {version} SET version = 3;
