#!lua flags=allow-oom
-- Returns the messages of dead owners to the front of their queues, in order, and counts a death of
-- each: which of them killed the worker is not known here, only that it is one of them.
-- KEYS: heartbeats, grace, queues, apart, workers, quiet
-- ARGV: namespace, gap in ms, timeout in ms
-- Returns {queue, count, queue, count, ...}
local heartbeats, grace, queues = KEYS[1], KEYS[2], KEYS[3]
local namespace, gap, timeout = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- The clock was set back: what it said before starts to age from now.
for _, owner in ipairs(redis.call('ZRANGEBYSCORE', heartbeats, now + gap, '+inf')) do
  redis.call('ZADD', heartbeats, now, owner)
end

-- Nobody is judged while nobody is heard of, nor in the grace that follows (see heartbeat.lua).
local newest = redis.call('ZREVRANGE', heartbeats, 0, 0, 'WITHSCORES')
if not newest[2] or now - tonumber(newest[2]) > gap then return {} end
local until_then = tonumber(redis.call('GET', grace) or '0')
if until_then > now and until_then <= now + timeout then return {} end

local returned = {}
for _, queue in ipairs(redis.call('SMEMBERS', queues)) do
  local base = namespace .. ':' .. queue
  local count = 0
  for _, owner in ipairs(redis.call('SMEMBERS', base .. '.owners')) do
    local beat = redis.call('ZSCORE', heartbeats, owner)
    if not beat or now - tonumber(beat) > timeout then
      local in_flight = base .. '.in_flight.' .. owner
      local ids = redis.call('ZRANGE', in_flight, 0, -1)
      for i = #ids, 1, -1 do
        if redis.call('HEXISTS', base .. '.msgs', ids[i]) == 1 then
          redis.call('LPUSH', base, ids[i])
          redis.call('HINCRBY', base .. '.tries', ids[i], 1)
          redis.call('HINCRBY', base .. '.deaths', ids[i], 1)
          count = count + 1
        end
      end
      redis.call('DEL', in_flight)
      redis.call('SREM', base .. '.owners', owner)
      redis.call('HDEL', KEYS[4], owner)
    end
  end
  if count > 0 then
    returned[#returned + 1] = queue
    returned[#returned + 1] = count
  end
end
-- Every queue was looked at, so nothing needs the heartbeats of the dead any more, or what they said.
for _, owner in ipairs(redis.call('ZRANGEBYSCORE', heartbeats, '-inf', '(' .. (now - timeout))) do
  redis.call('HDEL', KEYS[5], owner)
  redis.call('HDEL', KEYS[6], owner)
  redis.call('ZREM', heartbeats, owner)
end
return returned
