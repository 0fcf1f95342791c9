-- failed -> pending, or abandoned -> pending: the next attempt. Applies while the record is still
-- the one that the caller read and, for a pending one, no renewal has come in between. The token
-- alone does not show that, because a released attempt puts a record back under its old token.
-- Otherwise returns the record and its remaining time, and changes nothing.
-- KEYS[1] record   ARGV[1] what it must begin with: all of a pending record, and all before the
-- rest of a failed one
-- ARGV[2] the remaining time in ms at which its lease has lapsed; empty for a failed record
-- ARGV[3] the new pending record   ARGV[4] its retention in ms
local found = redis.call('GET', KEYS[1])
if not found then
  return {0, false, -2}
end
local left = redis.call('PTTL', KEYS[1])
if string.sub(found, 1, #ARGV[1]) == ARGV[1] and (ARGV[2] == '' or (left >= 0 and left <= tonumber(ARGV[2]))) then
  redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
  return {1, false, -2}
end
-- The caller's own write, sent a second time because the first reply was lost.
if string.sub(found, 1, 18) == string.sub(ARGV[3], 1, 18) then
  return {1, false, -2}
end
return {0, found, left}
