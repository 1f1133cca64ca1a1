#!lua flags=allow-oom
-- Says that an owner is alive, and what it is at.
-- KEYS: heartbeats, grace, workers
-- ARGV: owner, gap in ms, timeout in ms, what it says of itself or ''
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
-- When nobody was heard of for a while, the server (or its clock) was away, not the workers: all of
-- them get one full timeout to be heard of again before the janitor judges anyone.
local newest = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if newest[2] and now - tonumber(newest[2]) > tonumber(ARGV[2]) then
  redis.call('SET', KEYS[2], now + tonumber(ARGV[3]))
end
redis.call('ZADD', KEYS[1], now, ARGV[1])
if ARGV[4] ~= '' then redis.call('HSET', KEYS[3], ARGV[1], ARGV[4]) end
return now
