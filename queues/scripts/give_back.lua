#!lua flags=allow-oom
-- Returns to the front of the queue, in its order, what the owner's in-flight set holds and its
-- process does not.
-- KEYS: list, messages, in-flight set, tries
-- ARGV: 1 to count a try, ids that the process holds
-- Returns how many went back
local held = {}
for i = 2, #ARGV do held[ARGV[i]] = true end
local ids = redis.call('ZRANGE', KEYS[3], 0, -1)
local returned = 0
for i = #ids, 1, -1 do
  local id = ids[i]
  if not held[id] then
    redis.call('ZREM', KEYS[3], id)
    if redis.call('HEXISTS', KEYS[2], id) == 1 then
      redis.call('LPUSH', KEYS[1], id)
      if ARGV[1] == '1' then redis.call('HINCRBY', KEYS[4], id, 1) end
      returned = returned + 1
    end
  end
end
return returned
