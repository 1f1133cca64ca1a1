#!lua flags=allow-oom
-- Ends the pause of a queue that the caller saw, and no later one.
-- KEYS: paused
-- ARGV: queue, what was seen
-- Returns 1 if it ended
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[1])
