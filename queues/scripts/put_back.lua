#!lua
-- Puts dead letters at the end of their queue under new ids, and forgets them among the dead. A new id that lies
-- there already is left as it is: whoever asks again, because the answer was lost, queues nothing twice.
-- KEYS: list, messages, dead set, dead messages, dead reasons, dead counts
-- ARGV: id, new id, message, and so on
for n = 1, #ARGV, 3 do
  local id, fresh = ARGV[n], ARGV[n + 1]
  if redis.call('HSETNX', KEYS[2], fresh, ARGV[n + 2]) == 1 then redis.call('RPUSH', KEYS[1], fresh) end
  redis.call('ZREM', KEYS[3], id)
  for k = 4, 6 do redis.call('HDEL', KEYS[k], id) end
end
