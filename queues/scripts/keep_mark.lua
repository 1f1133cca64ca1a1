#!lua flags=allow-oom
-- Keeps an attempt beside the server that it was committed on, if that is the server that is known here.
-- KEYS: mark (hash: server, and when it was kept last in ms), attempts (sorted set of numbers by themselves),
--       accounts (sorted set of names by when they were used last, in ms)
-- ARGV: server, how many attempts to keep, attempt, account that it goes through or ''
-- Returns 1 if it is kept, 0 if nothing is known here, or -1 if another server is
local known = redis.call('HGET', KEYS[1], 'server')
if not known then return 0 end
if known ~= ARGV[1] then return -1 end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('HSET', KEYS[1], 'at', now)
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[3])
redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -(ARGV[2] + 1))
if ARGV[4] ~= '' then redis.call('ZADD', KEYS[3], now, ARGV[4]) end
return 1
