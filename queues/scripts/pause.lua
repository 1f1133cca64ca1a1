#!lua flags=allow-oom
-- Pauses a queue, unless it is paused: also at the memory limit, where stopping is wanted most.
-- KEYS: paused
-- ARGV: queue, who and why as JSON without its closing brace
-- Returns {1 if it was not paused before, what is there now}
local clock = redis.call('TIME')
local was = redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2] .. ', "at": ' .. clock[1] .. '}')
return {was, redis.call('HGET', KEYS[1], ARGV[1])}
