-- pending -> pending, its lease and its retention begun anew: the age of a record is read from its
-- remaining time. Both times are written again, because a record that was put back has a lease of 0.
-- Applies while the record is pending under the caller's token. Otherwise changes nothing and
-- returns 0.
-- KEYS[1] record   ARGV[1] the pending status and token it must have
-- ARGV[2] the lease and the retention, as a pending record ends with them
-- ARGV[3] the retention in ms
local start = redis.call('GETRANGE', KEYS[1], 0, 54)
if string.sub(start, 1, 18) ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], start .. ARGV[2], 'PX', ARGV[3])
return 1
