-- pending -> success, or pending -> failed.
-- Applies while the record is pending under the caller's token. Otherwise changes nothing and returns 0; a body that
-- was written beside the record is taken back, unless the record is the caller's, for then it may be its own.
-- KEYS[1] record   KEYS[2] body, if it is kept apart   ARGV[1] the pending status and token it must have
-- ARGV[2] the new record   ARGV[3] its retention in ms
local head = redis.call('GETRANGE', KEYS[1], 0, 17)
if head == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
  return 1
end
-- The caller's own write, sent a second time because the first answer was lost.
if head == string.sub(ARGV[2], 1, 18) then
  return 1
end
if KEYS[2] and string.sub(head, 3) ~= string.sub(ARGV[1], 3) then
  redis.call('UNLINK', KEYS[2])
end
return 0
