-- pending -> (no record): nothing happened.
-- Applies while the record is pending under the caller's token, for the same request and as the same attempt.
-- Otherwise changes nothing and returns 0.
-- KEYS[1] record   ARGV[1] the start of the pending record that it must have
if redis.call('GETRANGE', KEYS[1], 0, #ARGV[1] - 1) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
