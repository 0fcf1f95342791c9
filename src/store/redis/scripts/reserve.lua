-- (no record) -> pending, on servers before 7.0, whose SET cannot both create a record and return
-- an existing one. Applies when the key is free. Otherwise returns the record, and changes nothing.
-- KEYS[1] record   ARGV[1] the pending record   ARGV[2] its retention in ms
local found = redis.call('GET', KEYS[1])
if not found then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return found
