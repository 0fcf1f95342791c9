-- pending -> (no record), or pending -> the record that the attempt took over: nothing happened.
-- Applies while the record is pending under the caller's token. Otherwise changes nothing and
-- returns 0.
-- KEYS[1] record   ARGV[1] the pending status and token it must have
-- ARGV[2] the record to put back; empty to leave none   ARGV[3] its retention in ms
if redis.call('GETRANGE', KEYS[1], 0, 17) ~= ARGV[1] then
  return 0
end
if ARGV[2] == '' then
  return redis.call('DEL', KEYS[1])
end
-- At maxmemory a script may go on writing if its first write takes no memory.
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
