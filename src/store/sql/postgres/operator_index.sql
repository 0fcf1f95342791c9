-- (no index) -> the index that finds what operators look for, however many records have succeeded. An
-- update that moves a record out of it needs a new entry in each index, so it is made on request.
-- Every statement of list.rs that can use it repeats its condition word by word.
CREATE INDEX IF NOT EXISTS {operator_index} ON {records} (updated_at, key)
WHERE status <> 'success' OR response_missing NOT IN ('omitted', 'packed');
