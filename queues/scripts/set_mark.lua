#!lua flags=allow-oom
-- Sets what is known of the database, as it says it itself. The accounts that were used stay known.
-- KEYS: mark (hash), attempts (sorted set)
-- ARGV: server, 1 to set it only where nothing is known, attempts...
-- Returns 1 if it was set
if ARGV[2] == '1' and redis.call('HEXISTS', KEYS[1], 'server') == 1 then return 0 end
local clock = redis.call('TIME')
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('HSET', KEYS[1], 'server', ARGV[1], 'at', clock[1] * 1000 + math.floor(clock[2] / 1000))
for n = 3, #ARGV do redis.call('ZADD', KEYS[2], ARGV[n], ARGV[n]) end
return 1
