#!lua flags=allow-oom
-- Takes messages from the front of a queue into the owner's in-flight set, in order.
-- A message that was held by a worker that died is a suspect, and suspects run apart: handed to an
-- owner that holds nothing else on any queue, and gets nothing else until they are done. After its
-- first death a message shares that with others of one death, so that what one worker held is back
-- soon; after its second it has it alone. So a third death is nobody's doing but its own.
-- KEYS: list, messages, in-flight set, owners, tries, deaths, later, heartbeats, queues, paused, apart, quiet
-- ARGV: owner, queue name, most messages, most bytes, namespace, most suspects
-- Returns {size of the in-flight set, ms until the next retry is due or -1, what holds it up or '',
-- ids, messages, tries, how many deaths each of them has}
local list, messages, in_flight, owners = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local tries, deaths, later, heartbeats = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local queues, paused, apart, quiet = KEYS[9], KEYS[10], KEYS[11], KEYS[12]
local owner, queue, most, most_bytes = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local namespace, most_suspects = ARGV[5], tonumber(ARGV[6])

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function in_flight_on(name)
  return namespace .. ':' .. name .. '.in_flight.' .. owner
end

local function nothing(next_due, held_up)
  return {redis.call('ZCARD', in_flight), next_due, held_up, {}, {}, {}, 0}
end

-- What this owner has apart: 'running' a queue from which it holds suspects, 'waiting' a queue whose
-- turn it is as soon as the owner holds nothing, so that its other queues cannot starve that one.
local what, where = string.match(redis.call('HGET', apart, owner) or '', '^(%a+) (.*)$')
if what == 'running' and redis.call('ZCARD', in_flight_on(where)) > 0 then
  return nothing(-1, 'apart')
end
if what == 'running' or where == queue then
  redis.call('HDEL', apart, owner)
  what = nil
end
if redis.call('HEXISTS', paused, queue) == 1 then return nothing(-1, 'paused') end
if redis.call('HEXISTS', quiet, owner) == 1 then return nothing(-1, 'quiet') end
if what == 'waiting' then return nothing(-1, 'apart') end

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
local taken, bytes, popped, held_up, deaths_each = {}, 0, 0, '', 0
for i, id in ipairs(waiting) do
  local size = redis.call('HSTRLEN', messages, id)
  local count = tonumber(died[i] or '0')
  if size > 0 and #taken == 0 and count > 0 then
    if not holds_nothing() then
      redis.call('HSET', apart, owner, 'waiting ' .. queue)
      held_up = 'apart'
      break
    end
    redis.call('HSET', apart, owner, 'running ' .. queue)
    deaths_each = count
    most = count == 1 and most_suspects or 1
  end
  if #taken > 0 and (#taken == most or count ~= deaths_each or bytes + size > most_bytes) then
    break
  end
  popped = popped + 1
  if size > 0 or redis.call('HEXISTS', messages, id) == 1 then  -- an id whose message is gone is dropped
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
  deaths_each,
}
