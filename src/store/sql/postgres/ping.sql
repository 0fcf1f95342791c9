-- Reads nothing, and fails if the table is not there or may not be read.
SELECT FROM {records} LIMIT 0
