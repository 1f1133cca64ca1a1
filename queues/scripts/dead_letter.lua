#!lua flags=allow-oom
-- Moves a message to the dead letters, bytes as they are, if it is still the caller's.
-- KEYS: in-flight set, messages, tries, deaths, dead set, dead messages, dead reasons, dead counts
-- ARGV: id, reason, attempts
-- Returns 1 if it was
local id = ARGV[1]
if redis.call('ZREM', KEYS[1], id) == 0 then return 0 end
local message = redis.call('HGET', KEYS[2], id)
if message then
  local clock = redis.call('TIME')
  redis.call('ZADD', KEYS[5], clock[1] * 1000 + math.floor(clock[2] / 1000), id)
  redis.call('HSET', KEYS[6], id, message)
  redis.call('HSET', KEYS[7], id, ARGV[2])
  redis.call('HSET', KEYS[8], id, ARGV[3] .. ' ' .. (redis.call('HGET', KEYS[4], id) or '0'))
  redis.call('HDEL', KEYS[2], id)
end
redis.call('HDEL', KEYS[3], id)
redis.call('HDEL', KEYS[4], id)
return 1
