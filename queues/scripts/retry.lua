#!lua flags=allow-oom
-- Puts a failed message aside until its backoff is over, if it is still the caller's.
-- KEYS: in-flight set, later, tries
-- ARGV: id, backoff in ms
-- Returns 1 if it was
if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then return 0 end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('ZADD', KEYS[2], now + tonumber(ARGV[2]), ARGV[1])
redis.call('HINCRBY', KEYS[3], ARGV[1], 1)
return 1
