-- any record -> (no record), success or failed, as an operator has decided. Applies while the record
-- is still the one that the operator saw and, for an abandoned one, no renewal has come in between.
-- Then writes the audit entry too, and returns 1. Otherwise changes no record: returns 0 if it is
-- another one, 2 if the history has the entry already, and 3 if the new body is not there whole.
-- KEYS[1] record   KEYS[2] history   KEYS[3] where the body of the record is, if it is stored apart
-- KEYS[4] the body of the new record, if it is stored apart
-- ARGV[1] what the record must begin with
-- ARGV[2] the remaining time in ms at which its lease has lapsed; empty if it is not abandoned
-- ARGV[3] the new record; empty to leave none   ARGV[4] its retention in ms   ARGV[5] size of its body
-- ARGV[6] the audit entry without the time, which comes behind its id   ARGV[7] how long it stays in ms
local id = string.sub(ARGV[6], 2, 17)
local left = redis.call('PTTL', KEYS[1])
local found = redis.call('GETRANGE', KEYS[1], 0, #ARGV[1] - 1)
local renewed = ARGV[2] ~= '' and (left < 0 or left > tonumber(ARGV[2]))
if found ~= ARGV[1] or renewed then
  -- The body may be that of a record whose audit entry has expired.
  if KEYS[4] and string.sub(found, 3, 18) ~= id then
    redis.call('UNLINK', KEYS[4])
  end
  for _, entry in ipairs(redis.call('LRANGE', KEYS[2], 0, -1)) do
    if string.sub(entry, 2, 17) == id then
      return 2
    end
  end
  return 0
end
-- An earlier try may have left another one, which the caller's did not replace.
if KEYS[4] and redis.call('STRLEN', KEYS[4]) ~= tonumber(ARGV[5]) then
  redis.call('UNLINK', KEYS[4])
  return 3
end

local time = redis.call('TIME')
local at = time[1] .. string.format('%06d', time[2])
local entry = string.sub(ARGV[6], 1, 17) .. string.char(#at) .. at .. string.sub(ARGV[6], 18)
-- At maxmemory a script may go on writing if its first write takes no memory. The history comes
-- first, so that no change is without its entry if the user may not write lists.
redis.call('LTRIM', KEYS[2], -99, -1)
redis.call('RPUSH', KEYS[2], entry)
if redis.call('PTTL', KEYS[2]) < tonumber(ARGV[7]) then
  redis.call('PEXPIRE', KEYS[2], ARGV[7])
end
if ARGV[3] == '' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
end
redis.call('UNLINK', KEYS[3])
return 1
