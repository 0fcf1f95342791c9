-- pending -> pending, its lease and its retention begun anew: the age of a record is read from its remaining time.
-- Applies while the record is pending under the caller's token. Otherwise changes nothing and returns 0.
-- KEYS[1] record   ARGV[1] the pending status and token it must have   ARGV[2] its retention in ms
if redis.call('GETRANGE', KEYS[1], 0, 17) == ARGV[1] then
  return redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 0
