#!lua flags=no-writes
-- Looks at queues without changing anything.
-- KEYS: heartbeats
-- ARGV: namespace, timeout in ms, queue names
-- Returns {now in ms, {ready, in flight, orphans, later, dead, oldest timestamp in ms or -1}, ...}
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local namespace, timeout = ARGV[1], tonumber(ARGV[2])

-- The timestamp is near the beginning or at the end, whatever a message's size. Inside an event's
-- text its name would be followed by a backslash, because quotes are escaped there.
local function timestamp_of(message)
  local pattern = '"message_timestamp":%s*(%d+)'
  return string.match(string.sub(message, 1, 512), pattern)
    or string.match(string.sub(message, -128), pattern)
end

local states = {now}
for i = 3, #ARGV do
  local base = namespace .. ':' .. ARGV[i]
  local in_flight, orphans = 0, 0
  for _, owner in ipairs(redis.call('SMEMBERS', base .. '.owners')) do
    local count = redis.call('ZCARD', base .. '.in_flight.' .. owner)
    local beat = redis.call('ZSCORE', KEYS[1], owner)
    in_flight = in_flight + count
    if not beat or now - tonumber(beat) > timeout then orphans = orphans + count end
  end
  local oldest = false
  local first = redis.call('LINDEX', base, 0)
  if first then
    local message = redis.call('HGET', base .. '.msgs', first)
    oldest = message and timestamp_of(message)
  end
  states[#states + 1] = {
    redis.call('LLEN', base),
    in_flight,
    orphans,
    redis.call('ZCARD', base .. '.later'),
    redis.call('ZCARD', base .. '.XQ'),
    oldest and tonumber(oldest) or -1,
  }
end
return states
