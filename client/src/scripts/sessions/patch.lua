-- Sets and removes fields of a session that is there, all or nothing.
--
-- KEYS  session, index of the user
-- ARGV  1 nonce of the call, 2 digest, 3 idle time in ms, 4 version that it must have or '',
--       5 most bytes of all fields, 6 1 to replace all fields and 0 to keep the others,
--       7 number of fields to set, then each with its value, then the fields to remove
-- Gives {1, version, ms left}, {0} where there is no such session, {-1, version} where it has another
-- one, {-2} where it would become too large.
local known = redis.call('HMGET', KEYS[1], '_v', '_a', '_r')
if not known[1] then
    return {0}
end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local version = known[1] + 0
if known[3] == ARGV[1] then
    return {1, version, math.max(redis.call('PTTL', KEYS[1]), 0)}
end
if ARGV[4] ~= '' and ARGV[4] + 0 ~= version then
    return {-1, version}
end
local count = ARGV[7] + 0
local sizes, total = {}, 0
local old = redis.call('HGETALL', KEYS[1])
for i = 1, #old, 2 do
    if string.sub(old[i], 1, 1) ~= '_' then
        sizes[old[i]] = #old[i] + #old[i + 1]
        total = total + sizes[old[i]]
    end
end
if ARGV[6] == '1' then
    total = 0
end
for i = 8, 7 + 2 * count, 2 do
    if ARGV[6] ~= '1' then
        total = total - (sizes[ARGV[i]] or 0)
        sizes[ARGV[i]] = #ARGV[i] + #ARGV[i + 1]
    end
    total = total + #ARGV[i] + #ARGV[i + 1]
end
if total > ARGV[5] + 0 then
    return {-2}
end
if ARGV[6] == '1' then
    for i = 1, #old, 2 do
        if string.sub(old[i], 1, 1) ~= '_' then
            redis.call('HDEL', KEYS[1], old[i])
        end
    end
end
for i = 8, 7 + 2 * count, 2 do
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
for i = 8 + 2 * count, #ARGV do
    redis.call('HDEL', KEYS[1], ARGV[i])
end
local deadline = math.min(now + ARGV[3], known[2] + 0)
local at = string.format('%.0f', deadline)
redis.call('HSET', KEYS[1], '_v', version + 1, '_r', ARGV[1], '_t', string.format('%.0f', now))
redis.call('PEXPIREAT', KEYS[1], at)
redis.call('ZADD', KEYS[2], at, ARGV[2])
local last = redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')
redis.call('PEXPIREAT', KEYS[2], last[2])
return {1, version + 1, math.max(deadline - now, 0)}
