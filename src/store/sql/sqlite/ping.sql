-- Succeeds if the table can be read.
SELECT EXISTS (SELECT 1 FROM {records})
