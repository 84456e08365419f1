-- Sets and removes fields of a session that is there, all or nothing.
--
-- KEYS  session, mark of the digest, generation of the user, index of the user
-- ARGV  1 id of this call (twelve letters), 2 digest, 3 idle time in ms, 4 version that it must have
--       or '', 5 most bytes of all fields, 6 1 to replace all fields and 0 to keep the others,
--       7 number of fields to set, then each with its value, then the fields to remove
-- Gives {1, version, ms left}, {2, digest} where it has another digest by now, {0} where there is
-- none, {-1, version} where it has another version, {-2} where it would become too large.
local known = redis.call('HMGET', KEYS[1], '_v', '_a', '_r', '_g')
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
if not known[1] then
    local mark = redis.call('GET', KEYS[2]) or ''
    if string.sub(mark, 1, 1) == '>' and string.sub(mark, 2, 16) + 0 > now then
        return {2, string.sub(mark, 17)}
    end
    return {0}
end
if (redis.call('GET', KEYS[3]) or '') ~= known[4] then
    return {0}
end
local version, calls = known[1] + 0, known[3] or ''
local found = string.find(calls, ARGV[1] .. ',', 1, true)
if found then
    -- It writes too, so that its answer waits for replicas as the first one's did.
    redis.call('HSET', KEYS[1], '_r', calls)
    -- Each call since then made one version.
    local later = math.floor((#calls - found - 12) / 13)
    return {1, version - later, math.max(redis.call('PTTL', KEYS[1]), 0)}
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
local deadline = math.min(now + ARGV[3], known[2] + 0)
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
local at = string.format('%.0f', deadline)
-- The last eight calls, so that one that is repeated is known.
redis.call(
    'HSET', KEYS[1], '_v', version + 1, '_r', string.sub(calls .. ARGV[1] .. ',', -104),
    '_t', string.format('%.0f', now)
)
redis.call('PEXPIREAT', KEYS[1], at)
redis.call('ZADD', KEYS[4], at, ARGV[2])
local last = redis.call('ZREVRANGE', KEYS[4], 0, 0, 'WITHSCORES')
redis.call('PEXPIREAT', KEYS[4], last[2])
return {1, version + 1, math.max(deadline - now, 0)}
