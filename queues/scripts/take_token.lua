#!lua flags=allow-oom
-- Reserves the next moment of a rate, or says when to come back if that moment is too far away.
-- KEYS: bucket (hash: the next free moment, and the next moment to come back at, in µs)
-- ARGV: µs between two moments, longest wait in µs for which one is reserved, furthest return in µs
-- Returns {1 if a moment is reserved, µs until then} or {0, µs after which to ask again}
local interval, longest, furthest = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local kept = redis.call('HMGET', KEYS[1], 'free', 'back')
local free, back = tonumber(kept[1] or '0'), tonumber(kept[2] or '0')

local function keep(field, moment)
  redis.call('HSET', KEYS[1], field, string.format('%.0f', moment))
  redis.call('PEXPIRE', KEYS[1], math.ceil((longest + furthest + interval) / 1000) + 1000)
end

-- No moment is ever reserved further away than that: the server's clock was set back.
if free > now + longest + interval then free = now end
free = math.max(free, now)
if free - now <= longest then
  keep('free', free + interval)
  return {1, free - now}
end
-- Those who come back later do so one after the other, not all at once.
back = math.min(math.max(back, free), now + furthest)
keep('back', back + interval)
return {0, back - now}
