-- pending -> success or failed; (no record) -> success or failed. Applies while the record is
-- pending under the caller's token, or there is none. Otherwise changes nothing and returns 0; a
-- body that was written beside the record is removed, unless the record is the caller's, because
-- then it may be its own. Returns 2 if the body must be written anew: the caller sends everything
-- again. Returns 3, and changes nothing, if the body is not there: the server has rejected or
-- evicted it.
-- KEYS[1] record   KEYS[2] body, if it is stored apart
-- ARGV[1] the pending status and token that the record must have   ARGV[2] the new record
-- ARGV[3] its retention in ms   ARGV[4] not empty: the body was removed before

-- At maxmemory a script may go on writing if its first write takes no memory. So a response is
-- stored all the same. All versions have this rule. The flag `allow-oom` does the same, but only
-- from 7.0 on.
local function write(record)
  if KEYS[2] and redis.call('GETRANGE', KEYS[2], 0, 0) == '' then
    return 3
  end
  local written = redis.pcall('SET', KEYS[1], record, 'PX', ARGV[3])
  if written.err then
    if string.find(written.err, 'OOM ', 1, true) then
      redis.call('DEL', KEYS[1])
    end
    redis.call('SET', KEYS[1], record, 'PX', ARGV[3])
  end
  return 1
end

local start = redis.call('GETRANGE', KEYS[1], 0, 54)
local head = string.sub(start, 1, 18)
if head == ARGV[1] then
  -- The number of the attempt stays: it is a higher one after a later attempt was released.
  local record = string.sub(ARGV[2], 1, 51) .. string.sub(start, 52) .. string.sub(ARGV[2], 56)
  return write(record)
end
-- The caller's own write, sent a second time because the first reply was lost.
if head == string.sub(ARGV[2], 1, 18) then
  return 1
end
if head == '' then
  -- The body may be that of an earlier write under this token, whose record has expired.
  if KEYS[2] and ARGV[4] == '' then
    redis.call('UNLINK', KEYS[2])
    return 2
  end
  return write(ARGV[2])
end
if KEYS[2] and string.sub(head, 3) ~= string.sub(ARGV[1], 3) then
  redis.call('UNLINK', KEYS[2])
end
return 0
