-- Changes nothing, and fails on a file that takes no writes: no key is null.
DELETE FROM {records} WHERE key IS NULL
