-- pending -> pending, its lease and its retention begun anew: the age of a record is read from its
-- remaining time. A lease of 0 has lapsed at once. What comes after the number of the attempt is
-- written again if it differs: a record that was given up or put back has a lease of 0, and one with
-- a label the time since its reservation.
-- Otherwise only the remaining time changes.
-- Applies while the record is pending under the caller's token. Otherwise changes nothing and
-- returns 0.
-- KEYS[1] record   ARGV[1] the pending status and token it must have
-- ARGV[2] the lease and the retention as they are in the record, and what comes after them
-- ARGV[3] the retention in ms
local found = redis.call('GETRANGE', KEYS[1], 0, 54 + #ARGV[2])
if string.sub(found, 1, 18) ~= ARGV[1] then
  return 0
end
local renewed = string.sub(found, 1, 55) .. ARGV[2]
if renewed == found then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
else
  -- At maxmemory a script may go on writing if its first write takes no memory.
  redis.call('DEL', KEYS[1])
  redis.call('SET', KEYS[1], renewed, 'PX', ARGV[3])
end
return 1
