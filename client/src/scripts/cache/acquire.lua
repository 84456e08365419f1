-- Reads a value, and grants the right to load it where it is missing or no longer fresh.
--
-- KEYS  value, lease, fence
-- ARGV  token, lease in ms, 1 to load although the value is fresh and 0 not to
-- Gives {state, value or nothing, server's time in ms, rest of the lease in ms}. States: 1 the value
-- is fresh, 2 the lease is granted, 3 another holds it, 4 nobody shall load for now, 5 nothing may
-- be stored for now.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local value = redis.call('GET', KEYS[1])
if value and (#value < 27 or string.sub(value, 1, 2) ~= 'L\1') then
    value = false
end
if value and ARGV[3] == '0' and struct.unpack('>I8', value, 3) > now then
    return {1, value, now, 0}
end
local held = redis.call('GET', KEYS[2])
if held == 'throttled' then
    -- Without a value to give instead there is nothing to spare the database for.
    if value then
        return {4, value, now, redis.call('PTTL', KEYS[2])}
    end
elseif held then
    return {3, value, now, redis.call('PTTL', KEYS[2])}
end
local fence = redis.call('GET', KEYS[3])
if fence and #fence == 16 and struct.unpack('>I8', fence) > now then
    return {5, value, now, 0}
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return {2, value, now, ARGV[2] + 0}
