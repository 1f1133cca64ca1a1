#!lua flags=allow-oom
-- Takes messages from the front of a queue into the owner's in-flight set, in order.
-- KEYS: list, messages, in-flight set, owners, tries, later, heartbeats, queues
-- ARGV: owner, queue name, most messages, most bytes
-- Returns {size of the in-flight set, ms until the next retry is due or -1, ids, messages, tries}
local list, messages, in_flight, owners = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local tries, later, heartbeats, queues = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local owner, queue, most, most_bytes = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- Retries whose backoff is over go before what waits: they were there first.
local due = redis.call('ZRANGEBYSCORE', later, '-inf', now, 'LIMIT', 0, most)
for i = #due, 1, -1 do
  redis.call('ZREM', later, due[i])
  redis.call('LPUSH', list, due[i])
end

local waiting = redis.call('LRANGE', list, 0, most - 1)
local taken, bytes, popped = {}, 0, 0
for _, id in ipairs(waiting) do
  local size = redis.call('HSTRLEN', messages, id)
  if #taken > 0 and bytes + size > most_bytes then break end
  popped = popped + 1
  if size > 0 or redis.call('HEXISTS', messages, id) == 1 then  -- an id whose message is gone is dropped
    bytes = bytes + size
    taken[#taken + 1] = id
  end
end
if popped > 0 then redis.call('LPOP', list, popped) end

local next_due = -1
if #taken == 0 then
  local first = redis.call('ZRANGE', later, 0, 0, 'WITHSCORES')
  if first[2] then next_due = math.max(0, tonumber(first[2]) - now) end
  return {redis.call('ZCARD', in_flight), next_due, {}, {}, {}}
end

-- The score is the place in the queue, so that a return restores the order.
local last = redis.call('ZREVRANGE', in_flight, 0, 0, 'WITHSCORES')
local place = tonumber(last[2] or '0')
local places = {}
for _, id in ipairs(taken) do
  place = place + 1
  places[#places + 1] = place
  places[#places + 1] = id
end
redis.call('ZADD', in_flight, unpack(places))
redis.call('SADD', owners, owner)
redis.call('SADD', queues, queue)
-- An owner is never without a heartbeat, or the janitor would take it for dead at once.
redis.call('ZADD', heartbeats, 'NX', now, owner)
return {
  redis.call('ZCARD', in_flight),
  next_due,
  taken,
  redis.call('HMGET', messages, unpack(taken)),
  redis.call('HMGET', tries, unpack(taken)),
}
