#!lua flags=allow-oom
-- Removes finished messages, as far as they are still the caller's: one that the janitor gave to
-- another worker is that worker's to finish.
-- KEYS: in-flight set, messages, tries, deaths
-- ARGV: ids
-- Returns how many were still the caller's
local ours = {}
for _, id in ipairs(ARGV) do
  if redis.call('ZREM', KEYS[1], id) == 1 then ours[#ours + 1] = id end
end
if #ours > 0 then
  redis.call('HDEL', KEYS[2], unpack(ours))
  redis.call('HDEL', KEYS[3], unpack(ours))
  if redis.call('EXISTS', KEYS[4]) == 1 then redis.call('HDEL', KEYS[4], unpack(ours)) end
end
return #ours
