-- (no index) -> the index that finds what operators look for, however many records have succeeded.
-- Every statement that can use it repeats its condition word by word.
CREATE INDEX IF NOT EXISTS {operators} ON {records} (updated_at, key)
WHERE (status <> 'success' OR response_missing NOT IN ('omitted', 'packed'));
