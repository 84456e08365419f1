-- Gives a session another digest. The old one leads to it for a while, or is as good as closed.
--
-- KEYS  session, mark of the digest, generation of the user, index of the user, new session, mark of
--       the new digest
-- ARGV  1 id of this call (twelve letters), 2 digest, 3 new digest, 4 for how many ms the old one
--       leads to the new one, 5 lifetime of a mark in ms, 6 channel of events
-- Gives {1, version, ms left}, {2, digest} where it has another digest by now, {0} where there is
-- none, {-1} where the new digest is or was in use.
local taken = redis.call('HMGET', KEYS[5], '_v', '_r')
if taken[1] then
    local calls = taken[2] or ''
    local found = string.find(calls, ARGV[1] .. ',', 1, true)
    if found then
        -- It writes too, so that its answer waits for replicas as the first one's did.
        redis.call('HSET', KEYS[5], '_r', calls)
        -- Each call since then made one version.
        local later = math.floor((#calls - found - 12) / 13)
        return {1, taken[1] - later, math.max(redis.call('PTTL', KEYS[5]), 0)}
    end
    return {-1}
end
if redis.call('EXISTS', KEYS[6]) == 1 then
    return {-1}
end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local known = redis.call('HMGET', KEYS[1], '_v', '_u', '_r', '_g')
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
local version = known[1] + 1
local left = math.max(redis.call('PTTL', KEYS[1]), 1)
local calls = string.sub((known[3] or '') .. ARGV[1] .. ',', -104)
redis.call('RENAME', KEYS[1], KEYS[5])
redis.call('HSET', KEYS[5], '_v', version, '_r', calls)
redis.call('ZREM', KEYS[4], ARGV[2])
redis.call('ZADD', KEYS[4], string.format('%.0f', now + left), ARGV[3])
local last = redis.call('ZREVRANGE', KEYS[4], 0, 0, 'WITHSCORES')
redis.call('PEXPIREAT', KEYS[4], last[2])
-- Who asks for the old one is led on until then; a logout by its handle is always.
local mark = '>' .. string.format('%015.0f', now + ARGV[4]) .. ARGV[3]
redis.call('SET', KEYS[2], mark, 'PX', string.format('%.0f', math.max(ARGV[4] + 0, ARGV[5] + 0)))
redis.call('PUBLISH', ARGV[6], 'rotated ' .. ARGV[2] .. ' ' .. ARGV[3] .. ' ' .. (known[2] or ''))
return {1, version, left}
