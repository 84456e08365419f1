-- Gives a session another digest. The old one leads to it for a while, or is as good as closed.
--
-- KEYS  session, mark of the digest, generation of the user, index of the user, new session, mark of
--       the new digest
-- ARGV  1 id of this call (twelve letters), 2 digest, 3 new digest, 4 for how many ms the old one
--       leads to the new one, 5 lifetime of a mark in ms, 6 channel of events, 7 for how many ms it must
--       have had its digest
-- Gives {1, version, ms left}, {2, digest} where it has another digest by now, {0} where there is
-- none, {-1} where the new digest is or was in use, {-2} where it has not had its own for so long.
local taken = redis.call('HMGET', KEYS[5], '_v', '_r')
if taken[1] then
    local calls = taken[2] or ''
    local later = calls_since(calls, ARGV[1])
    if later then
        -- It writes too, so that its answer waits for replicas as the first one's did.
        redis.call('HSET', KEYS[5], '_r', calls)
        -- Each call since then made one version.
        return {1, taken[1] - later, math.max(redis.call('PTTL', KEYS[5]), 0)}
    end
    return {-1}
end
if redis.call('EXISTS', KEYS[6]) == 1 then
    return {-1}
end
local known = redis.call('HMGET', KEYS[1], '_v', '_u', '_r', '_g', '_i')
if not known[1] then
    return moved(KEYS[2])
end
if (redis.call('GET', KEYS[3]) or '') ~= known[4] then
    return {0}
end
-- Of requests that come at once one renews it.
if (known[5] or 0) + ARGV[7] > now then
    return {-2}
end
local version = known[1] + 1
local left = math.max(redis.call('PTTL', KEYS[1]), 1)
local calls = calls_with(known[3] or '', ARGV[1])
redis.call('RENAME', KEYS[1], KEYS[5])
redis.call('HSET', KEYS[5], '_v', version, '_r', calls, '_i', digits(now))
redis.call('ZREM', KEYS[4], ARGV[2])
enter(KEYS[4], ARGV[3], now + left)
-- Who asks for the old one is led on until then; a logout by its handle is always.
local mark = '>' .. string.format('%015.0f', now + ARGV[4]) .. ARGV[3]
redis.call('SET', KEYS[2], mark, 'PX', digits(math.max(ARGV[4] + 0, ARGV[5] + 0)))
redis.call('PUBLISH', ARGV[6], 'rotated ' .. ARGV[2] .. ' ' .. ARGV[3] .. ' ' .. (known[2] or ''))
return {1, version, left}
