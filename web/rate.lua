#!lua
-- A token bucket in one number: the time at which it will be full again (the generic cell rate
-- algorithm), in microseconds of the server's own clock, so that clients' clocks do not matter.
-- KEYS: the bucket. ARGV: tokens a second, tokens that it holds.
-- Answers 0 if a token was taken, else in how many microseconds there will be one.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local each = 1000000 / ARGV[1]
local room = each * ARGV[2]
local function keep(full_at)
    local milliseconds = math.max(1, math.ceil((full_at - now) / 1000))
    redis.call('SET', KEYS[1], string.format('%.0f', full_at), 'PX', milliseconds)
end

local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
if full_at > now + room then
    -- The clock was set back. That locks nobody out for longer than an empty bucket takes to fill.
    full_at = now + room
    keep(full_at)
end
local wait = full_at + each - (now + room)
if wait > 0 then
    return math.ceil(wait)
end
keep(full_at + each)
return 0
