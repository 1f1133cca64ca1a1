#!lua flags=allow-oom
-- Takes messages from the front of a queue into the owner's in-flight set, in order.
-- A message that was held by a worker that died is handed out alone: to an owner that holds nothing
-- else on any queue, and gets nothing else until it is done. So its next death proves something.
-- KEYS: list, messages, in-flight set, owners, tries, deaths, later, heartbeats, queues, paused, alone
-- ARGV: owner, queue name, most messages, most bytes, namespace
-- Returns {size of the in-flight set, ms until the next retry is due or -1, what holds it up or '',
-- ids, messages, tries, deaths of the one message if it is alone, or 0}
local list, messages, in_flight, owners = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local tries, deaths, later, heartbeats = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local queues, paused, alone = KEYS[9], KEYS[10], KEYS[11]
local owner, queue, most, most_bytes = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local namespace = ARGV[5]

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function in_flight_on(name)
  return namespace .. ':' .. name .. '.in_flight.' .. owner
end

local function nothing(next_due, held_up)
  return {redis.call('ZCARD', in_flight), next_due, held_up, {}, {}, {}, 0}
end

-- What this owner has to itself: 'running' is one that was handed out alone, 'waiting' a queue whose
-- turn it is as soon as the owner holds nothing, so that its other queues cannot starve that one.
local what, where, whom = string.match(redis.call('HGET', alone, owner) or '', '^(%a+) (%S+) (.*)$')
if what == 'running' and redis.call('ZSCORE', in_flight_on(where), whom) then
  return nothing(-1, 'alone')
end
if what == 'running' or where == queue then
  redis.call('HDEL', alone, owner)
  what = nil
end
if redis.call('HEXISTS', paused, queue) == 1 then return nothing(-1, 'paused') end
if what == 'waiting' then return nothing(-1, 'alone') end

-- Retries whose backoff is over go before what waits: they were there first.
local due = redis.call('ZRANGEBYSCORE', later, '-inf', now, 'LIMIT', 0, most)
for i = #due, 1, -1 do
  redis.call('ZREM', later, due[i])
  redis.call('LPUSH', list, due[i])
end

local function holds_nothing()
  for _, name in ipairs(redis.call('SMEMBERS', queues)) do
    if redis.call('ZCARD', in_flight_on(name)) > 0 then return false end
  end
  return true
end

local waiting = redis.call('LRANGE', list, 0, most - 1)
local died = {}
if #waiting > 0 and redis.call('EXISTS', deaths) == 1 then
  died = redis.call('HMGET', deaths, unpack(waiting))
end
local taken, bytes, popped, held_up, deaths_of_it = {}, 0, 0, '', 0
for i, id in ipairs(waiting) do
  local size = redis.call('HSTRLEN', messages, id)
  if #taken > 0 and (died[i] or bytes + size > most_bytes) then break end
  if size > 0 and died[i] then
    if holds_nothing() then
      redis.call('HSET', alone, owner, 'running ' .. queue .. ' ' .. id)
      popped = popped + 1
      taken[1] = id
      deaths_of_it = tonumber(died[i])
    else
      redis.call('HSET', alone, owner, 'waiting ' .. queue .. ' ' .. id)
      held_up = 'alone'
    end
    break
  end
  popped = popped + 1
  if size > 0 then  -- an id whose message is gone is dropped
    bytes = bytes + size
    taken[#taken + 1] = id
  end
end
if popped > 0 then redis.call('LPOP', list, popped) end

if #taken == 0 then
  local next_due = -1
  local first = redis.call('ZRANGE', later, 0, 0, 'WITHSCORES')
  if first[2] then next_due = math.max(0, tonumber(first[2]) - now) end
  return nothing(next_due, held_up)
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
  -1,
  '',
  taken,
  redis.call('HMGET', messages, unpack(taken)),
  redis.call('HMGET', tries, unpack(taken)),
  deaths_of_it,
}
