#!lua flags=allow-oom
-- Puts messages in the place of one, at the front of the queue and in order, if it is still the
-- caller's. Each is a suspect of one death: one of them killed the workers that held all of them.
-- KEYS: list, messages, in-flight set, tries, deaths
-- ARGV: id, then an id and a message for each part
-- Returns 1 if it was
local list, messages, in_flight, tries, deaths = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
if redis.call('ZREM', in_flight, ARGV[1]) == 0 then return 0 end
for _, key in ipairs({messages, tries, deaths}) do redis.call('HDEL', key, ARGV[1]) end
for i = #ARGV - 1, 2, -2 do
  redis.call('HSET', messages, ARGV[i], ARGV[i + 1])
  redis.call('LPUSH', list, ARGV[i])
  redis.call('HSET', tries, ARGV[i], 1)
  redis.call('HSET', deaths, ARGV[i], 1)
end
return 1
